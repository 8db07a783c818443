"""What a campaign's owner may use of the store, and what they have used of it today.

A day is one of UTC, by this machine's clock. Its count is part of the ledger: it grows with each reservation,
in the same transaction, so that it holds every query that ever was about to be sent.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pixelprobe_services.common.errors import QuotaExceededError
from pixelprobe_services.orchestrator.store.errors import StoreError
from pixelprobe_services.orchestrator.store.records import AttackId

SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Limits:
    """Of one owner; None is no limit.

    Attributes:
        open_campaigns: that are neither finished nor cancelled.
        queries_a_day: the request that reaches it is still sent, whole; none after it.
    """

    open_campaigns: int | None = None
    queries_a_day: int | None = None


NO_LIMITS = Limits()
UNLIMITED: Mapping[str, int] = MappingProxyType({})
"""Queries a day by owner, with no limit for anybody."""


class DayUsedUpError(StoreError, QuotaExceededError):
    """``owner`` may send no more queries today; ``attacks`` are those that wanted to."""

    def __init__(self, owner: str, limit: int, attacks: Iterable[AttackId] = ()) -> None:
        super().__init__(
            f"clients/{owner}",
            f"its {limit} queries of today (UTC) are used up; its campaigns go on by themselves tomorrow",
        )
        self.owner = owner
        self.attacks = frozenset(attacks)


class DailyCount(ABC):
    """The part of a store that counts queries by owner."""

    @abstractmethod
    async def queries_today(self, owner: str) -> int:
        """All queries reserved today for campaigns of ``owner``; of the nameless one none are counted."""

    @abstractmethod
    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        """Add ``queries`` to today's of ``subject``: ``targets/NAME``, which is no owner's name.

        Raises:
            DayUsedUpError: they would be more than ``most``; none is counted.
        """


def today() -> int:
    """Whole days since 1970-01-01 (UTC)."""
    return int(time.time() // SECONDS_A_DAY)


def check_limits(owner: str, limits: Limits, *, others_open: int, queries_today: int) -> None:
    """See whether ``owner`` may have one more open campaign beside ``others_open``.

    Raises:
        QuotaExceededError: too many are open, or (DayUsedUpError) the day's queries are used up.
    """
    if limits.open_campaigns is not None and others_open >= limits.open_campaigns:
        raise QuotaExceededError(
            f"clients/{owner}",
            f"{others_open} of its campaigns are open, and it may have {limits.open_campaigns} at a time;"
            " wait until one has finished, or cancel one",
        )
    if limits.queries_a_day is not None and queries_today >= limits.queries_a_day:
        raise DayUsedUpError(owner, limits.queries_a_day)
