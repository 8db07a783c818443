"""Load tests: the schedule, the queries, and what is measured of targets that stall, fail or refuse."""

from __future__ import annotations

import asyncio
from itertools import islice

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.orchestrator.load.figures import Latencies, Step, Window
from pixelprobe_services.orchestrator.load.plan import LoadPlan, Queries, schedule
from pixelprobe_services.orchestrator.load.run import run
from pixelprobe_services.orchestrator.targets.base import (
    QueryBatch,
    RejectedError,
    Scores,
    Target,
    TargetError,
    TargetInfo,
    TargetStats,
    TargetTimeoutError,
)

IMAGES = [np.zeros((6, 8, 3), np.uint8), np.full((6, 8, 3), 9, np.uint8)]


class FakeTarget(Target):
    """Answers at once, but for the requests (from 0) that ``faults`` names, which raise or wait for it."""

    def __init__(self, faults: dict[int, Exception | float] | None = None, max_batch: int = 100) -> None:
        self.name = "fake"
        self.stats = TargetStats()
        self.batches: list[QueryBatch] = []
        self.stalled_until = 0.0
        self.most_under_way = 0
        self._under_way = 0
        self._faults = faults or {}
        self._max_batch = max_batch

    async def describe(self) -> TargetInfo:
        return TargetInfo("fake", 8, 6, 3, (), True, self._max_batch, 4)

    async def check(self) -> TargetInfo:
        return await self.describe()

    async def query(self, batch: QueryBatch) -> Scores:
        fault = self._faults.get(len(self.batches))
        self.batches.append(batch)
        clock = asyncio.get_running_loop().time
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            # The whole server stands still, for those that come meanwhile as well.
            self.stalled_until = clock() + fault
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        if (wait := self.stalled_until - clock()) > 0:
            await asyncio.sleep(wait)
        self._under_way -= 1
        return Scores(
            np.zeros((len(batch), 1), np.float32),
            np.zeros((len(batch), 3), np.int32),
            np.zeros((len(batch), 3), np.float32),
        )

    async def close(self) -> None:
        return


async def measure(target: Target, plan: LoadPlan) -> tuple[list[Step], list[Window]]:
    steps, windows = [], []
    async for event in run(target, plan, IMAGES):
        if isinstance(event, Step):
            steps.append(event)
        else:
            windows.append(event[1])
    return steps, windows


def test_an_open_loop_has_equal_gaps() -> None:
    assert list(schedule(4, 1, poisson=False, seed=0)) == [0.0, 0.25, 0.5, 0.75]


@given(st.floats(1, 500), st.integers(0, 2**32))
def test_poisson_arrivals_ascend_and_repeat_with_their_seed(rate: float, seed: int) -> None:
    starts = list(islice(schedule(rate, 2000 / rate, poisson=True, seed=seed), 3000))
    assert starts == sorted(starts)
    assert starts == list(islice(schedule(rate, 2000 / rate, poisson=True, seed=seed), 3000))
    # 2000 expected, standard deviation 45.
    assert abs(len(starts) - 2000) < 300


@given(st.integers(1, 5), st.integers(1, 50), st.integers(0, 2**32))
def test_queries_are_edits_within_the_image_and_differ(pixels: int, batch: int, seed: int) -> None:
    queries = Queries(LoadPlan(rates=(1.0,), pixels=pixels, batch=batch, seed=seed), IMAGES)
    one, other = queries.next(), queries.next()
    assert one.edits.shape == (batch, pixels, 5)
    assert (one.edits >= 0).all()
    assert (one.edits < [8, 6, 256, 256, 256]).all()
    assert not np.array_equal(one.edits, other.edits)
    assert not np.array_equal(one.images, other.images)
    for query in one.edits:
        by_place: dict[tuple[int, int], set[tuple[int, ...]]] = {}
        for x, y, *colour in query.tolist():
            by_place.setdefault((x, y), set()).add(tuple(colour))
        assert all(len(colours) == 1 for colours in by_place.values())


def test_latencies_are_an_hdr_histograms() -> None:
    latencies = Latencies()
    for milliseconds in range(1, 1001):
        latencies.record(milliseconds / 1000)
    assert latencies.percentile(50) == pytest.approx(0.5, rel=0.002)
    assert latencies.percentile(99.9) == pytest.approx(0.999, rel=0.002)
    assert latencies.highest == pytest.approx(1.0, rel=0.002)
    assert HdrHistogram.decode(latencies.encoded()).get_total_count() == 1000
    assert Latencies().percentile(99) == 0.0


async def test_an_open_loop_shows_a_stall_in_all_requests_that_were_due_meanwhile() -> None:
    plan = LoadPlan(rates=(200.0,), duration_seconds=2.0)
    (step,), _ = await measure(FakeTarget({100: 1.0}), plan)
    assert len(step.latencies) == 400
    assert step.latencies.percentile(99.9) > 0.9
    # 200 were due in that second, with half a second to wait on average.
    assert step.latencies.percentile(75) > 0.3


