"""A database that an older program left behind, in the middle of a campaign, is taken over by this one."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pixelprobe_api.attack.v1 import campaign_pb2
from pixelprobe_services.common.values import AttackState, CampaignState, Outcome, image_digest
from pixelprobe_services.orchestrator.store.base import Checkpoint, QueryCount
from pixelprobe_services.orchestrator.store.errors import StoreSetupError
from pixelprobe_services.orchestrator.store.limits import Limits
from pixelprobe_services.orchestrator.store.location import StoreLocation, locate
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.orchestrator.store.sql import schema_version
from pixelprobe_services.orchestrator.store.sql.engine import create_engine
from pixelprobe_services.orchestrator.store.sql.schema import metadata
from tests.contract.stores import IMAGE, RESULT, SPEC
from tests.postgres import shared_server

FIXTURES = Path(__file__).parents[1] / "fixtures"
"""Dumps by earlier programs.

store_0001.sql: one campaign; attack 0 finished, attack 1 released half way. store_0002.sql: the same, of
ann; a cancelled one of bob; one that an earlier race of cancel and resume left RUNNING with CANCELLED
attacks; and a paused one.
"""


def load(version: str, folder: Path) -> StoreLocation:
    file = folder / f"{version}.db"
    with sqlite3.connect(file) as connection:
        connection.executescript((FIXTURES / f"store_{version}.sql").read_text())
    connection.close()
    return locate(f"sqlite:///{file}", None)


@pytest.fixture
def old(tmp_path: Path) -> StoreLocation:
    return load("0001", tmp_path)


def migrate(location: StoreLocation) -> str:
    assert location.url is not None
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pixelprobe_services.orchestrator.store.migrate",
            "--store",
            str(location.url),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_it_is_refused_with_the_command_and_goes_on_after_it(old: StoreLocation) -> None:
    with pytest.raises(StoreSetupError, match=r"its schema is 0001, older .*store\.migrate"):
        await open_store(old)
    printed = await asyncio.to_thread(migrate, old)
    assert "was 0001 and is now at schema" in printed

    store = await open_store(old)
    (campaign,) = await store.list_campaigns(10)
    assert (campaign.owner, campaign.state, campaign.request_id) == ("", CampaignState.RUNNING, "an old run")
    assert (await store.get_campaign(campaign.id)).spec.targets == SPEC.targets
    progress = await store.progress(campaign.id)
    assert (progress.attacks_finished, progress.ledger.sent) == (1, 160)
    done, half, *rest = await store.list_attacks(campaign.id, start=0, limit=100, finished_only=False)
    assert done.result == RESULT
    assert {one.state for one in (half, *rest)} == {AttackState.PENDING}
    assert (await store.get_image(image_digest(IMAGE)) == IMAGE).all()

    taken = await store.claim_attack(campaign.id)
    assert taken is not None
    assert await store.load_checkpoint(taken.id) == Checkpoint(b"half way", (b"scored",))
    await store.reserve_queries([QueryCount(taken.id, 1)])
    assert (await store.ledger(taken.id)).sent == 41
    assert (await store.finish_attack(taken.id, RESULT, None)).result is not None
    assert RESULT.outcome is Outcome.SUCCESS

    await store.create_campaign(SPEC, "", owner="ann", limits=Limits(open_campaigns=1))
    assert [one.owner for one in await store.list_campaigns(10)] == ["ann", ""]
    await store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_upgraded_tables_are_those_of_a_new_database(kind: str, old: StoreLocation) -> None:
    location = old if kind == "sqlite" else locate(shared_server().new_database(), None)
    assert location.url is not None
    engine, config = create_engine(location.url, for_migration=True), schema_version.configuration()
    with engine.begin() as connection:
        if kind == "postgresql":
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
        assert schema_version.upgrade(connection, config) == ("0001", schema_version.head(config))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert "query_days" in sa.inspect(connection).get_table_names()
    engine.dispose()


async def test_a_database_of_version_2_keeps_owners_requests_and_what_was_cancelled(tmp_path: Path) -> None:
    location = load("0002", tmp_path)
    await asyncio.to_thread(migrate, location)
    store = await open_store(location)
    paused, raced, bobs, anns = await store.list_campaigns(10)
    assert [one.owner for one in (paused, raced, bobs, anns)] == ["", "", "bob", "ann"]
    assert [one.id for one in await store.list_campaigns(10, owner="bob")] == [bobs.id]
    assert (paused.state, paused.state_reason) == (CampaignState.PAUSED, "its target is gone")
    head = campaign_pb2.CampaignSpec.FromString(anns.head)
    assert (list(head.targets), len(head.images)) == (list(SPEC.targets), 0)
    spec = (await store.get_campaign(anns.id)).spec
    assert [one.digest for one in spec.images] == [one.digest for one in SPEC.images]
    assert spec.images[1].mask is not None
    assert (spec.images[1].mask == SPEC.images[1].mask).all()

    again, is_new = await store.create_campaign(SPEC, "an old run", owner="ann")
    assert (again.id, is_new) == (anns.id, False)
    other, is_new = await store.create_campaign(SPEC, "an old run", owner="bob")
    assert is_new
    assert (await store.progress(anns.id)).ledger.sent == 160
    mask = await store.get_mask(anns.id, image_digest(IMAGE))
    assert mask is not None
    assert mask.review_reason == "too small"

    progress = await store.progress(bobs.id)
    assert (progress.attacks_finished, progress.attacks_cancelled) == (SPEC.attack_count, SPEC.attack_count)
    assert (progress.ledger.sent, progress.ledger.skipped, progress.ledger.repeated) == (7, 2, 1)
    await store.change_campaign_state(bobs.id, CampaignState.RUNNING, expected={CampaignState.CANCELLED})
    taken = await store.claim_attack(bobs.id)
    assert taken is not None
    assert await store.load_checkpoint(taken.id) == Checkpoint(b"cut short", (b"scored",))

    assert not await store.finish_campaign(raced.id)
    while attack := await store.claim_attack(raced.id):
        await store.finish_attack(attack.id, RESULT, None)
    assert await store.finish_campaign(raced.id)

    await store.delete_campaign(raced.id)
    await store.change_campaign_state(other.id, CampaignState.CANCELLED, expected={CampaignState.PENDING})
    await store.delete_campaign(other.id)
    await store.sweep(0)
    assert [one.id for one in await store.list_campaigns(10)] == [paused.id, bobs.id, anns.id]
    assert (await store.get_image(image_digest(IMAGE)) == IMAGE).all()
    await store.close()
    assert location.file is not None
    with sqlite3.connect(location.file) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
    connection.close()
