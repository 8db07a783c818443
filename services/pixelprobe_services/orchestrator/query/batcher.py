"""Many attacks' queries -> full requests to one target, enough of them in flight that it never waits.

Every request passes the ledger before it is sent: reserved in the store, counted in each attack's budget,
settled after. A retry passes it again.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from pixelprobe_services.common import tracing
from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.budget import Budget, BudgetExhaustedError
from pixelprobe_services.orchestrator.query.fusion import Ask, fuse, join, split
from pixelprobe_services.orchestrator.store.base import AttackId, Fate, QueryCount
from pixelprobe_services.orchestrator.store.errors import LeaseLostError
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.targets.base import (
    RejectedError,
    Scores,
    Target,
    TargetError,
    TargetInfo,
    TargetUnavailableError,
)

LINGER_SECONDS = 0.005
"""How long a request that is not full waits for more, while the target is busy anyway."""


class QueryLedger(Protocol):
    """The part of the store that counts queries."""

    async def reserve_queries(self, counts: Sequence[QueryCount]) -> None:
        """Before sending. Raises LeaseLostError where attacks are not ours any more, and DayUsedUpError where
        their owner may send no more today; then none is counted.
        """

    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate) -> None:
        """After sending: what became of them."""


class _Pending:
    """An ask under way: how much of it went out, and what came back."""

    def __init__(self, attack: AttackId, ask: Ask, budget: Budget) -> None:
        self.attack = attack
        self.ask = ask
        self.budget = budget
        self.taken = 0  # rows handed to requests so far
        self.parts: dict[int, Scores] = {}  # by first row
        self.answered = 0
        self.future: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        self.traceparent = tracing.traceparent()

    def answer(self, start: int, scores: Scores) -> None:
        self.parts[start] = scores
        self.answered += len(scores.top_classes)
        if self.answered == len(self.ask) and not self.future.done():
            self.future.set_result(join([self.parts[key] for key in sorted(self.parts)]))

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class _Slice:
    """Rows ``start`` to ``stop`` of an ask, as they go into one request."""

    def __init__(self, pending: _Pending, start: int, stop: int) -> None:
        self.pending = pending
        self.start = start
        self.ask = pending.ask.rows(start, stop)

    @property
    def count(self) -> QueryCount:
        return QueryCount(self.pending.attack, len(self.ask))


class Batcher:
    """One target's query path. Use as an asynchronous context manager, or call :meth:`close`."""

    def __init__(
        self,
        target: Target,
        info: TargetInfo,
        ledger: QueryLedger,
        retry: RetryPolicy | None = None,
        metrics: OrchestratorMetrics | None = None,
    ) -> None:
        self._target = target
        self._info = info
        self._ledger = ledger
        self._retry = retry or RetryPolicy()
        self._metrics = (metrics or OrchestratorMetrics()).of_target(info.name)
        self._queue: deque[_Pending] = deque()
        self._arrived = asyncio.Event()
        self._in_flight = 0
        self._turn = asyncio.Lock()
        self._workers = [
            # In a context of their own: the work is everybody's, not that of whoever asked first.
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

    async def query(self, attack: AttackId, ask: Ask, budget: Budget) -> Scores:
        """Score ``ask``, which must not be empty; cancelling takes back what was not yet sent.

        Raises:
            TargetError: refused.
            TargetUnavailableError: no answer through all attempts.
            BudgetExhaustedError: a retry would exceed the attack's hard limit.
            LeaseLostError: the attack runs elsewhere by now.
            DayUsedUpError: its campaign's owner may send no more queries today.
            StoreError: the queries could not be counted, and so were not sent.
        """
        pending = _Pending(attack, ask, budget)
        self._queue.append(pending)
        self._arrived.set()
        return await pending.future

    async def close(self) -> None:
        """Stop; whoever still waits gets a TargetUnavailableError."""
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
                await self._send(slices)
            except BaseException as error:
                failure = error if isinstance(error, Exception) else TargetUnavailableError("shutting down")
                for part in slices:
                    part.pending.fail(failure)
                if not isinstance(error, Exception):
                    raise
            finally:
                self._in_flight -= 1

    async def _gather(self) -> list[_Slice]:
        """Wait for work, then take as much as fits one request.

        When the target is idle a request leaves at once; otherwise one that is not full lingers, because
        attacks whose answers came together ask again one after another.
        """
        while True:
            await self._arrived.wait()
            if self._rows_waiting() < self._info.max_batch:
                await asyncio.sleep(LINGER_SECONDS if self._in_flight else 0)
            slices = self._take()
            if slices:
                return slices

    def _rows_waiting(self) -> int:
        return sum(len(pending.ask) - pending.taken for pending in self._queue if not pending.future.done())

    def _take(self) -> list[_Slice]:
        slices: list[_Slice] = []
        room = self._info.max_batch
        while self._queue and room:
            pending = self._queue[0]
            if pending.future.done():  # cancelled, or another part failed
                self._queue.popleft()
                continue
            stop = min(len(pending.ask), pending.taken + room)
            slices.append(_Slice(pending, pending.taken, stop))
            room -= stop - pending.taken
            pending.taken = stop
            if stop == len(pending.ask):
                self._queue.popleft()
        if not self._queue:
            self._arrived.clear()
        return slices

    async def _send(self, slices: list[_Slice]) -> None:
        """Send one request, again while the policy allows; deliver the answers.

        Before it is sent again the target is asked whether it is ready: that costs no query, so that an
        outage does not eat into the attacks' budgets.
        """
        pauses = self._retry.pauses()
        attempt = 0
        while slices := await self._reserved(_affordable(slices)):
            attempt += 1
            self._count(sum(len(part.ask) for part in slices), again=attempt > 1)
            try:
                scores = await self._attempt(slices)
            except TargetUnavailableError as error:
                await self._until_ready(pauses, error)
                continue
            for part, answer in zip(slices, split(scores, [part.ask for part in slices]), strict=True):
                part.pending.answer(part.start, answer)
            return

    async def _until_ready(self, pauses: Iterator[float], error: TargetUnavailableError) -> None:
        """Pause until the target says that it is ready; raises once ``pauses`` are used up."""
        for pause in pauses:
            await asyncio.sleep(pause)
            try:
                await self._target.check()
            except TargetUnavailableError as still:
                error = still
            else:
                return
        raise TargetUnavailableError(
            f"{error.message} (gave up after {self._retry.attempts} attempts)", reason=error.reason
        ) from error

    async def _reserved(self, slices: list[_Slice]) -> list[_Slice]:
        """Those whose queries the ledger counted; those of attacks that run elsewhere by now, and of owners
        who have used up their day, fail.
        """
        while slices:
            try:
                await self._ledger.reserve_queries([part.count for part in slices])
            except (LeaseLostError, DayUsedUpError) as error:
                for part in slices:
                    if part.pending.attack in error.attacks:
                        part.pending.fail(error)
                slices = [part for part in slices if part.pending.attack not in error.attacks]
            else:
                break
        return slices

    def _count(self, queries: int, *, again: bool) -> None:
        self._metrics.sent.inc(queries)
        self._metrics.fill.observe(queries / self._info.max_batch)
        if again:
            self._metrics.retried.inc(queries)

    def _span(self, slices: list[_Slice]) -> AbstractContextManager[object]:
        """Of a request that serves attacks with a span: under the first one's, linked to the others'."""
        askers = list(dict.fromkeys(part.pending.traceparent for part in slices if part.pending.traceparent))
        if not askers:
            return nullcontext()
        return tracing.span(
            "target request",
            tracing.Kind.CLIENT,
            parent=askers[0],
            links=askers[1:],
            pixelprobe__target=self._info.name,
            pixelprobe__queries=sum(len(part.ask) for part in slices),
        )

    async def _attempt(self, slices: list[_Slice]) -> Scores:
        fate = Fate.TIMED_OUT
        try:
            with self._span(slices), self._metrics.request(TargetUnavailableError, Exception):
                scores = await self._target.query(fuse([part.ask for part in slices]))
            fate = Fate.ANSWERED
        except RejectedError:
            fate = Fate.REJECTED
            raise
        except TargetUnavailableError:
            raise
        except TargetError:
            fate = Fate.REFUSED
            raise
        finally:
            # What was reserved and never settled still counts, so a crash here loses nothing.
            for part in slices:
                part.pending.budget.settle(len(part.ask), fate)
            await asyncio.shield(self._ledger.settle_queries([part.count for part in slices], fate))
        return scores


def _affordable(slices: list[_Slice]) -> list[_Slice]:
    """Those still wanted whose budgets allow them; the others fail. Their queries are counted."""
    kept: list[_Slice] = []
    for part in slices:
        if part.pending.future.done():
            continue
        try:
            part.pending.budget.take(len(part.ask))
        except BudgetExhaustedError as error:
            part.pending.fail(error)
        else:
            kept.append(part)
    return kept
