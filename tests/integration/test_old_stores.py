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

DUMP = Path(__file__).parents[1] / "fixtures" / "store_0001.sql"
"""By the program of schema 0001: one campaign; attack 0 finished, attack 1 given back half way."""


@pytest.fixture
def old(tmp_path: Path) -> StoreLocation:
    file = tmp_path / "old.db"
    with sqlite3.connect(file) as connection:
        connection.executescript(DUMP.read_text())
    connection.close()
    return locate(f"sqlite:///{file}", None)


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
    told = await asyncio.to_thread(migrate, old)
    assert "was 0001 and is now at schema" in told

    store = await open_store(old)
    (campaign,) = await store.list_campaigns(10)
    assert (campaign.owner, campaign.state, campaign.request_id) == ("", CampaignState.RUNNING, "an old run")
    assert campaign.spec.targets == SPEC.targets
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
    engine, config = create_engine(location.url), schema_version.configuration()
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
