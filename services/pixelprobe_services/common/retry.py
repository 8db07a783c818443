"""How often, and how long apart, a call that found nobody is made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff: ``attempts`` in all, pauses doubling from ``first_pause`` to ``longest_pause``.

    Pauses are in seconds. The defaults outlast a restart of Triton (about ten seconds here).
    """

    attempts: int = 7
    first_pause: float = 0.25
    longest_pause: float = 8.0

    def pauses(self) -> Iterator[float]:
        """One pause before each attempt after the first."""
        pause = self.first_pause
        for _ in range(self.attempts - 1):
            yield min(pause, self.longest_pause)
            pause *= 2
