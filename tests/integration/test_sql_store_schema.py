"""The schema and its versions: made in an empty database, refused with a command where it does not fit."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from pixelprobe_services.orchestrator.store.errors import StoreSetupError
from pixelprobe_services.orchestrator.store.location import StoreLocation, locate
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.orchestrator.store.sql import schema_version
from pixelprobe_services.orchestrator.store.sql.engine import create_engine
from pixelprobe_services.orchestrator.store.sql.schema import metadata
from tests.postgres import shared_server

MIGRATIONS = Path(schema_version.__file__).parent / "migrations"
NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("campaigns", sa.Column("novelty", sa.Text))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> StoreLocation:
    if request.param == "sqlite":
        return locate(f"sqlite:///{tmp_path / 'store.db'}", None)
    return locate(shared_server().new_database(), None)


@pytest.fixture
def later_program(tmp_path: Path) -> Config:
    """The migrations of a program that is one schema ahead of this one."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    head = schema_version.head(schema_version.configuration())
    (folder / "versions" / "v9999_next.py").write_text(NEXT.format(head=head))
    return schema_version.configuration(str(folder))


def engine_of(location: StoreLocation) -> sa.Engine:
    assert location.url is not None
    return create_engine(location.url)


def migrate(location: StoreLocation) -> subprocess.CompletedProcess[str]:
    assert location.url is not None
    url = location.url.render_as_string(hide_password=False)
    return subprocess.run(
        [sys.executable, "-m", "pixelprobe_services.orchestrator.store.migrate", "--store", url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_migrations_make_the_tables_that_the_program_uses(location: StoreLocation) -> None:
    await (await open_store(location)).close()
    engine = engine_of(location)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


async def test_an_older_schema_is_refused_with_the_command(
    location: StoreLocation, later_program: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    await (await open_store(location)).close()
    head = schema_version.head(schema_version.configuration())
    with monkeypatch.context() as patched:
        patched.setattr(
            "pixelprobe_services.orchestrator.store.sql.store.configuration", lambda: later_program
        )
        with pytest.raises(StoreSetupError) as refused:
            await open_store(location)
    told = str(refused.value)
    assert f"its schema is {head}, older than this program's 9999" in told
    assert "python -m pixelprobe_services.orchestrator.store.migrate" in told
    engine = engine_of(location)
    with engine.begin() as connection:
        assert schema_version.upgrade(connection, later_program) == (head, "9999")
        assert "novelty" in {column["name"] for column in sa.inspect(connection).get_columns("campaigns")}
    engine.dispose()


async def test_a_newer_schema_is_refused(location: StoreLocation, later_program: Config) -> None:
    await (await open_store(location)).close()
    head = schema_version.head(schema_version.configuration())
    engine = engine_of(location)
    with engine.begin() as connection:
        schema_version.upgrade(connection, later_program)
    engine.dispose()
    with pytest.raises(StoreSetupError) as refused:
        await open_store(location)
    assert f"its schema is 9999, newer than this program's {head}" in str(refused.value)
    assert "pip install --upgrade" in str(refused.value)
    told = await asyncio.to_thread(migrate, location)
    assert told.returncode == 2
    assert f"its schema is 9999, newer than this program's {head}" in told.stderr
    assert "Traceback" not in told.stderr


async def test_a_database_of_something_else_is_left_alone(location: StoreLocation) -> None:
    engine = engine_of(location)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE recipes (id INTEGER PRIMARY KEY)")
    with pytest.raises(StoreSetupError, match=r"holds other tables \(recipes\)"):
        await open_store(location)
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["recipes"]
    engine.dispose()


async def test_the_migrate_command(location: StoreLocation) -> None:
    made = await asyncio.to_thread(migrate, location)
    assert made.returncode == 0, made.stderr
    assert "was empty and is now at schema 0004" in made.stdout
    again = await asyncio.to_thread(migrate, location)
    assert "is already at schema 0004" in again.stdout
    await (await open_store(location)).close()


async def test_orchestrators_that_start_together_make_one_schema() -> None:
    location = locate(shared_server().new_database(), None)
    stores = await asyncio.gather(*(open_store(location) for _ in range(4)))
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_schema_is_made_whole_or_not_at_all(
    location: StoreLocation, later_program: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that fails midway leaves an empty database, and the next start makes the schema."""
    broken = Path(str(later_program.get_main_option("script_location"))) / "versions" / "v9999_next.py"
    broken.write_text(broken.read_text().replace("op.add_column", "op.no_such_operation"))
    with monkeypatch.context() as patched:
        patched.setattr(
            "pixelprobe_services.orchestrator.store.sql.store.configuration", lambda: later_program
        )
        with pytest.raises(AttributeError):
            await open_store(location)
    engine = engine_of(location)
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []
    engine.dispose()
    await (await open_store(location)).close()
