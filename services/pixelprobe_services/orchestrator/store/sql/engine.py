"""Engines: SQLite as a durable file with one writer, PostgreSQL with deadlines."""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

CONNECTIONS = 8
LOCK_SECONDS = 5
_STATEMENT_SECONDS = 30
_CONNECT_SECONDS = 5
_SILENT_PEER_SECONDS = 10
_JOURNAL_BYTES = 64 * 2**20
"""The write-ahead log is cut back to this after a large transaction."""

BEGIN = "sqlite_begin"
"""Execution option: the statement that begins a transaction on SQLite."""


def create_engine(url: sa.URL, *, for_migration: bool = False) -> sa.Engine:
    """Return an engine for ``url``: sqlite with a file, or postgresql+psycopg. It connects when first used.

    ``for_migration`` does not enforce foreign keys on SQLite, where tables must be rebuilt to be changed.
    """
    return _sqlite(url, for_migration) if url.get_backend_name() == "sqlite" else _postgresql(url)


def _sqlite(url: sa.URL, for_migration: bool) -> sa.Engine:
    engine = sa.create_engine(url, hide_parameters=True, connect_args={"timeout": LOCK_SECONDS})
    event.listen(engine, "connect", _set_up_sqlite)
    if for_migration:
        event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA foreign_keys = OFF"))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: object) -> None:
    """Set the connection up: WAL, so that readers never wait, and FULL durability.

    NORMAL may lose the last commits when the machine dies. The ledger must never count less than was sent, so
    a reservation has to be on the disk before its queries are on the wire. Incremental vacuum takes effect in
    a new file alone; ``migrate`` rebuilds older ones.
    """
    connection.isolation_level = None  # transactions begin in _begin_sqlite, not by the driver's guess
    for pragma in (
        "auto_vacuum = INCREMENTAL",
        "journal_mode = WAL",
        f"journal_size_limit = {_JOURNAL_BYTES}",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))


def _postgresql(url: sa.URL) -> sa.Engine:
    """Return an engine with deadlines; the URL's own parameters take precedence."""
    deadlines: dict[str, Any] = {
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": "pixelprobe",
        "client_encoding": "utf8",  # in a database of encoding SQL_ASCII texts would come back as bytes
        "options": f"-c statement_timeout={_STATEMENT_SECONDS}s -c lock_timeout={LOCK_SECONDS}s"
        f" -c idle_in_transaction_session_timeout={_STATEMENT_SECONDS}s",
        # A machine that lost power does not close its connections.
        "keepalives_idle": _SILENT_PEER_SECONDS // 2,
        "keepalives_interval": 1,
        "keepalives_count": _SILENT_PEER_SECONDS // 2,
        "tcp_user_timeout": _SILENT_PEER_SECONDS * 1000,
    }
    return sa.create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=_STATEMENT_SECONDS,
        connect_args={name: value for name, value in deadlines.items() if name not in url.query},
    )
