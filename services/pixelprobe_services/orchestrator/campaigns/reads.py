"""Reads that many watchers of a campaign want alike are made once for all of them.

Two hundred clients may watch one campaign, and each event, each step of each attack wakes all of them: were
each to look into the store for itself, watching would cost it more than attacking does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

KEPT_SECONDS = 0.5
"""Other orchestrators write to the same store and tell nobody here: after so long one looks again."""
MOST_KEPT = 512
"""Answers; those who read a long history from its start leave one for each event."""


class SharedReads:
    """Answers of one campaign since something last happened to it."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, asyncio.Task[Any]] = {}
        self._since = time.monotonic()

    def forget(self) -> None:
        """Something happened: who asks from now on must see it, even while an older read is under way."""
        self._answers = {}
        self._since = time.monotonic()

    async def once(self, key: Hashable, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What ``read`` gives, or gave whoever asked first for the same ``key``; failures are shared, too."""
        if time.monotonic() - self._since > KEPT_SECONDS or len(self._answers) >= MOST_KEPT:
            self.forget()
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = asyncio.create_task(read())
        # Shielded: when the one who asked first leaves, the others still want the answer.
        found: T = await asyncio.shield(answer)
        return found
