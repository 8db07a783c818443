"""What durable stores keep when their process ends, tidily or not."""

from __future__ import annotations

import asyncio
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pixelprobe_services.common.spec import CampaignImage, CampaignSpec, MaskSettings
from pixelprobe_services.common.values import (
    AttackResult,
    AttackState,
    CampaignState,
    Goal,
    Ledger,
    Outcome,
    Region,
    RegionMode,
    SearchSettings,
    Strategy,
    image_digest,
)
from pixelprobe_services.orchestrator.store.base import Checkpoint, QueryCount, Store, StoredMask
from pixelprobe_services.orchestrator.store.errors import StoreSetupError
from pixelprobe_services.orchestrator.store.location import StoreLocation, locate
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.orchestrator.store.sql import connection
from tests.contract.stores import IMAGE, RESULT, SPEC, claim, create, run
from tests.postgres import shared_server


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> StoreLocation:
    if request.param == "sqlite":
        return locate(f"sqlite:///{tmp_path / 'store.db'}", None)
    return locate(shared_server().new_database(), None)


async def test_all_is_there_after_a_restart(location: StoreLocation) -> None:
    store = await open_store(location)
    digest = image_digest(IMAGE)
    await store.put_image(digest, IMAGE)
    record = await create(store, "once")
    await run(store, record.id)
    await store.put_mask(record.id, digest, StoredMask(IMAGE[..., 0] > 9, "why"))
    done, cut = await claim(store, record.id), await claim(store, record.id)
    await store.finish_attack(done.id, RESULT, IMAGE[..., 1] > 12)
    await store.save_checkpoint(cut.id, Checkpoint(b"here", (b"a", b"b")))
    await store.reserve_queries([QueryCount(cut.id, 40)])  # never settled
    before = await store.events_after(record.id, 0, 100)
    await store.close()

    store = await open_store(location)
    np.testing.assert_array_equal(await store.get_image(digest), IMAGE)
    again, is_new = await store.create_campaign(SPEC, "once")
    assert (again.id, is_new, again.state) == (record.id, False, CampaignState.RUNNING)
    assert again.create_time == record.create_time
    found = await store.get_attack(done.id)
    assert (found.state, found.result) == (AttackState.FINISHED, RESULT)
    assert found.mask is not None
    np.testing.assert_array_equal(found.mask, IMAGE[..., 1] > 12)
    kept = await store.get_mask(record.id, digest)
    assert kept is not None
    np.testing.assert_array_equal(kept.mask, IMAGE[..., 0] > 9)
    assert await store.events_after(record.id, 0, 100) == before
    # what ran when the store was closed is first in line, from its checkpoint
    assert (await claim(store, record.id)).id == cut.id
    assert await store.load_checkpoint(cut.id) == Checkpoint(b"here", (b"a", b"b"))
    assert (await store.ledger(cut.id)).sent == 40
    assert (await store.progress(record.id)).ledger == Ledger(40, 30, 5, answered=0)
    await store.close()


async def test_a_spec_comes_back_with_all_it_says(location: StoreLocation) -> None:
    spec = CampaignSpec(
        images=(
            CampaignImage("a" * 64, "päth/ü.png", 0, np.eye(5, 7, dtype=np.bool_)),
            CampaignImage("b" * 64),
        ),
        targets=("one",),
        regions=(Region.BACKGROUND, Region.WHOLE),
        pixel_counts=(5, 1),
        goals=(Goal(0), Goal()),
        search=SearchSettings(Strategy.BEST1BIN, 50, 7, 1 / 3, 0.1, 0.7, RegionMode.PROJECT, False, 13),
        budget=2**40,
        seed=2**64 - 1,
        masks=MaskSettings("grabcut", accept_unreviewed=True),
        attack_misclassified=True,
        display_name="☃",
        image_preparation="stretched to 224 × 224",
    )
    store = await open_store(location)
    record, _ = await store.create_campaign(spec, "")
    await store.close()
    store = await open_store(location)
    found = (await store.get_campaign(record.id)).spec
    for name in (
        "targets", "regions", "pixel_counts", "goals", "search", "budget", "seed", "masks",
        "attack_misclassified", "display_name", "image_preparation",
    ):  # fmt: skip
        assert getattr(found, name) == getattr(spec, name), name
    assert [(one.digest, one.display_name, one.label) for one in found.images] == [
        ("a" * 64, "päth/ü.png", 0),
        ("b" * 64, "", None),
    ]
    mask = found.images[0].mask
    assert mask is not None
    np.testing.assert_array_equal(mask, np.eye(5, 7, dtype=np.bool_))
    assert found.images[1].mask is None
    await store.close()


