"""Campaigns' watchers: they are woken by events, get each attack's latest progress, and share their reads.

Lasting events live in the store; only progress passes through here, and a slow watcher gets the latest
instead of a backlog.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pixelprobe_services.orchestrator.attacks.run import Progress
from pixelprobe_services.orchestrator.store.base import AttackId
from pixelprobe_services.orchestrator.timing import Timing

T = TypeVar("T")

MAX_SHARED_READS = 512
"""Answers kept of one campaign; watchers that read a long history from its start leave one for each event."""


class SharedReads:
    """Answers of the store on one campaign since its last event, each read once for all watchers.

    Two hundred clients may watch one campaign, and each event, each step of each attack wakes all of them:
    separate reads would cost the store more than attacking does. ``seconds``: an answer's longest life, as
    other orchestrators change the same store without notice.
    """

    def __init__(self, seconds: float = Timing.shared_read) -> None:
        self._seconds = seconds
        self._answers: dict[Hashable, asyncio.Task[Any]] = {}
        self._since = time.monotonic()

    def clear(self) -> None:
        """Drop all answers: the next read sees the store as it is, even while an older read is running."""
        self._answers = {}
        self._since = time.monotonic()

    async def once(self, key: Hashable, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what ``read`` gives, or gave the first who asked for ``key``; failures are shared, too."""
        if time.monotonic() - self._since > self._seconds or len(self._answers) >= MAX_SHARED_READS:
            self.clear()
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = asyncio.create_task(read())
        # Shielded: when the first watcher leaves, the others still want the answer.
        found: T = await asyncio.shield(answer)
        return found


class Watcher:
    """One watching client."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._progress: dict[AttackId, Progress] = {}

    def wake(self) -> None:
        """Report a lasting event."""
        self._woken.set()

    def put(self, attack: AttackId, progress: Progress) -> None:
        """Replace the progress of ``attack`` that was not taken yet."""
        self._progress[attack] = progress
        self._woken.set()

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - a pause, not a deadline
        """Return once something happened, after ``timeout`` seconds at most."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    def take_progress(self) -> dict[AttackId, Progress]:
        """Return what is new since the last call."""
        taken, self._progress = self._progress, {}
        return taken


class EventHub:
    """All watchers, by campaign.

    >>> hub = EventHub()
    >>> with hub.watch("5f0c") as watcher:
    ...     hub.notify("5f0c")  # wakes the watcher
    """

    def __init__(self, timing: Timing | None = None) -> None:
        seconds = (timing or Timing()).shared_read
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._reads: defaultdict[str, SharedReads] = defaultdict(lambda: SharedReads(seconds))

    @contextmanager
    def watch(self, campaign_id: str) -> Iterator[Watcher]:
        """Register a watcher for as long as the block runs."""
        watcher = Watcher()
        self._watchers[campaign_id].add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[campaign_id].discard(watcher)
            if not self._watchers[campaign_id]:
                del self._watchers[campaign_id]
                self._reads.pop(campaign_id, None)

    async def once(self, campaign_id: str, key: Hashable, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Read once for all watchers of the campaign (see SharedReads); for use within :meth:`watch`."""
        return await self._reads[campaign_id].once(key, read)

    def notify(self, campaign_id: str) -> None:
        """Report a lasting event of the campaign."""
        if campaign_id in self._reads:
            self._reads[campaign_id].clear()
        for watcher in self._watchers.get(campaign_id, ()):
            watcher.wake()

    def notify_all(self) -> None:
        """Wake all watchers."""
        for campaign_id in self._watchers:
            self.notify(campaign_id)

    def progress(self, attack: AttackId, progress: Progress) -> None:
        """Report an attack's progress."""
        for watcher in self._watchers.get(attack.campaign_id, ()):
            watcher.put(attack, progress)
