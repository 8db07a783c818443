"""Makes a database's schema, or checks its version and names the command that changes it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pixelprobe_services.orchestrator.store.errors import StoreSetupError

MIGRATE = "python -m pixelprobe_services.orchestrator.store.migrate"
_UPGRADE_PROGRAM = "pip install --upgrade 'pixelprobe[server]'"
_POSTGRESQL_LOCK = 0x7069_7865_6C70_7262
"""An arbitrary key: of two orchestrators that start together on an empty database, one makes the schema."""


def configuration(migrations: str = "pixelprobe_services.orchestrator.store.sql:migrations") -> Config:
    """Return Alembic's configuration. ``migrations`` is a folder, or one of a package: ``package:folder``."""
    config = Config()
    config.set_main_option("script_location", migrations)
    config.set_main_option("path_separator", "os")
    return config


def head(config: Config) -> str | None:
    """Return the revision that this program's migrations lead to."""
    return ScriptDirectory.from_config(config).get_current_head()


def prepare(connection: sa.Connection, config: Config) -> None:
    """Make the schema in an empty database; otherwise check that it is the one this program knows.

    Raises:
        StoreSetupError: it is older or newer, or the tables are those of another program.
    """
    _lock(connection)
    wanted, found = head(config), current(connection)
    if found == wanted:
        return
    if found is None:
        _refuse_foreign_tables(connection)
        _run(connection, config)
    elif _is_known(config, found):
        raise StoreSetupError(
            f"its schema is {found}, older than this program's {wanted}: back it up, stop all orchestrators,"
            f" run `{MIGRATE}` with the same --store or --store-file"
        )
    else:
        raise _newer(found, wanted)


def upgrade(connection: sa.Connection, config: Config) -> tuple[str | None, str | None]:
    """Bring the database to this program's schema. Returns the revisions before and after.

    Raises:
        StoreSetupError: it is newer, or the tables are those of another program.
    """
    _lock(connection)
    wanted, found = head(config), current(connection)
    if found is None:
        _refuse_foreign_tables(connection)
    elif not _is_known(config, found):
        raise _newer(found, wanted)
    if found != wanted:
        _run(connection, config)
    return found, wanted


def current(connection: sa.Connection) -> str | None:
    """Return the revision that the database has, or None."""
    return MigrationContext.configure(connection).get_current_revision()


def _run(connection: sa.Connection, config: Config) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _lock(connection: sa.Connection) -> None:
    """Lock the schema until the end of the transaction; an SQLite transaction holds the lock already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_POSTGRESQL_LOCK)))


def _is_known(config: Config, revision: str) -> bool:
    scripts = ScriptDirectory.from_config(config)
    return revision in {script.revision for script in scripts.walk_revisions()}


def _refuse_foreign_tables(connection: sa.Connection) -> None:
    tables = sa.inspect(connection).get_table_names()
    if tables:
        raise StoreSetupError(f"it holds other tables ({', '.join(sorted(tables)[:3])}): give an empty one")


def _newer(found: str, wanted: str | None) -> StoreSetupError:
    return StoreSetupError(
        f"its schema is {found}, newer than this program's {wanted}: run `{_UPGRADE_PROGRAM}`,"
        " or give another database"
    )
