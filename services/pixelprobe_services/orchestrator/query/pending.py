"""An attack's queries on their way: which were handed to requests, and which were answered."""

from __future__ import annotations

import asyncio

from pixelprobe_services.common import tracing
from pixelprobe_services.orchestrator.query.budget import Budget
from pixelprobe_services.orchestrator.query.fusion import Ask, join
from pixelprobe_services.orchestrator.store.base import AttackId, QueryCount
from pixelprobe_services.orchestrator.targets.base import Scores


class Pending:
    """An ask, answered in parts and in any order. ``future`` gets the whole answer, or an error."""

    def __init__(self, attack: AttackId, ask: Ask, budget: Budget) -> None:
        self.attack = attack
        self.ask = ask
        self.budget = budget
        self.taken = 0  # rows handed to requests so far
        self.future: asyncio.Future[Scores] = asyncio.get_running_loop().create_future()
        self.traceparent = tracing.traceparent()
        self._parts: dict[int, Scores] = {}  # by first row
        self._answered = 0
        self._affordable = len(ask)

    @property
    def is_done(self) -> bool:
        """Answered, failed or cancelled: nothing of it need be sent."""
        return self.future.done()

    def answer(self, start: int, scores: Scores) -> None:
        """The answers to the rows from ``start``."""
        self._parts[start] = scores
        self._answered += len(scores.top_classes)
        self._settle()

    def cut(self, row: int) -> None:
        """The attack's budget has no room for the queries from ``row``.

        The future fails with a BudgetExhaustedError, once those before it are answered.
        """
        self._affordable = min(self._affordable, row)
        self._settle()

    def fail(self, error: Exception) -> None:
        """Give up; no effect where it is done."""
        if not self.is_done:
            self.future.set_exception(error)

    def _settle(self) -> None:
        if self.is_done or self._answered < self._affordable:
            return
        first: list[Scores] = []
        rows = 0
        while rows < self._affordable and (part := self._parts.get(rows)):
            first.append(part)
            rows += len(part.top_classes)
        if rows < self._affordable:
            return
        if self._affordable == len(self.ask):
            self.future.set_result(join(first))
            return
        error = self.budget.exhausted(len(self.ask) - self._affordable)
        error.answered = join(first)[: self._affordable] if first else None
        self.future.set_exception(error)


class Slice:
    """The rows of an ask from ``start`` to before ``stop``, as they go into one request."""

    def __init__(self, pending: Pending, start: int, stop: int, *, is_retry: bool = False) -> None:
        self.pending = pending
        self.start = start
        self.stop = stop
        self.ask = pending.ask.rows(start, stop)
        self.is_retry = is_retry

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def count(self) -> QueryCount:
        """For the ledger."""
        return QueryCount(self.pending.attack, len(self), self.is_retry)

    def again(self) -> Slice:
        """The same rows, to be sent once more."""
        return Slice(self.pending, self.start, self.stop, is_retry=True)

    def split(self, rows: int) -> tuple[Slice, Slice]:
        """The first ``rows`` rows, and the others; neither is empty."""
        middle = self.start + rows
        return (
            Slice(self.pending, self.start, middle, is_retry=self.is_retry),
            Slice(self.pending, middle, self.stop, is_retry=self.is_retry),
        )
