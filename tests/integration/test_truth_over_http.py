"""The same over a real connection: an HTTP model server that is slow, or that throttles."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import numpy as np
from aiohttp import web

from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import CampaignState, Outcome, Region, SearchSettings, image_digest
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.targets.config import TargetConfig
from pixelprobe_services.orchestrator.targets.registry import open_target
from tests.integration.offline import Offline, offline, spec
from tests.unit.orchestrator.fakes import FakeTarget
from tests.unit.targets.fake_http import SIDE, FakeServer, serve

IMAGES = [np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for seed in range(3)]


class Scorer(FakeServer):
    """Scores one image after another, ``seconds_an_image`` each; what a client gave up is scored as well."""

    def __init__(self, seconds_an_image: float = 0.0) -> None:
        super().__init__()
        self._seconds = seconds_an_image
        self._busy = asyncio.Lock()
        self.throttled: list[float] = []
        self.arrived: list[float] = []
        self.retry_after = "1"
        self.rejects = 0
        self.scored = 0

    async def _infer(self, request: web.Request) -> web.Response:
        self.arrived.append(time.monotonic())
        body = await request.json()
        if len(self.throttled) < self.rejects:
            self.throttled.append(time.monotonic())
            return web.Response(status=429, text="slow down", headers={"Retry-After": self.retry_after})
        images = int(body["inputs"][0]["shape"][0])
        async with self._busy:
            await asyncio.sleep(images * self._seconds)
        self.scored += images
        return web.json_response(self.reply(body))


@asynccontextmanager
async def attacked(server: Scorer, **config: float) -> AsyncIterator[Offline]:
    """An orchestrator with ``server`` as its target "toy"."""
    runner, address = await serve(server)
    target = open_target(
        TargetConfig(
            "toy",
            "kserve-http",
            address,
            "toy",
            max_batch=int(config.get("max_batch", 64)),
            max_in_flight=2,
            timeout_seconds=config.get("timeout_seconds", 30.0),
            deterministic=True,
        )
    )
    try:
        async with offline(MemoryStore(), target=cast(FakeTarget, target), patience_seconds=0) as running:
            for image in IMAGES:
                await running.store.put_image(image_digest(image), image)
            yield running
    finally:
        await target.close()
        await runner.cleanup()


def campaign(budget: int | None = None) -> CampaignSpec:
    return spec(
        images=tuple(CampaignImage(image_digest(image)) for image in IMAGES),
        targets=("toy",),
        regions=(Region.WHOLE,),
        pixel_counts=(1,),
        search=SearchSettings(population=60, generations=1, stop_check_queries=60, early_stop=False),
        budget=budget,
    )


async def test_a_ready_server_that_misses_every_deadline_is_no_robust_model() -> None:
    """Its reports said "budget exhausted", 0% success, and nothing of a time-out."""
    server = Scorer(20.0)
    async with attacked(server, timeout_seconds=0.3) as running:
        campaign_id = (await running.manager.create(campaign(budget=70), "", "")).id
        await running.until(campaign_id, CampaignState.SUCCEEDED)
        for result in await running.results(campaign_id):
            assert result is not None
            assert result.outcome is Outcome.ERROR
            assert "no answer within 0.3 s" in result.reason
            assert "max_batch (now 64)" in result.reason
            assert "timeout_seconds" in result.reason
            assert result.ledger.sent == result.ledger.timed_out > 0
            assert result.ledger.answered == 0
    assert server.scored == 0


async def test_retry_after_holds_all_attacks_back_and_costs_no_query() -> None:
    server = Scorer()
    server.rejects = 1
    async with attacked(server) as running:
        campaign_id = (await running.manager.create(campaign(), "", "")).id
        await running.until(campaign_id, CampaignState.SUCCEEDED)
        ledger = (await running.store.progress(campaign_id)).ledger
    assert ledger.rejected > 0
    assert ledger.retries == ledger.rejected
    assert ledger.sent == ledger.answered == server.scored
    (rejected,) = server.throttled
    # A request that was on its way at the same time may still arrive; the next comes when it may.
    after = sorted(moment for moment in server.arrived if moment > rejected)
    assert len([moment for moment in after if moment < rejected + 1]) <= 1
