"""What the suites of the store's contract share: a small campaign, a result, and short words."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa

from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import (
    AttackResult,
    CampaignState,
    ClassScore,
    Edit,
    Goal,
    Ledger,
    Outcome,
    Region,
    image_digest,
)
from pixelprobe_services.orchestrator.store.base import AttackRecord, CampaignRecord, Store
from pixelprobe_services.orchestrator.store.limits import SECONDS_A_DAY
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.store.sql.schema import query_days
from pixelprobe_services.orchestrator.store.sql.store import SqlStore

IMAGE = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
SPEC = CampaignSpec(
    images=(
        CampaignImage(image_digest(IMAGE), "a.png", 3),
        CampaignImage("f" * 64, "b.png", mask=IMAGE[..., 0] > 9),
    ),
    targets=("first", "second"),
    regions=(Region.WHOLE, Region.FOREGROUND),
    pixel_counts=(1,),
    goals=(Goal(), Goal(4)),
    seed=7,
)
RESULT = AttackResult(
    Outcome.SUCCESS,
    clean_top=(ClassScore(3, 0.75), ClassScore(1, 0.25)),
    best_top=(ClassScore(1, 0.5),),
    best_probability_of_clean_top=(0.25, 0.5),
    edits=(Edit(2, 3, 255, 0, 128),),
    ledger=Ledger(120, 30, 5),
    generations=2,
    fitness_by_generation=(0.5, 0.25),
    queries_to_success=119,
    region_area_fraction=0.25,
)


async def create(store: Store, request_id: str = "") -> CampaignRecord:
    record, _ = await store.create_campaign(SPEC, request_id)
    return record


async def claim(store: Store, campaign_id: str) -> AttackRecord:
    record = await store.claim_attack(campaign_id)
    assert record is not None
    return record


async def next_day(store: Store) -> None:
    """Let a day pass by the store's clock."""
    if isinstance(store, MemoryStore):
        clock = store._clock
        store._clock = lambda: clock() + SECONDS_A_DAY
    elif isinstance(store, SqlStore):
        await store._database.write(_shift_days)


def _shift_days(connection: sa.Connection) -> None:
    last = sa.select(sa.func.max(query_days.c.day)).scalar_subquery()
    connection.execute(sa.delete(query_days).where(query_days.c.day < last))
    connection.execute(sa.update(query_days).values(day=query_days.c.day - 1))


async def run(store: Store, campaign_id: str) -> None:
    await store.change_campaign_state(campaign_id, CampaignState.RUNNING, expected={CampaignState.PENDING})
