"""A slow, throttled or unreachable target: smaller requests, shared pauses, and counts that are exact."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.common.values import Fate, Ledger
from pixelprobe_services.orchestrator.query.batcher import Batcher
from pixelprobe_services.orchestrator.query.budget import Budget
from pixelprobe_services.orchestrator.targets.base import (
    QueryBatch,
    RateLimits,
    RejectedError,
    Scores,
    TargetInfo,
    TargetTimeoutError,
    TargetUnavailableError,
)
from tests.unit.orchestrator.fakes import INFO, FakeTarget, ListLedger
from tests.unit.orchestrator.test_batcher import QUICK, alone, assert_same, attack, make_ask


class SlowTarget(FakeTarget):
    """Answers requests of ``in_time`` queries at most."""

    def __init__(self, in_time: int) -> None:
        super().__init__()
        self.in_time = in_time

    async def query(self, batch: QueryBatch) -> Scores:
        if len(batch) > self.in_time:
            self.batches.append(batch)
            raise TargetTimeoutError("no answer within 3 s")
        return await super().query(batch)


async def test_what_timed_out_is_sent_again_in_smaller_pieces_and_the_size_is_remembered() -> None:
    target, ledger, budget = SlowTarget(12), ListLedger(), Budget(None)
    ask = make_ask(1, 40)
    async with Batcher(target, INFO, ledger, QUICK) as batcher:
        assert_same(await batcher.query(attack(0), ask, budget), alone(ask))
        assert [len(batch) for batch in target.batches] == [40, 20, 10, 10, 10, 10]
        other = make_ask(2, 40)
        assert_same(await batcher.query(attack(1), other, Budget(None)), alone(other))
    assert [len(batch) for batch in target.batches[6:]] == [10] * 4
    assert budget.ledger == Ledger(100, answered=40, timed_out=60, retries=60)
    assert ledger.fates == {Fate.TIMED_OUT: 60, Fate.ANSWERED: 80}


async def test_a_target_that_is_never_in_time_names_what_to_change() -> None:
    target, budget = SlowTarget(0), Budget(None)
    async with Batcher(target, INFO, ListLedger(), QUICK) as batcher:
        with pytest.raises(
            TargetTimeoutError, match=r"3 attempts.*max_batch \(now 40\).*max_in_flight.*timeout_seconds"
        ):
            await batcher.query(attack(0), make_ask(1, 4), budget)
    assert [len(batch) for batch in target.batches] == [4, 2, 1, 1, 1]
    assert budget.ledger == Ledger(9, answered=0, timed_out=9, retries=5)


async def test_rejected_queries_cost_no_budget_and_stand_in_the_ledger() -> None:
    def reject_twice(batch: int) -> None:
        if batch <= 2:
            raise RejectedError("HTTP 429", retry_after_seconds=0.001)

    target, ledger, budget = FakeTarget(reject_twice), ListLedger(), Budget(10)
    ask = make_ask(1, 10)
    async with Batcher(target, INFO, ledger, QUICK) as batcher:
        assert_same(await batcher.query(attack(0), ask, budget), alone(ask))
    assert budget.ledger == Ledger(10, answered=10, rejected=20, retries=20)
    assert ledger.fates == {Fate.REJECTED: 20, Fate.ANSWERED: 10}


async def test_a_target_that_asks_for_a_long_pause_is_not_asked_again_before() -> None:
    def reject(_: int) -> None:
        raise RejectedError("HTTP 429: quota", retry_after_seconds=3600)

    target, told = FakeTarget(reject), list[str]()
    budget = Budget(None)
    budget.on_trouble = told.append
    async with Batcher(target, INFO, ListLedger(), QUICK) as batcher:
        for number in range(3):  # attacks, side by side or one after another
            with pytest.raises(RejectedError, match=r"quota \(it is asked again at [\d:]{8} UTC\)") as caught:
                await batcher.query(attack(number), make_ask(number, 10), budget)
            assert caught.value.retry_after_seconds is not None
            assert 3500 < caught.value.retry_after_seconds < 4600
        with pytest.raises(RejectedError):
            batcher.require_patience()
    assert len(target.batches) == 1
    assert told == ["HTTP 429: quota"]


async def test_one_rejection_holds_back_all_requests_until_one_is_answered() -> None:
    released = asyncio.Event()

    class Throttled(FakeTarget):
        async def query(self, batch: QueryBatch) -> Scores:
            if not released.is_set():
                self.batches.append(batch)
                if len(self.batches) == 3:
                    released.set()
                raise RejectedError("busy")
            return await super().query(batch)

    info = TargetInfo("fake", 8, 6, 10, (), True, max_batch=10, max_in_flight=4)
    target, ledger = Throttled(info=info), ListLedger()
    asks = [make_ask(number, 10) for number in range(8)]
    async with Batcher(target, info, ledger, RetryPolicy(6, 0.001, 0.002)) as batcher:
        answers = await asyncio.gather(
            *(batcher.query(attack(number), ask, Budget(None)) for number, ask in enumerate(asks))
        )
    for ask, answer in zip(asks, answers, strict=True):
        assert_same(answer, alone(ask))
    assert ledger.fates == {Fate.REJECTED: 30, Fate.ANSWERED: 80}


async def test_a_target_that_only_rejects_is_given_up_within_bounds() -> None:
    def reject(_: int) -> None:
        raise RejectedError("queue full")

    target = FakeTarget(reject)
    async with Batcher(target, INFO, ListLedger(), QUICK) as batcher:
        with pytest.raises(RejectedError, match=r"queue full \(gave up after 3 attempts\)"):
            await batcher.query(attack(0), make_ask(1, 10), Budget(None))
    assert len(target.batches) == 3


async def test_an_unreachable_target_costs_no_queries_while_it_is_away() -> None:
    class Away(FakeTarget):
        checks = 0

        async def check(self) -> TargetInfo:
            self.checks += 1
            if self.checks == 1:
                raise RejectedError("connection refused")
            if self.checks == 2:
                raise TargetUnavailableError("is not ready")
            return await super().check()

    def fail_once(batch: int) -> None:
        if batch == 1:
            raise RejectedError("connection refused")

    target, ledger, budget = Away(fail_once), ListLedger(), Budget(10)
    ask = make_ask(4, 10)
    async with Batcher(target, INFO, ledger, RetryPolicy(5, 0.001, 0.002)) as batcher:
        assert_same(await batcher.query(attack(0), ask, budget), alone(ask))
    assert (target.checks, ledger.total, budget.sent) == (3, 20, 10)


async def test_a_connection_that_broke_counts_as_not_answered() -> None:
    def break_once(batch: int) -> None:
        if batch == 1:
            raise TargetUnavailableError("connection reset")

    target, budget = FakeTarget(break_once), Budget(None)
    async with Batcher(target, INFO, ListLedger(), QUICK) as batcher:
        await batcher.query(attack(0), make_ask(1, 10), budget)
    assert budget.ledger == Ledger(20, answered=10, timed_out=10, retries=10)


async def test_daily_queries_are_never_exceeded_and_the_target_is_waited_for() -> None:
    info = replace(INFO, limits=RateLimits(daily_queries=55))
    target, ledger = FakeTarget(info=info), ListLedger()
    async with Batcher(target, info, ledger, QUICK) as batcher:
        ask = make_ask(1, 40)
        assert_same(await batcher.query(attack(0), ask, Budget(None)), alone(ask))
        budget = Budget(None)
        with pytest.raises(
            RejectedError, match="the 55 daily_queries of target 'fake' are used up"
        ) as caught:
            await batcher.query(attack(1), make_ask(2, 20), budget)
        assert caught.value.retry_after_seconds is not None
        with pytest.raises(RejectedError):
            batcher.require_patience()
    assert (ledger.days, ledger.total, target.answered) == ({"targets/fake": 40}, 40, 40)
    assert budget.ledger == Ledger(answered=0)


async def test_a_rate_below_the_batch_makes_requests_smaller() -> None:
    info = replace(INFO, limits=RateLimits(max_queries_per_second=1000.0, max_requests_per_second=5000.0))
    target = FakeTarget(info=replace(info, max_batch=4000))
    async with Batcher(target, replace(info, max_batch=4000), ListLedger(), QUICK) as batcher:
        ask = make_ask(1, 1500)
        assert_same(await batcher.query(attack(0), ask, Budget(None)), alone(ask))
    assert [len(batch) for batch in target.batches] == [1000, 500]
