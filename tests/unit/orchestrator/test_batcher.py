"""The query path: fused, counted, retried within bounds, cut to the budget, fair to everyone."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.common.values import Fate, Ledger, image_digest
from pixelprobe_services.orchestrator.query.batcher import Batcher
from pixelprobe_services.orchestrator.query.budget import Budget, BudgetExhaustedError
from pixelprobe_services.orchestrator.query.fusion import Ask, fuse, split
from pixelprobe_services.orchestrator.store.base import AttackId
from pixelprobe_services.orchestrator.targets.base import (
    Scores,
    TargetError,
    TargetInfo,
    TargetUnavailableError,
)
from tests.unit.orchestrator.fakes import INFO, FakeTarget, ListLedger, score

QUICK = RetryPolicy(attempts=3, first_pause=0.001, longest_pause=0.002)


def make_ask(seed: int, rows: int, pixels: int = 1, classes: int = 1) -> Ask:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (INFO.height, INFO.width, 3), dtype=np.uint8)
    edits = rng.integers(0, 6, (rows, pixels, 5)).astype(np.int16)
    edits[..., 2:] = rng.integers(0, 256, (rows, 1, 3))  # edits of one row may share a pixel: same colour
    return Ask(image, image_digest(image), edits, np.arange(classes, dtype=np.int32))


def alone(ask: Ask) -> Scores:
    return score(fuse([ask]))


def assert_same(one: Scores, other: Scores) -> None:
    np.testing.assert_array_equal(one.class_probabilities, other.class_probabilities)
    np.testing.assert_array_equal(one.top_classes, other.top_classes)
    np.testing.assert_array_equal(one.top_probabilities, other.top_probabilities)


def attack(number: int) -> AttackId:
    return AttackId("c", number)


def test_fusing_changes_no_answer() -> None:
    asks = [make_ask(1, 7, 1, 2), make_ask(2, 3, 5, 6), make_ask(1, 4, 3, 1)]
    batch = fuse(asks)
    assert len(batch) == 14
    assert len(batch.images) == 2  # the first and the last share their image
    for ask, answer in zip(asks, split(score(batch), asks), strict=True):
        assert_same(answer, alone(ask))


async def test_many_asks_share_full_requests() -> None:
    target, ledger = FakeTarget(seconds=0.01), ListLedger()
    asks = [make_ask(seed, 10) for seed in range(16)]
    async with Batcher(target, INFO, ledger, QUICK) as batcher:
        answers = await asyncio.gather(
            *(batcher.query(attack(i), ask, Budget(None)) for i, ask in enumerate(asks))
        )
    for ask, answer in zip(asks, answers, strict=True):
        assert_same(answer, alone(ask))
    assert [len(batch) for batch in target.batches] == [INFO.max_batch] * 4
    assert target.most_at_once == INFO.max_in_flight
    assert ledger.total == 160
    assert sorted(map(str, ledger.settled)) == sorted(map(str, ledger.reserved))


async def test_an_ask_over_the_limit_is_sent_in_parts() -> None:
    target, ledger = FakeTarget(), ListLedger()
    ask = make_ask(3, 95, 3)
    async with Batcher(target, INFO, ledger, QUICK) as batcher:
        assert_same(await batcher.query(attack(0), ask, Budget(None)), alone(ask))
    assert [len(batch) for batch in target.batches] == [40, 40, 15]


async def test_retries_are_counted_as_queries() -> None:
    def fail_twice(batch: int) -> None:
        if batch <= 2:
            raise TargetUnavailableError("gone")

    target, ledger, budget = FakeTarget(fail_twice), ListLedger(), Budget(None)
    ask = make_ask(4, 10)
    async with Batcher(target, INFO, ledger, QUICK) as batcher:
        assert_same(await batcher.query(attack(0), ask, budget), alone(ask))
    assert (ledger.total, budget.sent, target.answered) == (30, 30, 10)


async def test_an_outage_costs_no_queries_beyond_those_it_swallowed() -> None:
    class Restarting(FakeTarget):
        checks = 0

        async def check(self) -> TargetInfo:
            self.checks += 1
            if self.checks < 3:
                raise TargetUnavailableError("still loading")
            return await super().check()

    def fail_once(batch: int) -> None:
        if batch == 1:
            raise TargetUnavailableError("gone")

    target, ledger, budget = Restarting(fail_once), ListLedger(), Budget(20)
    ask = make_ask(4, 10)
    async with Batcher(target, INFO, ledger, RetryPolicy(5, 0.001, 0.002)) as batcher:
        assert_same(await batcher.query(attack(0), ask, budget), alone(ask))
    assert (target.checks, ledger.total, budget.sent) == (3, 20, 20)


async def test_retrying_ends() -> None:
    def fail(_: int) -> None:
        raise TargetUnavailableError("nobody home")

    target, ledger = FakeTarget(fail), ListLedger()
    async with Batcher(target, INFO, ledger, QUICK) as batcher:
        with pytest.raises(TargetUnavailableError, match=r"nobody home \(gave up after 3 attempts\)"):
            await batcher.query(attack(0), make_ask(5, 10), Budget(None))
        assert len(target.batches) == 3


async def test_a_refusal_is_final() -> None:
    def refuse(_: int) -> None:
        raise TargetError("no such model")

    target = FakeTarget(refuse)
    async with Batcher(target, INFO, ListLedger(), QUICK) as batcher:
        with pytest.raises(TargetError, match="no such model"):
            await batcher.query(attack(0), make_ask(6, 10), Budget(None))
    assert len(target.batches) == 1


async def test_a_retry_never_breaks_the_budget_and_spares_the_others() -> None:
    def fail_once(batch: int) -> None:
        if batch == 1:
            raise TargetUnavailableError("gone")

    target, ledger = FakeTarget(fail_once), ListLedger()
    tight, ample = Budget(15), Budget(None)
    poor, rich = make_ask(7, 10), make_ask(8, 10)
    async with Batcher(target, INFO, ledger, QUICK) as batcher:
        outcomes = await asyncio.gather(
            batcher.query(attack(0), poor, tight),
            batcher.query(attack(1), rich, ample),
            return_exceptions=True,
        )
    assert isinstance(outcomes[0], BudgetExhaustedError)
    assert isinstance(outcomes[0].answered, Scores)  # the 5 queries that the budget still allowed
    assert_same(outcomes[0].answered, alone(poor)[:5])
    assert isinstance(outcomes[1], Scores)
    assert_same(outcomes[1], alone(rich))
    assert (tight.sent, ample.sent) == (15, 20)
    assert (tight.ledger, ledger.fates) == (
        Ledger(15, answered=5, timed_out=10, retries=5),
        {Fate.TIMED_OUT: 20, Fate.ANSWERED: 15},
    )


async def test_cancelled_queries_that_did_not_leave_are_not_sent() -> None:
    target, ledger = FakeTarget(seconds=0.05), ListLedger()
    async with Batcher(target, INFO, ledger, QUICK) as batcher:
        busy = [
            asyncio.create_task(batcher.query(attack(i), make_ask(i, 40), Budget(None))) for i in range(2)
        ]
        await asyncio.sleep(0.02)
        waiting = asyncio.create_task(batcher.query(attack(2), make_ask(2, 40), Budget(None)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(*busy)
        await asyncio.sleep(0.02)
    assert ledger.total == 80


async def test_closing_frees_whoever_waits() -> None:
    target = FakeTarget(seconds=60)
    batcher = Batcher(target, INFO, ListLedger(), QUICK)
    waiting = [asyncio.create_task(batcher.query(attack(i), make_ask(i, 40), Budget(None))) for i in range(4)]
    await asyncio.sleep(0.01)
    await batcher.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, TargetUnavailableError) for outcome in outcomes)


@pytest.mark.parametrize(
    ("limit", "sent", "wanted", "affordable"), [(10, 0, 5, 5), (10, 8, 5, 2), (10, 12, 5, 0)]
)
def test_budget(limit: int, sent: int, wanted: int, affordable: int) -> None:
    budget = Budget(limit, Ledger(sent))
    assert budget.affordable(wanted) == affordable
    if affordable < wanted:
        with pytest.raises(BudgetExhaustedError):
            budget.take(wanted)
        assert budget.sent == sent
    else:
        budget.take(wanted)
        assert budget.sent == sent + wanted


def test_pauses_double_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=6, first_pause=1, longest_pause=5)
    assert list(policy.pauses()) == [1, 2, 4, 5, 5]