async def test_numbers_come_back_to_the_last_bit(location: StoreLocation) -> None:
    fitness = (0.1 + 0.2, float(np.float32(1 / 3)), 5e-324, math.nan, 1.0)
    result = AttackResult(
        Outcome.FAILURE, "ünklar", fitness_by_generation=fitness, ledger=Ledger(2**50, 1, 2)
    )
    store = await open_store(location)
    record = await create(store)
    attack = await claim(store, record.id)
    await store.finish_attack(attack.id, result, None)
    found = (await store.get_attack(attack.id)).result
    assert found is not None
    assert np.array(found.fitness_by_generation).tobytes() == np.array(fitness).tobytes()
    assert found.ledger == result.ledger
    assert found.reason == result.reason
    await store.close()


RESERVE_AND_DIE = """
import asyncio, os, signal, sys
from pixelprobe_services.orchestrator.store.base import QueryCount
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.opening import open_store
from tests.contract.stores import claim, create, run

async def main():
    store = await open_store(locate(sys.argv[1], None))
    record = await create(store)
    await run(store, record.id)
    attack = await claim(store, record.id)
    print(record.id, flush=True)
    for _ in range(1000):
        await store.reserve_queries([QueryCount(attack.id, 1)])
        print("sent", flush=True)

asyncio.run(main())
"""


def reserve_until_killed(url: str) -> tuple[str, int]:
    """The campaign of a killed process, and how many queries it had leave to send."""
    process = subprocess.Popen(
        [sys.executable, "-c", RESERVE_AND_DIE, url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    campaign_id = process.stdout.readline().strip()
    sent = 0
    while sent < 20:
        sent += process.stdout.readline() == "sent\n"
    process.kill()
    sent += process.stdout.read().count("sent")
    process.wait()
    return campaign_id, sent


async def test_the_ledger_of_a_killed_process_counts_all_that_it_may_have_sent(
    location: StoreLocation,
) -> None:
    assert location.url is not None
    campaign_id, sent = await asyncio.to_thread(
        reserve_until_killed, location.url.render_as_string(hide_password=False)
    )
    store = await open_store(location)
    counted = (await store.progress(campaign_id)).ledger.sent
    assert sent <= counted <= sent + 1
    await store.close()


async def test_an_sqlite_file_has_one_orchestrator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCK_WAIT_SECONDS", 0.2)
    location = locate(f"sqlite:///{tmp_path / 'folder' / 'store.db'}", None)
    store = await open_store(location)
    with pytest.raises(StoreSetupError, match=f"in use by another orchestrator .process {os.getpid()}"):
        await open_store(location)
    await store.close()
    await (await open_store(location)).close()


async def test_places_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreSetupError, match="file"):
        await open_store(locate(f"sqlite:///{tmp_path / 'file' / 'store.db'}", None))
    (tmp_path / "text.db").write_text("this is no database, and long enough to show it" * 100)
    with pytest.raises(StoreSetupError, match="not a database"):
        await open_store(locate(f"sqlite:///{tmp_path / 'text.db'}", None))


async def test_closing_twice_is_harmless(location: StoreLocation) -> None:
    store: Store = await open_store(location)
    await store.close()
    await store.close()


async def test_texts_come_back_from_a_database_without_an_encoding() -> None:
    location = locate(shared_server().new_database("SQL_ASCII"), None)
    store = await open_store(location)
    record = await create(store, "Ärger 図")
    assert (await store.get_campaign(record.id)).request_id == "Ärger 図"
    await store.close()
    store = await open_store(location)  # what Alembic wrote is text as well
    assert (await store.create_campaign(record.spec, "Ärger 図"))[1] is False
    await store.close()
