"""What a kill leaves behind, at many moments of one campaign: each copy of the database ends the same.

A copy by SQLite's own backup is what a process would find that starts right after a kill at that moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import CampaignState, SearchSettings
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.orchestrator.store.sql.store import SqlStore
from tests.integration.offline import QUICK, offline, spec, undisturbed, without_sent

SNAPSHOTS = 12
SPECS = {
    "to the end": spec(search=SearchSettings(population=20, generations=4, early_stop=False)),
    "pieces": spec(
        search=SearchSettings(population=20, generations=4, stop_check_queries=6), pixel_counts=(1, 2)
    ),
}


def snapshot(file: Path, copy: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(file)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


@pytest.mark.parametrize("wanted", SPECS.values(), ids=SPECS.keys())
async def test_every_moment_is_a_good_one_to_die(wanted: CampaignSpec, tmp_path: Path) -> None:
    expected = [without_sent(result) for result in await undisturbed(wanted)]
    chance = random.Random()
    file = tmp_path / "store.db"
    copies: list[tuple[Path, int]] = []
    store = await open_store(locate(f"sqlite:///{file}", None))
    # Saves after every piece, so that all kinds of checkpoints occur.
    async with offline(store, seconds_a_request=0.005, timing=replace(QUICK, save=0.0)) as running:
        campaign_id = await running.create(wanted)
        while (await running.seen(campaign_id)).state is not CampaignState.SUCCEEDED:
            answered = running.target.answered
            copies.append((tmp_path / f"copy{len(copies)}.db", answered))
            await asyncio.to_thread(snapshot, file, copies[-1][0])
            await asyncio.sleep(chance.uniform(0, 0.03))
    await store.close()

    midway = 0
    for copy, answered in chance.sample(copies, min(SNAPSHOTS, len(copies))):
        reopened = await open_store(locate(f"sqlite:///{copy}", None))
        assert isinstance(reopened, SqlStore)
        # Never less than the target had seen when the copy was made.
        assert (await reopened.progress(campaign_id)).ledger.sent >= answered
        async with offline(reopened) as again:
            await again.until(campaign_id, CampaignState.SUCCEEDED)
            assert [without_sent(one) for one in await again.results(campaign_id)] == expected
            total = (await reopened.progress(campaign_id)).ledger.sent
            assert total >= answered + again.target.answered
            midway += again.target.answered > 0
        await reopened.close()
    assert midway > SNAPSHOTS // 3
