"""Runs a load test: an open loop by schedule, or a closed loop of so many requests at a time.

In an open loop requests start by the clock, whether or not earlier ones were answered, and their latency
counts from the scheduled start. A server that stalls for a second shows that second in the latencies of all
requests that were due meanwhile; a closed loop would send one request and hide the others (coordinated
omission).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from pixelprobe_services.common.values import Pixels
from pixelprobe_services.orchestrator.load.figures import Step, Window
from pixelprobe_services.orchestrator.load.plan import LoadPlan, Queries, schedule
from pixelprobe_services.orchestrator.targets.base import (
    QueryBatch,
    RejectedError,
    Target,
    TargetError,
    TargetTimeoutError,
    TargetUnavailableError,
)

WINDOW_SECONDS = 1.0

Event = tuple[int, Window] | Step
"""A window with its step's number, from 0; or a step that has ended."""


async def run(target: Target, plan: LoadPlan, images: Sequence[Pixels]) -> AsyncGenerator[Event, None]:
    """Run all steps in order, yielding windows and steps as they end. Closing the iterator stops the test.

    A step in which more than ``plan.stop_error_share`` of the requests failed is the last one.

    Raises:
        TargetError: the target cannot be described.
        InvalidArgumentError: it does not take such batches or images.
    """
    plan.check(await target.describe(), images)
    queries = Queries(plan, images)
    steps = [Step(offered=rate, batch=plan.batch) for rate in plan.rates]
    steps += [Step(concurrency=number, batch=plan.batch) for number in plan.concurrencies]
    for number, step in enumerate(steps):
        async with aclosing(_Loop(target, plan, queries, step, number).run()) as events:
            async for window in events:
                yield number, window
        if step.error_share > plan.stop_error_share:
            kind, _ = step.errors.most_common(1)[0]
            step.reason = (
                f"{step.error_share:.0%} of the requests failed, mostly {kind.replace('_', ' ')}: "
                "the test ends here"
            )
        step.judge()
        yield step
        if step.error_share > plan.stop_error_share:
            return


class _Loop:
    """One step."""

    def __init__(self, target: Target, plan: LoadPlan, queries: Queries, step: Step, number: int) -> None:
        self._target = target
        self._plan = plan
        self._queries = queries
        self._step = step
        self._number = number
        self._window = Window(0.0, plan.warm_up_seconds > 0)
        self._under_way: set[asyncio.Task[None]] = set()
        self._begin = 0.0
        self._counting_from = plan.warm_up_seconds

    async def run(self) -> AsyncGenerator[Window, None]:
        """Send, and yield a window about every second; the step is complete at the end."""
        plan, step = self._plan, self._step
        self._begin = time.monotonic()
        sending = asyncio.create_task(self._open() if step.offered else self._closed())
        measured = None
        try:
            while not sending.done():
                await asyncio.wait({sending}, timeout=WINDOW_SECONDS)
                if measured is None and self._now() >= plan.warm_up_seconds:
                    measured = self._measure()
                yield self._end_window()
            sending.result()
            if self._under_way:
                await asyncio.wait(self._under_way)
        finally:
            sending.cancel()
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(sending, *self._under_way, return_exceptions=True)
        step.seconds = max(self._now() - self._counting_from, 1e-9)
        if step.offered:
            # The time to send in counts, not the wait for the last answers: that is in their latency.
            step.seconds = plan.duration_seconds
        before = measured or (0.0, 0, 0, self._now())
        cpu, sent, received, since = self._measure()
        share = (cpu - before[0]) / max(since - before[3], 1e-9)
        step.cpu_seconds = share * step.seconds
        step.bytes_sent, step.bytes_received = sent - before[1], received - before[2]
        yield self._end_window()

    async def _open(self) -> None:
        total = self._plan.warm_up_seconds + self._plan.duration_seconds
        seed = self._plan.seed + self._number
        for due in schedule(self._step.offered, total, self._plan.poisson, seed):
            wait = due - self._now()
            if wait > 0:
                await asyncio.sleep(wait)
            while len(self._under_way) >= self._plan.max_in_flight:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            self._start(due)
            if wait <= 0:
                # Behind the schedule: let answers in before the next start.
                await asyncio.sleep(0)

    async def _closed(self) -> None:
        total = self._plan.warm_up_seconds + self._plan.duration_seconds

        async def one_after_another() -> None:
            while (start := self._now()) < total:
                await self._send(self._queries.next(), start)

        async with asyncio.TaskGroup() as workers:
            for _ in range(self._step.concurrency):
                workers.create_task(one_after_another())

    def _start(self, due: float) -> None:
        if due >= self._counting_from:
            self._step.delays.record(max(0.0, self._now() - due))
        task = asyncio.create_task(self._send(self._queries.next(), due))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send(self, batch: QueryBatch, due: float) -> None:
        """Send one request; it counts unless it was due in the warm-up."""
        kind = ""
        try:
            await self._target.query(batch)
        except RejectedError as error:
            kind = "rejected"
            asked = error.retry_after_seconds or 0.0
            self._step.longest_retry_after = max(self._step.longest_retry_after, asked)
        except TargetTimeoutError:
            kind = "timed_out"
        except TargetUnavailableError:
            kind = "unavailable"
        except TargetError:
            kind = "refused"
        latency = self._now() - due
        if kind:
            self._window.errors += 1
        else:
            self._window.latencies.record(latency)
        if due < self._counting_from:
            return
        if kind:
            self._step.errors[kind] += 1
        else:
            self._step.latencies.record(latency)

    def _now(self) -> float:
        return time.monotonic() - self._begin

    def _measure(self) -> tuple[float, int, int, float]:
        stats = self._target.stats
        return time.process_time(), stats.bytes_sent, stats.bytes_received, self._now()

    def _end_window(self) -> Window:
        ended, now = self._window, self._now()
        ended.length = now - ended.start
        ended.in_flight = len(self._under_way) or self._step.concurrency
        self._window = Window(now, now < self._plan.warm_up_seconds)
        return ended
