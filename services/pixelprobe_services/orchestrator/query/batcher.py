"""Many attacks' queries -> full requests to one target, enough of them in flight that it never waits."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque

from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.budget import Budget
from pixelprobe_services.orchestrator.query.delivery import Delivery, QueryLedger
from pixelprobe_services.orchestrator.query.fusion import Ask
from pixelprobe_services.orchestrator.query.pending import Pending, Slice
from pixelprobe_services.orchestrator.store.base import AttackId
from pixelprobe_services.orchestrator.targets.base import (
    Scores,
    Target,
    TargetInfo,
    TargetUnavailableError,
)

LINGER_SECONDS = 0.005
"""How long a request that is not full waits for more, while the target is busy anyway."""


class Batcher:
    """One target's query path, shared by all attacks on it.

    Use as an asynchronous context manager, or call :meth:`close`.

    Example:
        >>> async with Batcher(target, await target.describe(), store) as batcher:
        ...     scores = await batcher.query(attack_id, ask, Budget(limit=1000))
    """

    def __init__(
        self,
        target: Target,
        info: TargetInfo,
        ledger: QueryLedger,
        retry: RetryPolicy | None = None,
        metrics: OrchestratorMetrics | None = None,
    ) -> None:
        self._info = info
        metrics_of_target = (metrics or OrchestratorMetrics()).of_target(info.name)
        self._delivery = Delivery(target, info, ledger, retry or RetryPolicy(), metrics_of_target)
        self._queue: deque[Pending] = deque()
        self._arrived = asyncio.Event()
        self._in_flight = 0
        self._turn = asyncio.Lock()
        self._workers = [
            # In a context of their own: a request serves many attacks, not the one that asked first.
            asyncio.create_task(
                self._work(), name=f"batcher-{info.name}-{number}", context=contextvars.Context()
            )
            for number in range(info.max_in_flight)
        ]

    async def __aenter__(self) -> Batcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def info(self) -> TargetInfo:
        """What the target said of itself."""
        return self._info

    @property
    def waiting_for(self) -> str:
        """Why requests are held back just now, for people; empty where they are not."""
        return self._delivery.gate.waiting_for

    def require_patience(self) -> None:
        """See that the target can be asked soon.

        Raises:
            RejectedError: it turned requests away, and must not be asked before long.
        """
        self._delivery.gate.require_patience()

    async def query(self, attack: AttackId, ask: Ask, budget: Budget) -> Scores:
        """Score ``ask``, which must not be empty; cancelling takes back what was not yet sent.

        Raises:
            TargetError: refused.
            TargetUnavailableError: no answer through all attempts. A TargetTimeoutError where it did not
                answer in time, a RejectedError where it turned the requests away.
            BudgetExhaustedError: a retry would exceed the attack's hard limit; holds what was answered.
            LeaseLostError: the attack runs elsewhere by now.
            DayUsedUpError: its campaign's owner may send no more queries today.
            StoreError: the queries could not be counted, and so were not sent.
        """
        pending = Pending(attack, ask, budget)
        self._queue.append(pending)
        self._arrived.set()
        return await pending.future

    async def close(self) -> None:
        """Stop; queries that wait fail with a TargetUnavailableError."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while self._queue:
            self._queue.popleft().fail(TargetUnavailableError("the orchestrator is shutting down"))

    async def _work(self) -> None:
        while True:
            async with self._turn:
                slices = await self._gather()
                self._in_flight += 1
            try:
                await self._delivery.deliver(slices)
            except BaseException as error:
                failure = error if isinstance(error, Exception) else TargetUnavailableError("shutting down")
                for part in slices:
                    part.pending.fail(failure)
                if not isinstance(error, Exception):
                    raise
            finally:
                self._in_flight -= 1

    async def _gather(self) -> list[Slice]:
        """Wait for work, then take as much as fits one request.

        When the target is idle a request leaves at once; otherwise one that is not full lingers, because
        attacks whose answers came together ask again one after another.
        """
        while True:
            await self._arrived.wait()
            if self._rows_waiting() < self._delivery.size.limit:
                await asyncio.sleep(LINGER_SECONDS if self._in_flight else 0)
            slices = self._take()
            if slices:
                return slices

    def _rows_waiting(self) -> int:
        return sum(len(pending.ask) - pending.taken for pending in self._queue if not pending.is_done)

    def _take(self) -> list[Slice]:
        slices: list[Slice] = []
        room = self._delivery.size.limit
        while self._queue and room:
            pending = self._queue[0]
            if pending.is_done:  # cancelled, or another part failed
                self._queue.popleft()
                continue
            stop = min(len(pending.ask), pending.taken + room)
            slices.append(Slice(pending, pending.taken, stop))
            room -= stop - pending.taken
            pending.taken = stop
            if stop == len(pending.ask):
                self._queue.popleft()
        if not self._queue:
            self._arrived.clear()
        return slices
