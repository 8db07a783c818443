"""Rate limits, held on a virtual clock, and the size of requests that are in time."""

from __future__ import annotations

import asyncio
import random

import pytest

from pixelprobe_services.orchestrator.query.pacing import GROW_AFTER, RateLimiter, RequestSize


class VirtualClock:
    """Time that passes only in sleeps; each ends ``late`` seconds late at most."""

    def __init__(self, late: float = 0.0) -> None:
        self.time = 1000.0
        self._late = late
        self._random = random.Random(7)

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds + self._random.uniform(0, self._late)


@pytest.mark.parametrize("late", [0.0, 0.002, 0.05])
@pytest.mark.parametrize(
    ("rate", "batches"),
    [(1000.0, [64]), (100.0, [40]), (10.0, [3]), (10.0, [64]), (7.5, [1]), (500.0, [64, 1, 17, 50])],
)
async def test_a_rate_is_kept_and_never_exceeded_by_more_than_a_batch(
    rate: float, batches: list[int], late: float
) -> None:
    clock = VirtualClock(late)
    limiter = RateLimiter(rate, clock.now, clock.sleep)
    sent: list[tuple[float, int]] = []
    start = clock.time
    while clock.time < start + 60:
        units = batches[len(sent) % len(batches)]
        await limiter.acquire(units)
        sent.append((clock.time, units))
    most = max(batches)
    for first, (begin, _) in enumerate(sent):
        within = sum(units for moment, units in sent[first:] if moment < begin + 1)
        assert within <= rate + most
    total = sum(units for _, units in sent[:-1])
    assert 0.95 * rate * (sent[-1][0] - start) <= total <= rate * (sent[-1][0] - start) + most * 1.01


async def test_idle_time_gives_no_burst() -> None:
    clock = VirtualClock()
    limiter = RateLimiter(100.0, clock.now, clock.sleep)
    await limiter.acquire(10)
    clock.time += 3600
    begin = clock.time
    for _ in range(20):
        await limiter.acquire(10)
    assert clock.time - begin >= 1.9 - RateLimiter.CATCH_UP


async def test_waiting_requests_are_served_in_order() -> None:
    clock = VirtualClock()
    limiter = RateLimiter(10.0, clock.now, clock.sleep)
    order: list[int] = []

    async def one(number: int) -> None:
        await limiter.acquire(5)
        order.append(number)

    await asyncio.gather(*(one(number) for number in range(6)))
    assert order == sorted(order)
    assert clock.time == pytest.approx(1002.5 - RateLimiter.CATCH_UP, abs=RateLimiter.CATCH_UP)


def test_no_rate_is_no_limiter() -> None:
    with pytest.raises(ValueError, match="rate"):
        RateLimiter(0.0)


def test_a_size_is_halved_and_grows_again_carefully() -> None:
    size = RequestSize(64)
    for queries in (64, 64, 64, 32):  # requests that were in flight together
        size.timed_out(queries)
    assert size.limit == 16
    for _ in range(GROW_AFTER - 1):
        size.answered(16)
    size.answered(3)  # not full: says nothing of 16
    assert size.limit == 16
    size.answered(16)
    assert size.limit == 20
    size.timed_out(20)
    assert size.limit == 10
    for _ in range(GROW_AFTER):
        size.answered(10)
    assert size.limit == 10
    for _ in range(GROW_AFTER):
        size.answered(10)
    assert size.limit == 12


def test_a_size_never_exceeds_the_most_and_is_never_0() -> None:
    size = RequestSize(2)
    for _ in range(5):
        size.timed_out(1)
    assert size.limit == 1
    for _ in range(100 * GROW_AFTER):
        size.answered(size.limit)
    assert size.limit == 2
