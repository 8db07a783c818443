"""Limits on what an owner may use of the store.

A day is one of UTC by the store's own clock: the database's, where there is one. The count of a day's queries
is part of the ledger: it grows with each reservation, in the same transaction, so that it holds every query
that was ever about to be sent.
"""

from __future__ import annotations

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
    """Limits of one owner; None is no limit.

    Attributes:
        open_campaigns: campaigns that are neither finished nor cancelled.
        queries_a_day: the request that reaches it is still sent, whole; none after it.
        attacks: attacks of all open campaigns together.
        stored_bytes: specs, images and results of all campaigns together, ended ones included.
    """

    open_campaigns: int | None = None
    queries_a_day: int | None = None
    attacks: int | None = None
    stored_bytes: int | None = None


@dataclass(frozen=True)
class Usage:
    """What an owner would use if one more campaign were open.

    Attributes:
        others_open: open campaigns without that one.
        attacks: attacks of all open campaigns, that one included.
        stored_bytes: of all campaigns, that one included.
        queries_today: queries reserved today.
    """

    others_open: int
    attacks: int
    stored_bytes: int
    queries_today: int


NO_LIMITS = Limits()
UNLIMITED: Mapping[str, int] = MappingProxyType({})
"""Queries a day by owner, with a limit for none."""


class DayUsedUpError(StoreError, QuotaExceededError):
    """``owner`` may send no more queries today; ``attacks`` are those that asked for more."""

    def __init__(self, owner: str, limit: int, attacks: Iterable[AttackId] = ()) -> None:
        super().__init__(
            f"clients/{owner}",
            f"its {limit} queries of today (UTC) are used up; its campaigns continue by themselves tomorrow",
        )
        self.owner = owner
        self.attacks = frozenset(attacks)


class DailyCount(ABC):
    """The part of a store that counts queries by owner."""

    @abstractmethod
    async def queries_today(self, owner: str) -> int:
        """Return the queries reserved today for campaigns of ``owner``; 0 for the owner without a name.

        Raises:
            StoreError: the store cannot do its work now.
        """

    @abstractmethod
    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        """Add ``queries`` to today's of ``subject``: ``targets/NAME``, which is no owner's name.

        Raises:
            DayUsedUpError: they would be more than ``most``; none is counted.
            StoreError: the store cannot do its work now.
        """


def check_limits(owner: str, limits: Limits, usage: Usage) -> None:
    """Check that ``owner`` may have the open campaigns that ``usage`` describes.

    Raises:
        QuotaExceededError: a limit would be exceeded, or (DayUsedUpError) the day's queries are used up.
    """
    subject = f"clients/{owner}"
    if limits.open_campaigns is not None and usage.others_open >= limits.open_campaigns:
        raise QuotaExceededError(
            subject,
            f"{usage.others_open} of its campaigns are open, and it may have {limits.open_campaigns} at a"
            " time; wait until one has finished, or cancel one",
        )
    if limits.attacks is not None and usage.attacks > limits.attacks:
        raise QuotaExceededError(
            subject,
            f"its open campaigns would have {usage.attacks} attacks together, and may have {limits.attacks};"
            " ask for fewer, wait until a campaign has finished, or cancel one",
        )
    if limits.stored_bytes is not None and usage.stored_bytes > limits.stored_bytes:
        raise QuotaExceededError(
            subject,
            f"its campaigns would take {usage.stored_bytes} bytes of the store, and may take"
            f" {limits.stored_bytes}; delete some with `pixelprobe campaign delete`",
        )
    if limits.queries_a_day is not None and usage.queries_today >= limits.queries_a_day:
        raise DayUsedUpError(owner, limits.queries_a_day)
