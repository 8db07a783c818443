"""Who watches which campaign: wakes watchers, and hands them the latest progress of each attack.

Lasting events live in the store; only progress passes through here, and a slow watcher gets the latest
instead of a backlog. What watchers read of the store, they read together.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pixelprobe_services.orchestrator.attacks.run import Progress
from pixelprobe_services.orchestrator.campaigns.reads import SharedReads
from pixelprobe_services.orchestrator.store.base import AttackId

T = TypeVar("T")


class Watcher:
    """One watching client."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._progress: dict[AttackId, Progress] = {}

    def wake(self) -> None:
        """Something lasting happened."""
        self._woken.set()

    def put(self, attack: AttackId, progress: Progress) -> None:
        """Replace what is waiting of that attack."""
        self._progress[attack] = progress
        self._woken.set()

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - a pause, not a deadline
        """Until something happened, ``timeout`` seconds at most."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return
        self._woken.clear()

    def take_progress(self) -> dict[AttackId, Progress]:
        """What is new since the last call."""
        taken, self._progress = self._progress, {}
        return taken


class EventHub:
    """All watchers, by campaign."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._reads: defaultdict[str, SharedReads] = defaultdict(SharedReads)

    @contextmanager
    def watch(self, campaign_id: str) -> Iterator[Watcher]:
        """A watcher for as long as the block runs."""
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
        """For a watcher of the campaign: what ``read`` gives, read once for all of them (see SharedReads)."""
        return await self._reads[campaign_id].once(key, read)

    def notify(self, campaign_id: str) -> None:
        """Something lasting happened to the campaign."""
        if campaign_id in self._reads:
            self._reads[campaign_id].forget()
        for watcher in self._watchers.get(campaign_id, ()):
            watcher.wake()

    def notify_all(self) -> None:
        """Something happened that all watchers should look at."""
        for campaign_id in self._watchers:
            self.notify(campaign_id)

    def progress(self, attack: AttackId, progress: Progress) -> None:
        """An attack went on."""
        for watcher in self._watchers.get(attack.campaign_id, ()):
            watcher.put(attack, progress)