async def test_failures_are_counted_by_kind_and_are_no_latencies() -> None:
    faults: dict[int, Exception | float] = {
        3: RejectedError("full", retry_after_seconds=2.0),
        4: TargetTimeoutError("late"),
        5: TargetError("no"),
    }
    (step,), _ = await measure(FakeTarget(faults), LoadPlan(rates=(50.0,), duration_seconds=0.4))
    assert step.errors == {"rejected": 1, "timed_out": 1, "refused": 1}
    assert (step.requests, len(step.latencies)) == (20, 17)
    assert step.longest_retry_after == 2.0
    assert not step.achieved
    assert "of 50 requests a second were answered" in step.reason


async def test_a_target_that_fails_ends_the_test_with_what_was_measured() -> None:
    faults: dict[int, Exception | float] = dict.fromkeys(range(1000), TargetError("no"))
    plan = LoadPlan(rates=(20.0, 40.0), duration_seconds=0.2, stop_error_share=0.5)
    (step,), _ = await measure(FakeTarget(faults), plan)
    assert step.offered == 20
    assert "100% of the requests failed, mostly refused: the test ends here" in step.reason


async def test_a_rate_that_cannot_be_held_is_said_and_not_lowered() -> None:
    plan = LoadPlan(rates=(400.0,), duration_seconds=0.5, max_in_flight=1)
    (step,), _ = await measure(FakeTarget(dict.fromkeys(range(1000), 0.02)), plan)
    assert step.offered == 400
    assert step.requests == 200
    assert step.delays.percentile(99) > 0.5
    assert step.latencies.percentile(99) > 0.5


async def test_a_closed_loop_keeps_so_many_requests_under_way() -> None:
    target = FakeTarget(dict.fromkeys(range(1000), 0.05), max_batch=7)
    (one,), _ = await measure(target, LoadPlan(concurrencies=(1,), duration_seconds=0.2, batch=7))
    assert (one.concurrency, target.most_under_way) == (1, 1)
    (three,), windows = await measure(target, LoadPlan(concurrencies=(3,), duration_seconds=0.2, batch=7))
    assert (three.concurrency, target.most_under_way) == (3, 3)
    assert three.requests >= 3
    assert {window.in_flight for window in windows} == {3}
    assert all(len(batch) == 7 for batch in target.batches)


async def test_the_warm_up_does_not_count() -> None:
    target = FakeTarget({0: TargetError("cold")})
    plan = LoadPlan(rates=(20.0,), warm_up_seconds=0.2, duration_seconds=0.3)
    (step,), windows = await measure(target, plan)
    assert not step.errors
    assert step.requests == 6
    assert sum(len(window.latencies) + window.errors for window in windows) == len(target.batches) == 10


async def test_closing_the_events_stops_the_requests() -> None:
    target = FakeTarget()
    events = run(target, LoadPlan(rates=(100.0,), duration_seconds=60), IMAGES)
    await anext(events)
    await events.aclose()
    sent = len(target.batches)
    await asyncio.sleep(0.1)
    assert len(target.batches) == sent


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "rates"),
        ({"rates": (1.0,), "concurrencies": (1,)}, "rates"),
        ({"rates": (0.0,)}, "rates"),
        ({"rates": (float("nan"),)}, "rates"),
        ({"rates": (1.0,) * 51}, "rates"),
        ({"concurrencies": (0,)}, "concurrencies"),
        ({"rates": (1.0,), "duration_seconds": float("inf")}, "duration_seconds"),
        ({"rates": (1.0, 2.0), "duration_seconds": 3000.0}, "duration_seconds"),
        ({"rates": (1.0,), "pixels": 65}, "pixels"),
        ({"rates": (1.0,), "stop_error_share": 1.5}, "stop_error_share"),
    ],
)
def test_plans_out_of_bounds_name_their_field(values: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        LoadPlan(**values)  # type: ignore[arg-type]
    assert refused.value.field == field


async def test_a_batch_that_the_target_does_not_take_is_refused_before_anything_is_sent() -> None:
    target = FakeTarget(max_batch=4)
    with pytest.raises(InvalidArgumentError, match="5 is over fake's max_batch, 4"):
        await measure(target, LoadPlan(rates=(1.0,), batch=5))
    assert not target.batches


def test_a_busy_orchestrator_is_named_as_the_bottleneck() -> None:
    step = Step(offered=100.0, seconds=1.0, cpu_seconds=0.97)
    for _ in range(50):
        step.latencies.record(0.001)
    step.judge()
    assert step.reason == (
        "50.0 of 100 requests a second were answered; the orchestrator used 97% of a core and may itself be "
        "the bottleneck"
    )
