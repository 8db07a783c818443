"""What campaigns wait for: when to try again, and for how long one of several targets is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.timing import Timing

PATIENCE_SECONDS = 600.0
"""A machine that is rebooted, or a model server that loads large models, is back by then."""


class Patience:
    """Limits how long a target, or the segmentation service, is waited for.

    Once the limit is reached the attacks that need it end in an error, and the campaign's others continue.

    >>> patience = Patience(600)
    >>> patience.is_left("resnet50")  # it did not answer just now
    True
    >>> patience.answered("resnet50")  # the next outage has all the time again
    """

    def __init__(
        self, seconds: float = PATIENCE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._away_since: dict[str, float] = {}

    def is_left(self, name: str) -> bool:
        """Whether to keep waiting for ``name``, which did not answer just now."""
        now = self._clock()
        return now - self._away_since.setdefault(name, now) < self._seconds

    def answered(self, name: str) -> None:
        """Note that ``name`` answered."""
        self._away_since.pop(name, None)


@dataclass(frozen=True)
class Wait:
    """A campaign's pause, because something it needs is out of reach.

    Kept in the process and not in the store, because it may be the store that is out of reach.

    Attributes:
        reason: for people.
        pause: seconds between the last try and the next.
        until: the next try, by ``time.monotonic``.
    """

    reason: str
    pause: float
    until: float

    @property
    def is_over(self) -> bool:
        """Whether it is time for the next try."""
        return self.until <= time.monotonic()

    @classmethod
    def after(cls, error: ServiceError, before: Wait | None, timing: Timing) -> Wait:
        """The pause after ``error``: twice the one before; constant for a day's quota."""
        pause = min(2 * before.pause, timing.longest_wait) if before else timing.first_wait
        if isinstance(error, DayUsedUpError):
            pause = timing.day_wait
        return cls(error.message, pause, time.monotonic() + pause)
