"""The one statement that SQL dialects spell differently: insert, unless it is there already."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert_or_keep(connection: sa.Connection, table: sa.Table, **values: Any) -> None:
    """Insert a row; one with the same key stays as it is."""
    connection.execute(_insert(connection, table).values(**values).on_conflict_do_nothing())


def insert_or_replace(connection: sa.Connection, table: sa.Table, **values: Any) -> None:
    """Insert a row, in place of one with the same primary key."""
    keys = [column.name for column in table.primary_key]
    statement = _insert(connection, table).values(**values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=keys,
            set_={name: statement.excluded[name] for name in values if name not in keys},
        )
    )


def _insert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
