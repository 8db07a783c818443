"""One batcher per target, opened when first needed and shared by all campaigns."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.batcher import Batcher
from pixelprobe_services.orchestrator.query.delivery import QueryLedger
from pixelprobe_services.orchestrator.targets.registry import Registry
from pixelprobe_services.orchestrator.timing import Timing


class BatcherPool:
    """Hands out batchers by target name.

    Example:
        >>> batcher = await pool.get("nin_cifar10")
        >>> scores = await batcher.query(attack_id, ask, budget)
    """

    def __init__(
        self,
        registry: Registry,
        ledger: QueryLedger,
        retry: RetryPolicy | None = None,
        metrics: OrchestratorMetrics | None = None,
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._retry = retry or Timing().target_retry
        self._metrics = metrics or OrchestratorMetrics()
        self._batchers: dict[str, Batcher] = {}
        self._opening: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def get(self, name: str) -> Batcher:
        """The batcher of target ``name``.

        Raises:
            NotFoundError: no such target.
            TargetError: it cannot be described; TargetUnavailableError if trying later may help.
        """
        async with self._opening[name]:  # a target that does not answer delays no other
            if name not in self._batchers:
                target = self._registry.get(name)
                info = await target.describe()
                self._batchers[name] = Batcher(target, info, self._ledger, self._retry, self._metrics)
            return self._batchers[name]

    async def check(self, name: str) -> None:
        """See that target ``name`` can be asked now; costs no query.

        Raises:
            NotFoundError, TargetError: as :meth:`get`.
            TargetUnavailableError: it does not say that it is ready; a RejectedError where it asked not to
                be asked before long.
        """
        (await self.get(name)).require_patience()
        await self._registry.get(name).check()

    def waiting_for(self, names: Iterable[str]) -> str:
        """Return what requests to these targets wait for just now, for people; empty if they do not wait."""
        opened = {name: self._batchers[name] for name in names if name in self._batchers}
        return "; ".join(
            f"target {name}: {batcher.waiting_for}" for name, batcher in opened.items() if batcher.waiting_for
        )

    async def close(self) -> None:
        """Stop all batchers. Idempotent."""
        for batcher in self._batchers.values():
            await batcher.close()
        self._batchers.clear()
