"""What campaigns wait for: when to try again, and for how long one of several targets is waited for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.targets.base import RejectedError
from pixelprobe_services.orchestrator.timing import Timing

log = logging.getLogger(__name__)

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


def asks_to_wait(error: ServiceError) -> bool:
    """Whether a target named the time at which it may be asked again, so that patience has no limit."""
    return isinstance(error, RejectedError) and error.retry_after_seconds is not None


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


class Waits:
    """The pauses of the campaigns that wait in this process."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._waits: dict[str, Wait] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def __contains__(self, campaign_id: str) -> bool:
        return campaign_id in self._waits

    def reason(self, campaign_id: str) -> str:
        """Return what the campaign waits for; empty if it does not wait."""
        wait = self._waits.get(campaign_id)
        return wait.reason if wait else ""

    def may_run(self, campaign_id: str) -> bool:
        """Whether the campaign does not wait, or its pause is over."""
        wait = self._waits.get(campaign_id)
        return wait is None or wait.is_over

    def begin(self, campaign_id: str, error: ServiceError) -> None:
        """Make the campaign wait because of ``error``, longer each time in a row."""
        before = self._waits.get(campaign_id)
        wait = self._waits[campaign_id] = Wait.after(error, before, self._timing)
        is_known = before is not None and before.reason == wait.reason and isinstance(error, DayUsedUpError)
        if not is_known:  # a quota is logged once, not all day long
            log.error("campaign %s waits: %s; trying again in %.0f s", campaign_id, wait.reason, wait.pause)

    def end(self, campaign_id: str) -> bool:
        """Make the campaign wait no longer. Returns whether it did."""
        return self._waits.pop(campaign_id, None) is not None
