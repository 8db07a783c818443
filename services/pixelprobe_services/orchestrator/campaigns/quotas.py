"""Quotas: the limits of the tokens file, and the ledger that enforces those on queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pixelprobe_services.common.values import Fate
from pixelprobe_services.orchestrator.store.base import QueryCount, Store
from pixelprobe_services.orchestrator.store.limits import NO_LIMITS, DayUsedUpError, Limits
from pixelprobe_services.server.caller import Caller


class Quotas:
    """Limits by owner. An owner that is not listed has none: campaigns without an owner, and those of clients
    that were removed from the file, continue until an admin cancels them.

    >>> quotas = Quotas(load_tokens(path).callers)
    >>> quotas.of("ci").running_campaigns
    4
    """

    def __init__(self, callers: Iterable[Caller] = ()) -> None:
        self._limits = {
            one.name: Limits(
                one.max_running_campaigns,
                one.max_queries_per_day,
                one.max_attacks,
                one.max_stored_bytes,
            )
            for one in callers
        }
        self.most_a_day = {
            name: limits.queries_a_day
            for name, limits in self._limits.items()
            if limits.queries_a_day is not None
        }

    def of(self, owner: str) -> Limits:
        """Return the limits of ``owner``."""
        return self._limits.get(owner, NO_LIMITS)

    async def check_day(self, store: Store, owner: str) -> None:
        """Check that ``owner`` may send queries today.

        Raises:
            DayUsedUpError: its queries of today are used up.
        """
        limit = self.most_a_day.get(owner)
        if limit is not None and await store.queries_today(owner) >= limit:
            raise DayUsedUpError(owner, limit)


class QuotaLedger:
    """The store's ledger, which refuses queries of owners whose queries of today are used up."""

    def __init__(self, store: Store, quotas: Quotas) -> None:
        self._store = store
        self._quotas = quotas

    async def reserve_queries(self, counts: Sequence[QueryCount]) -> None:
        """See Store.reserve_queries."""
        await self._store.reserve_queries(counts, self._quotas.most_a_day)

    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        """See Store.spend_day."""
        await self._store.spend_day(subject, queries, most)

    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate = Fate.ANSWERED) -> None:
        """See Store.settle_queries."""
        await self._store.settle_queries(counts, fate)
