"""What the query path and the store count, held against what the ledger and the results say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.common.values import CampaignState, Ledger, Outcome, Region
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.batcher import Batcher
from pixelprobe_services.orchestrator.query.budget import Budget
from pixelprobe_services.orchestrator.store.errors import StoreUnavailableError
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.measured import OPERATIONS, MeasuredStore
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.orchestrator.targets.base import TargetError, TargetUnavailableError
from tests.contract.stores import SPEC
from tests.prometheus import of, total
from tests.unit.orchestrator.fakes import INFO, FakeTarget, ListLedger
from tests.unit.orchestrator.test_batcher import attack, make_ask

QUICK = RetryPolicy(attempts=3, first_pause=0.001, longest_pause=0.002)
SENT, RETRIED = "pixelprobe_target_queries_sent_total", "pixelprobe_target_queries_retried_total"
REQUESTS = "pixelprobe_target_requests_total"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


async def test_a_target_that_was_never_asked_is_told_as_zero(registry: CollectorRegistry) -> None:
    async with Batcher(FakeTarget(), INFO, ListLedger(), QUICK, OrchestratorMetrics(registry)):
        samples = of(registry)
    for name in (SENT, RETRIED, REQUESTS, "pixelprobe_target_requests_in_flight"):
        assert total(samples, name, target="fake") == 0


async def test_queries_sent_and_retried_are_the_ledgers(registry: CollectorRegistry) -> None:
    def fail_twice(batch: int) -> None:
        assert total(of(registry), "pixelprobe_target_requests_in_flight", target="fake") >= 1
        if batch <= 2:
            raise TargetUnavailableError("gone")

    target, ledger = FakeTarget(fail_twice), ListLedger()
    async with Batcher(target, INFO, ledger, QUICK, OrchestratorMetrics(registry)) as batcher:
        for number, rows in enumerate((10, 95, 40)):
            await batcher.query(attack(number), make_ask(number, rows), Budget(None))
    samples = of(registry)
    assert total(samples, SENT, target="fake") == ledger.total == 165
    assert total(samples, RETRIED, target="fake") == 20
    assert total(samples, SENT) - total(samples, RETRIED) == target.answered == 145
    assert total(samples, REQUESTS, result="unavailable") == 2
    assert total(samples, REQUESTS, result="answered") == 5
    assert total(samples, REQUESTS, result="refused") == 0
    assert total(samples, "pixelprobe_target_request_seconds_count") == 7
    assert total(samples, "pixelprobe_target_requests_in_flight") == 0
    # three times 10, then 40, 40, 15 and 40, of the 40 that fit
    assert total(samples, "pixelprobe_target_batch_fill_count") == 7
    assert total(samples, "pixelprobe_target_batch_fill_sum") == pytest.approx(165 / 40)


async def test_a_refusal_is_no_answer(registry: CollectorRegistry) -> None:
    def refuse(_: int) -> None:
        raise TargetError("no such model")

    async with Batcher(
        FakeTarget(refuse), INFO, ListLedger(), QUICK, OrchestratorMetrics(registry)
    ) as batcher:
        with pytest.raises(TargetError):
            await batcher.query(attack(0), make_ask(0, 10), Budget(None))
    assert total(of(registry), REQUESTS, result="refused") == 1


async def test_what_the_ledger_refused_was_not_sent(registry: CollectorRegistry) -> None:
    class Full(ListLedger):
        async def reserve_queries(self, counts: object) -> None:
            raise StoreUnavailableError("full")

    async with Batcher(FakeTarget(), INFO, Full(), QUICK, OrchestratorMetrics(registry)) as batcher:
        with pytest.raises(StoreUnavailableError):
            await batcher.query(attack(0), make_ask(0, 10), Budget(None))
    assert total(of(registry), SENT) == 0


def test_budgets_are_told_while_they_are_spent(registry: CollectorRegistry) -> None:
    metrics = OrchestratorMetrics(registry)

    def told() -> tuple[float, float]:
        samples = of(registry)
        return (
            total(samples, "pixelprobe_budget_queries_left"),
            total(samples, "pixelprobe_budget_queries_limit"),
        )

    one, other = Budget(100, Ledger(90)), Budget(50)
    with metrics.spending(one), metrics.spending(other), metrics.spending(Budget(None)):
        assert told() == (60, 150)
        other.take(20)
        assert told() == (40, 150)
    assert told() == (0, 0)


def test_attacks_and_campaigns(registry: CollectorRegistry) -> None:
    metrics = OrchestratorMetrics(registry)
    metrics.attack_ended("t", Region.FOREGROUND, Outcome.SUCCESS)
    metrics.count_campaigns({CampaignState.RUNNING: 2})
    metrics.count_campaigns({CampaignState.SUCCEEDED: 3})
    samples = of(registry)
    assert total(samples, "pixelprobe_attacks_total", target="t", region="foreground", outcome="success") == 1
    assert total(samples, "pixelprobe_campaigns", state="running") == 0
    assert total(samples, "pixelprobe_campaigns", state="succeeded") == 3


async def test_every_operation_of_the_store_is_timed(registry: CollectorRegistry, tmp_path: Path) -> None:
    location = locate(f"sqlite:///{tmp_path / 'store.db'}", None)
    store = MeasuredStore(await open_store(location), OrchestratorMetrics(registry))
    try:
        record, _ = await store.create_campaign(SPEC, "")
        await asyncio.gather(*(store.get_campaign(record.id) for _ in range(3)))
        with pytest.raises(NotFoundError):
            await store.get_campaign("nope")
    finally:
        await store.close()
    samples = of(registry)
    count = "pixelprobe_store_operation_seconds_count"
    assert total(samples, count, operation="create_campaign") == 1
    assert total(samples, count, operation="get_campaign") == 4
    assert {
        dict(labels)["operation"] for name, labels in samples if name == "pixelprobe_store_failures_total"
    } == set(OPERATIONS)
    assert total(samples, "pixelprobe_store_failures_total") == 0  # a name that is unknown is no failure


async def test_a_store_that_cannot_is_counted(registry: CollectorRegistry) -> None:
    class Broken(MemoryStore):
        async def check(self) -> None:
            raise StoreUnavailableError("gone")

    store = MeasuredStore(Broken(), OrchestratorMetrics(registry))
    with pytest.raises(StoreUnavailableError, match="gone"):
        await store.check()
    samples = of(registry)
    assert total(samples, "pixelprobe_store_failures_total", operation="check") == 1
    assert total(samples, "pixelprobe_store_failures_total") == 1
