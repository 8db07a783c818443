"""An orchestrator in this process over a given store, with an arithmetic function as its target."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import (
    AttackResult,
    CampaignState,
    Goal,
    Region,
    SearchSettings,
    image_digest,
)
from pixelprobe_services.orchestrator.attacks.masks import MaskSource
from pixelprobe_services.orchestrator.campaigns.events import EventHub
from pixelprobe_services.orchestrator.campaigns.executor import LocalExecutor
from pixelprobe_services.orchestrator.campaigns.manager import CampaignManager
from pixelprobe_services.orchestrator.campaigns.quotas import QuotaLedger, Quotas
from pixelprobe_services.orchestrator.campaigns.waiting import PATIENCE_SECONDS, Patience
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.pool import BatcherPool
from pixelprobe_services.orchestrator.store.base import CampaignRecord, Store
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.targets.registry import Registry
from pixelprobe_services.orchestrator.timing import Timing
from tests.unit.orchestrator.fakes import INFO, FakeTarget

T = TypeVar("T")

QUICK = Timing(poll=0.1, first_wait=0.2, day_wait=0.1, watch_poll=0.2, target_attempts=2, first_retry=0.01)
"""Nothing here takes long, so nothing needs to wait long."""

IMAGES = [
    np.random.default_rng(seed).integers(0, 256, (INFO.height, INFO.width, 3), dtype=np.uint8)
    for seed in range(4)
]
MASK = np.arange(INFO.width)[None, :] < np.full((INFO.height, 1), 3)


def spec(**changes: Any) -> CampaignSpec:
    """Eight attacks of 6 generations: 4 images, foreground and background, none of which succeeds early."""
    return CampaignSpec(
        **{
            "images": tuple(CampaignImage(image_digest(image), mask=MASK) for image in IMAGES),
            "targets": (INFO.name,),
            "regions": (Region.FOREGROUND, Region.BACKGROUND),
            "pixel_counts": (2,),
            "goals": (Goal(),),
            "search": SearchSettings(population=20, generations=6, early_stop=False),
            **changes,
        }
    )


@dataclass
class Offline:
    """``manager`` over ``store``, asking ``target``."""

    store: Store
    manager: CampaignManager
    target: FakeTarget

    async def create(self, wanted: CampaignSpec | None = None, owner: str = "") -> str:
        """Upload the images and start a campaign. Returns its id."""
        for image in IMAGES:
            await self.store.put_image(image_digest(image), image)
        return (await self.manager.create(wanted or spec(), "", owner)).id

    async def seen(self, campaign_id: str) -> CampaignRecord:
        """Return the campaign as clients see it."""
        return self.manager.as_seen(await self.store.get_campaign(campaign_id))

    async def until(self, campaign_id: str, *states: CampaignState, seconds: float = 60) -> CampaignRecord:
        """Wait until the campaign is in one of ``states``."""
        return await until(
            lambda: self.seen(campaign_id), lambda record: record.state in states, seconds=seconds
        )

    async def some_answers(self, queries: int = 150) -> None:
        """Wait until the target has answered that many queries."""

        async def answered() -> int:
            return self.target.answered

        await until(answered, lambda count: count >= queries)

    async def until_all_ended(self, campaign_id: str) -> None:
        """Wait until no attack of the campaign is unfinished."""

        async def unfinished() -> int:
            progress = await self.store.progress(campaign_id)
            return progress.attacks_total - progress.attacks_finished

        await until(unfinished, lambda count: count == 0)

    async def results(self, campaign_id: str) -> list[AttackResult | None]:
        """Of all attacks, in the spec's order."""
        records = await self.store.list_attacks(campaign_id, start=0, limit=10_000, finished_only=False)
        return [record.result for record in records]


async def until(look: Callable[[], Awaitable[T]], good: Callable[[T], bool], *, seconds: float = 60) -> T:
    """Poll until the condition holds."""
    give_up = time.monotonic() + seconds
    while not good(found := await look()):
        assert time.monotonic() < give_up, f"still {getattr(found, 'state', found)} after {seconds} s"
        await asyncio.sleep(0.02)
    return found


@asynccontextmanager
async def offline(
    store: Store,
    *,
    seconds_a_request: float = 0.0,
    target: FakeTarget | None = None,
    quotas: Quotas | None = None,
    masks: MaskSource | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    metrics: OrchestratorMetrics | None = None,
    timing: Timing = QUICK,
) -> AsyncIterator[Offline]:
    """Run an orchestrator until the block ends; the store stays open."""
    asked = target or FakeTarget(seconds=seconds_a_request)

    class OneTarget:
        def get(self, name: str) -> FakeTarget:
            if name != asked.name:
                raise NotFoundError(f"no target {name!r}")
            return asked

    quotas = quotas or Quotas()
    ledger = QuotaLedger(store, quotas)
    pool = BatcherPool(cast(Registry, OneTarget()), ledger, timing.target_retry, metrics)
    events = EventHub(timing)
    asked_for_masks = masks or cast(MaskSource, None)  # all images come with one, unless a test has it so
    patience = Patience(patience_seconds)
    executor = LocalExecutor(
        store,
        asked_for_masks,
        pool,
        events,
        attacks_in_flight=4,
        patience=patience,
        metrics=metrics,
        timing=timing,
    )
    manager = CampaignManager(store, pool, executor, events, quotas, patience, metrics, timing)
    await manager.start()
    try:
        yield Offline(store, manager, asked)
    finally:
        await manager.stop()
        await pool.close()


async def undisturbed(wanted: CampaignSpec | None = None) -> list[AttackResult | None]:
    """Return the results of an uninterrupted run in memory."""
    async with offline(MemoryStore()) as running:
        campaign_id = await running.create(wanted)
        await running.until(campaign_id, CampaignState.SUCCEEDED)
        return await running.results(campaign_id)


def without_sent(result: AttackResult | None) -> tuple[Any, ...]:
    """Return the fields of a result that an interruption must not change."""
    assert result is not None
    ledger = result.ledger
    return (
        result.outcome, result.reason, result.clean_top, result.best_top,
        result.best_probability_of_clean_top, result.edits, result.generations,
        result.fitness_by_generation, result.region_area_fraction, ledger.skipped, ledger.repeated,
    )  # fmt: skip
