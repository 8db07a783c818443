"""Slices of asks -> requests to one target, sent until they are answered or there is no hope.

Every request passes the ledger before it is sent: reserved in the store, counted in each attack's budget,
settled after with what became of it. A retry passes it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from pixelprobe_services.common import tracing
from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.common.values import Fate
from pixelprobe_services.orchestrator.metrics import TargetMetrics
from pixelprobe_services.orchestrator.query.fusion import fuse, split
from pixelprobe_services.orchestrator.query.pacing import Gate, RateLimiter, RequestSize
from pixelprobe_services.orchestrator.query.pending import Slice
from pixelprobe_services.orchestrator.store.base import QueryCount
from pixelprobe_services.orchestrator.store.errors import LeaseLostError
from pixelprobe_services.orchestrator.store.limits import SECONDS_A_DAY, DayUsedUpError
from pixelprobe_services.orchestrator.targets.base import (
    RejectedError,
    Scores,
    Target,
    TargetError,
    TargetInfo,
    TargetTimeoutError,
    TargetUnavailableError,
)


class QueryLedger(Protocol):
    """The part of the store that counts queries."""

    async def reserve_queries(self, counts: Sequence[QueryCount]) -> None:
        """Count queries before they are sent.

        Raises:
            LeaseLostError: some of the attacks run elsewhere by now; nothing is counted.
            DayUsedUpError: an owner may send no more today; nothing is counted.
        """

    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate) -> None:
        """Record what became of queries that were reserved."""

    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        """Count queries of a target that may get ``most`` a day.

        Raises:
            DayUsedUpError: they would be more; none is counted.
        """


DAY_LOOK_SECONDS = 900.0
"""Longest time between two looks at whether a target that has used up a day's queries has a new day."""


def knobs(info: TargetInfo) -> str:
    """What an operator can do about a target that does not answer in time."""
    return (
        f"lower max_batch (now {info.max_batch}) or max_in_flight (now {info.max_in_flight})"
        f" of target '{info.name}', or raise its timeout_seconds"
    )


