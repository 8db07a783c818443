"""Retries with exponential backoff."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff policy: pauses double from ``first_pause`` to ``longest_pause`` (seconds).

    ``attempts`` includes the first one. The defaults outlast a restart of Triton, about ten seconds.
    """

    attempts: int = 7
    first_pause: float = 0.25
    longest_pause: float = 8.0

    def pauses(self) -> Iterator[float]:
        """Yield the pause before each attempt after the first."""
        pause = self.first_pause
        for _ in range(self.attempts - 1):
            yield min(pause, self.longest_pause)
            pause *= 2
