"""What an attack may still send, and what became of what it sent. The durable counts are the store's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pixelprobe_services.common.errors import ResourceExhaustedError
from pixelprobe_services.common.values import Fate, Ledger
from pixelprobe_services.orchestrator.targets.base import Scores


class BudgetExhaustedError(ResourceExhaustedError):
    """The attack's hard limit of queries does not allow the next one.

    Attributes:
        answered: the answers to the first of the queries asked for, where some were still sent.
    """

    reason = "BUDGET_EXHAUSTED"
    answered: Scores | None = None


class Budget:
    """Counts one attack's queries, with an optional hard limit on those that may have been scored.

    A query counts against the limit when it is sent, a retry once more. One that the target rejected before
    its model ran is given back.

    Example:
        >>> budget = Budget(limit=100)
        >>> budget.take(60)
        >>> budget.settle(60, Fate.REJECTED)
        >>> budget.sent, budget.affordable(200)
        (0, 100)

    Attributes:
        limit: most queries that may be sent; None is no limit.
        on_trouble: called with the reason when queries were not answered, so that it can be shown at once.
    """

    def __init__(self, limit: int | None, spent: Ledger = Ledger(answered=0)) -> None:  # noqa: B008 - frozen
        self.limit = limit
        self.on_trouble: Callable[[str], None] = lambda _: None
        self._ledger = spent

    @property
    def ledger(self) -> Ledger:
        """The counts so far."""
        return self._ledger

    @property
    def sent(self) -> int:
        """Queries taken so far and not rejected."""
        return self._ledger.sent

    def affordable(self, wanted: int) -> int:
        """At most ``wanted``, and at most what is left."""
        return wanted if self.limit is None else max(0, min(wanted, self.limit - self.sent))

    def take(self, queries: int, *, is_retry: bool = False) -> None:
        """Count ``queries`` as sent.

        Raises:
            BudgetExhaustedError: fewer are left; nothing is counted.
        """
        if self.affordable(queries) < queries:
            raise self.exhausted(queries)
        retries = queries if is_retry else 0
        self._ledger = replace(self._ledger, sent=self.sent + queries, retries=self._ledger.retries + retries)

    def exhausted(self, wanted: int) -> BudgetExhaustedError:
        """The error of an attack that wants more than is left."""
        return BudgetExhaustedError(
            f"the budget of {self.limit} queries has no room for {wanted} more after {self.sent} were sent"
        )

    def settle(self, queries: int, fate: Fate) -> None:
        """Record what became of queries taken earlier."""
        if fate is Fate.ANSWERED:
            self._ledger += Ledger(answered=queries)
        elif fate is Fate.TIMED_OUT:
            self._ledger += Ledger(timed_out=queries)
        elif fate is Fate.REJECTED:
            self._ledger += Ledger(sent=-queries, rejected=queries)