class Delivery:
    """Sends requests to one target, within its limits. Safe to use from many tasks.

    Attributes:
        gate: holds requests back after the target turned one away.
        size: the most queries that a request may hold now.
    """

    def __init__(
        self,
        target: Target,
        info: TargetInfo,
        ledger: QueryLedger,
        retry: RetryPolicy,
        metrics: TargetMetrics,
    ) -> None:
        self._target = target
        self._info = info
        self._ledger = ledger
        self._retry = retry
        self._metrics = metrics
        limits = info.limits
        queries, requests = limits.max_queries_per_second, limits.max_requests_per_second
        self._queries = RateLimiter(queries) if queries else None
        self._requests = RateLimiter(requests) if requests else None
        self.gate = Gate(retry)
        self.size = RequestSize(
            min(
                info.max_batch,
                limits.daily_queries or info.max_batch,
                max(1, math.floor(queries or info.max_batch)),
            )
        )

    async def deliver(self, slices: Sequence[Slice]) -> None:
        """Send ``slices`` until all are answered, in pieces if they are not answered in time.

        Slices that the ledger or a budget does not allow fail, and spare the others.

        Raises:
            TargetError: the target refused a request, or could not be reached through all attempts.
            StoreError: queries could not be counted, and so were not sent.
        """
        waiting = deque(slices)
        most = self.size.limit  # never sends the same in a piece that was too large before
        pauses = self._retry.pauses()
        while waiting:
            piece = _take(waiting, min(most, self.size.limit))
            async with self.gate.turn(self._target.check):
                await self._within_rates(sum(map(len, piece)))
                sent = False
                try:
                    await self._within_day(sum(map(len, piece)))
                    piece = await self._reserved(_affordable(piece))
                    if not piece:
                        continue
                    queries, sent = sum(map(len, piece)), True
                    scores = await self._attempt(piece, queries)
                except TargetUnavailableError as error:
                    failure = error
                    if isinstance(error, RejectedError):
                        self.gate.rejected(error)
                else:
                    self.gate.answered()
                    self.size.answered(queries)
                    for part, answer in zip(piece, split(scores, [part.ask for part in piece]), strict=True):
                        part.pending.answer(part.start, answer)
                    pauses = self._retry.pauses()
                    continue
            waiting.extendleft(part.again() if sent else part for part in reversed(piece))
            for part in piece:
                part.pending.budget.on_trouble(failure.message)
            if isinstance(failure, TargetTimeoutError):
                self.size.timed_out(queries)
                most = max(1, queries // 2)
            if not isinstance(failure, RejectedError):  # else the gate keeps the pause
                await self._until_ready(pauses, failure, at_once=queries > most)

    async def _within_rates(self, queries: int) -> None:
        if self._requests:
            await self._requests.acquire(1)
        if self._queries:
            await self._queries.acquire(queries)

    async def _within_day(self, queries: int) -> None:
        """Count ``queries`` as today's of the target; also those that it turns away later.

        Raises:
            RejectedError: they would be more than the operator allows, until tomorrow (UTC).
        """
        most = self._info.limits.daily_queries
        if not most:
            return
        name = self._info.name
        subject = f"targets/{name if len(name) <= 48 else hashlib.sha256(name.encode()).hexdigest()[:48]}"
        try:
            await self._ledger.spend_day(subject, queries, most)
        except DayUsedUpError as error:
            left = SECONDS_A_DAY - time.time() % SECONDS_A_DAY
            raise RejectedError(
                f"the {most:,} daily_queries of target '{name}' are used up for today (UTC)",
                retry_after_seconds=min(left + 1, DAY_LOOK_SECONDS),  # it is the database's clock that counts
            ) from error

    async def _until_ready(
        self, pauses: Iterator[float], error: TargetUnavailableError, *, at_once: bool
    ) -> None:
        """Pause until the target says that it is ready, which costs no query.

        Args:
            pauses: seconds before each look.
            error: why it is waited for; raised once ``pauses`` are used up.
            at_once: look once before the first pause, because a smaller request may be all it takes.
        """
        if at_once and await self._is_ready():
            return
        for pause in pauses:
            await asyncio.sleep(pause)
            try:
                await self._target.check()
            except TargetUnavailableError as still:
                error = still
            else:
                return
        message = f"{error.message} (gave up after {self._retry.attempts} attempts)"
        if isinstance(error, TargetTimeoutError):
            raise TargetTimeoutError(f"{message}; {knobs(self._info)}") from error
        raise TargetUnavailableError(message, reason=error.reason) from error

    async def _is_ready(self) -> bool:
        try:
            await self._target.check()
        except TargetUnavailableError:
            return False
        return True

    async def _reserved(self, slices: list[Slice]) -> list[Slice]:
        """Reserve the slices' queries; those of attacks that run elsewhere, and of owners who have used up
        their day, fail and are left out.
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

    async def _attempt(self, piece: list[Slice], queries: int) -> Scores:
        """Send one request, once, and settle its queries."""
        self._metrics.fill.observe(queries / self._info.max_batch)
        self._metrics.retried.inc(sum(len(part) for part in piece if part.is_retry))
        fate = Fate.TIMED_OUT
        try:
            with self._span(piece, queries), self._metrics.request(TargetUnavailableError, Exception):
                scores = await self._target.query(fuse([part.ask for part in piece]))
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
            self._metrics.settled(queries, fate)
            for part in piece:
                part.pending.budget.settle(len(part), fate)
            # What was reserved and is never settled counts as sent, so that a crash here loses nothing.
            await asyncio.shield(self._ledger.settle_queries([part.count for part in piece], fate))
        return scores

    def _span(self, piece: list[Slice], queries: int) -> AbstractContextManager[object]:
        """A span of a request for traced attacks: under the first one's, linked to the others'."""
        askers = list(dict.fromkeys(part.pending.traceparent for part in piece if part.pending.traceparent))
        if not askers:
            return nullcontext()
        return tracing.span(
            "target request",
            tracing.Kind.CLIENT,
            parent=askers[0],
            links=askers[1:],
            pixelprobe__target=self._info.name,
            pixelprobe__queries=queries,
        )


def _take(waiting: deque[Slice], most: int) -> list[Slice]:
    """Take slices off the front, ``most`` queries in all at most; the last may be split."""
    piece: list[Slice] = []
    room = most
    while waiting and room:
        part = waiting.popleft()
        if part.pending.is_done:
            continue
        if len(part) > room:
            part, rest = part.split(room)
            waiting.appendleft(rest)
        piece.append(part)
        room -= len(part)
    return piece


def _affordable(slices: list[Slice]) -> list[Slice]:
    """Those still wanted, cut to what their budgets allow. Their queries are counted there."""
    kept: list[Slice] = []
    for part in slices:
        if part.pending.is_done:
            continue
        budget = part.pending.budget
        room = budget.affordable(len(part))
        if room < len(part):
            part.pending.cut(part.start + room)
            if not room:
                continue
            part, _ = part.split(room)  # noqa: PLW2901 - what is left of it
        budget.take(len(part), is_retry=part.is_retry)
        kept.append(part)
    return kept
