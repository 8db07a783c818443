"""Metrics held against ledger and results: of an orchestrator in this process, and of real services."""

from __future__ import annotations

import dataclasses
import socket
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.model import Outcome, Region
from pixelprobe_services.common.values import CampaignState, SearchSettings
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.targets.base import QueryBatch, Scores, TargetUnavailableError
from tests import processes
from tests.integration.asking import IMAGES, campaign
from tests.integration.offline import offline, spec, until
from tests.prometheus import Samples, of, scrape, total
from tests.unit.orchestrator.fakes import FakeTarget

QUERIES = "pixelprobe_target_queries_{}_total"


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Flaky(FakeTarget):
    """Every fifth request fails, and succeeds when it is sent again.

    If it failed twice, the campaign would wait for the target, and a cancellation that comes just then would
    find no attack under way that could count as cancelled here.
    """

    failed = 0

    def __init__(self) -> None:
        super().__init__(seconds=0.002)
        self._asked = 0
        self._failed: set[bytes] = set()

    async def query(self, batch: QueryBatch) -> Scores:
        self._asked += 1
        request = batch.edits.tobytes()
        if self._asked % 5 == 0 and request not in self._failed:
            self._failed.add(request)
            self.failed += 1
            raise TargetUnavailableError("gone for a moment")
        return await super().query(batch)


@pytest.mark.parametrize("interrupted", [False, True])
async def test_a_campaigns_counters_are_its_ledger(interrupted: bool) -> None:
    """Requests fail now and then; once the campaign is cancelled half-way and resumed."""
    registry, target = CollectorRegistry(), Flaky()
    wanted = spec(search=SearchSettings(population=60, generations=12, early_stop=False))
    async with offline(MemoryStore(), target=target, metrics=OrchestratorMetrics(registry)) as running:
        campaign_id = await running.create(wanted)
        if interrupted:
            await running.some_answers(1500)
            await running.manager.cancel(campaign_id)
            assert total(of(registry), "pixelprobe_attacks_in_flight") == 0
            assert total(of(registry), "pixelprobe_attacks_total", outcome="cancelled") >= 1
            await running.manager.resume(campaign_id)
        await running.until(campaign_id, CampaignState.SUCCEEDED)
        results = [result for result in await running.results(campaign_id) if result]
        ledger = (await running.store.progress(campaign_id)).ledger

        async def counted() -> Samples:
            return of(registry)

        samples = await until(
            counted, lambda now: total(now, "pixelprobe_campaigns", state="succeeded") == 1, seconds=10
        )
    assert len(results) == wanted.attack_count
    for kind in ("sent", "skipped", "repeated"):
        in_results = sum(getattr(result.ledger, kind) for result in results)
        assert total(samples, QUERIES.format(kind), target="fake") == in_results == getattr(ledger, kind)
    assert ledger.skipped > 0
    assert ledger.repeated > 0
    retried = total(samples, QUERIES.format("retried"))
    assert retried > 0
    # A request that was given up, or cancelled, is neither answered nor sent again: its attacks ask anew.
    assert retried <= ledger.sent - target.answered
    assert total(samples, "pixelprobe_target_requests_total", result="unavailable") == target.failed
    for outcome, number in Counter(result.outcome for result in results).items():
        assert total(samples, "pixelprobe_attacks_total", outcome=outcome.value) == number
    assert total(samples, "pixelprobe_attacks_in_flight") == 0
    assert total(samples, "pixelprobe_campaigns_stalled") == 0


async def test_budgets_of_running_attacks_are_told() -> None:
    registry, target = CollectorRegistry(), FakeTarget(seconds=0.02)
    wanted = dataclasses.replace(spec(), budget=500)
    async with offline(MemoryStore(), target=target, metrics=OrchestratorMetrics(registry)) as running:
        campaign_id = await running.create(wanted)
        await running.some_answers()
        samples = of(registry)
        await running.until(campaign_id, CampaignState.SUCCEEDED)
    attacks = total(samples, "pixelprobe_attacks_in_flight")
    assert 1 <= attacks <= 4
    assert total(samples, "pixelprobe_budget_queries_limit") == 500 * attacks
    assert 0 < total(samples, "pixelprobe_budget_queries_left") < 500 * attacks
    assert total(of(registry), "pixelprobe_budget_queries_limit") == 0


def test_real_services_tell_what_their_clients_are_told(targets_file: Path) -> None:
    """Results, and RPCs as they were called, read from the services' own pages."""
    pages = free_address(), free_address()
    with (
        processes.segmentation("--metrics", pages[0]) as segmentation,
        processes.orchestrator(targets_file, segmentation.address, "--metrics", pages[1]) as orchestrator,
        PixelprobeClient(Addresses(orchestrator.address, segmentation.address)) as client,
    ):
        attacks = campaign(client, IMAGES[:3], targets=("allconv_cifar10", "nin_cifar10"))
        masks, samples = scrape(pages[0]), scrape(pages[1])
    results = [(attack, attack.result) for attack in attacks if attack.result]
    assert len(results) == 3 * 2 * 3
    for target in ("allconv_cifar10", "nin_cifar10"):
        of_target = [result for attack, result in results if attack.target == target]
        for kind in ("sent", "skipped", "repeated"):
            expected = sum(getattr(result, f"queries_{kind}") for result in of_target)
            assert total(samples, QUERIES.format(kind), target=target) == expected, (target, kind)
        assert total(samples, "pixelprobe_target_requests_total", target=target, result="answered") > 0
        for region in (Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND):
            for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
                found = sum(
                    (attack.target, attack.region, result.outcome) == (target, region, outcome)
                    for attack, result in results
                )
                if found:
                    labels = {"target": target, "region": region.value, "outcome": outcome.value}
                    assert total(samples, "pixelprobe_attacks_total", **labels) == found
    created = "pixelprobe.attack.v1.AttackService/CreateCampaign"
    assert total(samples, "pixelprobe_rpcs_total", method=created) == 1
    # Each mask was made once, however many attacks asked for it.
    assert total(masks, "pixelprobe_segmentations_total", method="grabcut") == 3
    assert total(masks, "pixelprobe_build_info", service="segmentation") == 1
    assert total(samples, "pixelprobe_build_info", service="orchestrator") == 1
