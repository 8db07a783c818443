"""SQL that SQLite and PostgreSQL spell differently: upserts and the database's clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from pixelprobe_services.orchestrator.store.limits import SECONDS_A_DAY

_SQLITE_SECONDS = "((julianday('now') - 2440587.5) * 86400.0)"
_POSTGRESQL_SECONDS = "EXTRACT(EPOCH FROM clock_timestamp())"


class now_seconds(FunctionElement[float]):  # noqa: N801 - reads like the SQL function it is
    """Seconds since 1970 by the database's clock, at the moment of the statement."""

    inherit_cache = True
    type = sa.Double()


class today(FunctionElement[int]):  # noqa: N801 - reads like the SQL function it is
    """Whole days since 1970 (UTC) by the database's clock, at the moment of the statement."""

    inherit_cache = True
    type = sa.Integer()


@compiles(now_seconds, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return _SQLITE_SECONDS


@compiles(now_seconds, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    return f"CAST({_POSTGRESQL_SECONDS} AS DOUBLE PRECISION)"


@compiles(today, "sqlite")
def _sqlite_today(*_: Any, **__: Any) -> str:
    return f"CAST({_SQLITE_SECONDS} / {SECONDS_A_DAY} AS INTEGER)"


@compiles(today, "postgresql")
def _postgresql_today(*_: Any, **__: Any) -> str:
    return f"CAST(floor({_POSTGRESQL_SECONDS} / {SECONDS_A_DAY}) AS INTEGER)"


def insert_or_keep(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; those with the key of an existing row are left out."""
    if rows:
        connection.execute(upsert(connection.dialect.name, table).on_conflict_do_nothing(), list(rows))


def insert_or_replace(connection: sa.Connection, table: sa.Table, **values: Any) -> None:
    """Insert a row, in place of one with the same primary key."""
    keys = [column.name for column in table.primary_key]
    statement = upsert(connection.dialect.name, table).values(**values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=keys,
            set_={name: statement.excluded[name] for name in values if name not in keys},
        )
    )


def upsert(dialect: str, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that can say what to do on a conflict."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
