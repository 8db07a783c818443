"""How long a campaign waits for a target, or for masks, before the attacks that need them end in an error."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 600.0
"""A machine that is rebooted, or a model server that loads large models, is back by then."""


class Patience:
    """Remembers since when each thing has been away. ``seconds`` of patience; 0 has none."""

    def __init__(
        self, seconds: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._away: dict[str, float] = {}

    def is_left(self, name: str) -> bool:
        """Whether to go on waiting for ``name``, which did not answer just now."""
        now = self._clock()
        return now - self._away.setdefault(name, now) < self._seconds

    def answered(self, name: str) -> None:
        """It did: the next time it is away, it has all the time again."""
        self._away.pop(name, None)
