"""How many queries an attack may still send. The durable count is the store's; this is the gate before it."""

from __future__ import annotations

from pixelprobe_services.common.errors import ResourceExhaustedError


class BudgetExhaustedError(ResourceExhaustedError):
    """The attack's hard limit of queries does not allow the next one."""

    reason = "BUDGET_EXHAUSTED"


class Budget:
    """A counter with an optional hard limit. Retries are queries too and count again."""

    def __init__(self, limit: int | None, sent: int = 0) -> None:
        self.limit = limit
        self._sent = sent

    @property
    def sent(self) -> int:
        """Queries taken so far."""
        return self._sent

    def affordable(self, wanted: int) -> int:
        """At most ``wanted``, and at most what is left."""
        return wanted if self.limit is None else max(0, min(wanted, self.limit - self._sent))

    def take(self, queries: int) -> None:
        """Count ``queries`` as sent.

        Raises:
            BudgetExhaustedError: fewer are left; nothing is counted.
        """
        if self.affordable(queries) < queries:
            raise BudgetExhaustedError(
                f"the budget of {self.limit} queries has no room for {queries} more"
                f" after {self._sent} were sent"
            )
        self._sent += queries
