"""What keeps a campaign from going on for a while, although nothing is wrong with it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError

LONGEST_SECONDS = 30.0
DAY_LOOK_SECONDS = 30.0
"""Between two looks at whether an owner who has used up a day's queries has a new day."""


@dataclass(frozen=True)
class Stall:
    """Something that a campaign needs is out of reach: what, and when to try again.

    Kept in the process and not in the store, because it is the store that may be out of reach.

    Attributes:
        reason: for people.
        pause: seconds between the last try and the next.
        until: the next try, by ``time.monotonic``.
    """

    reason: str
    pause: float
    until: float


def next_stall(error: ServiceError, before: Stall | None, first_pause: float) -> Stall:
    """The stall that ``error`` makes; pauses double while one follows another, those of a quota stay."""
    pause = min(2 * before.pause, LONGEST_SECONDS) if before else first_pause
    if isinstance(error, DayUsedUpError):
        pause = DAY_LOOK_SECONDS
    return Stall(error.message, pause, time.monotonic() + pause)
