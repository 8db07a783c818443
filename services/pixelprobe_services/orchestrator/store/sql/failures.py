"""Classifies errors under a database: out of reach, full, out of resources, worth another try, or a bug.

Texts come from the server or from SQLite, never from the statement or the URL, so that no password and no
image ends up in a log.
"""

from __future__ import annotations

import errno
import sqlite3
from dataclasses import dataclass

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pixelprobe_services.orchestrator.store.errors import StoreError, StoreFullError, StoreUnavailableError

_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DISK_FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO})
_SQLITE_OUTAGES = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
    }
)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_DISK_FULL = "53100"
_READ_ONLY = "25006"
_TRY_AGAIN = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
        "57014",  # query_canceled: our own statement_timeout
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "25P03",  # idle_in_transaction_session_timeout
    }
)
_CONNECTION_CLASS = "08"
_RESOURCES_CLASS = "53"


@dataclass(frozen=True)
class Failure:
    """The error to raise, and whether the same work may succeed in a moment."""

    error: StoreError
    passing: bool


def failure_of(error: Exception) -> Failure | None:
    """Return what ``error`` means; None where it shows a bug and not the state of database or machine."""
    if isinstance(error, PoolTimeoutError):
        return Failure(StoreUnavailableError("the database: all connections are busy"), passing=True)
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, OSError | MemoryError | RuntimeError):
        return _of_machine(cause)
    if isinstance(cause, sqlite3.Error):
        return _of_sqlite(cause)
    if isinstance(cause, psycopg.Error):
        return _of_postgresql(cause)
    return None


def _of_machine(error: OSError | MemoryError | RuntimeError) -> Failure | None:
    if isinstance(error, MemoryError):
        return Failure(StoreUnavailableError("out of memory"), passing=True)
    if isinstance(error, RuntimeError):
        no_thread = "can't start new thread" in str(error)
        return Failure(StoreUnavailableError("no thread can be started"), passing=True) if no_thread else None
    if error.errno in _DISK_FULL_ERRORS:
        return Failure(StoreFullError("the disk that holds the database is full"), passing=False)
    if error.errno in _OUT_OF_RESOURCES:
        return Failure(StoreUnavailableError(f"the database cannot be used: {error.strerror}"), passing=True)
    return None


def _of_sqlite(error: sqlite3.Error) -> Failure | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in _LOCKED:
        return Failure(StoreUnavailableError("the database is locked by another program"), passing=True)
    if code == sqlite3.SQLITE_NOMEM:
        return Failure(StoreUnavailableError("the database is out of memory"), passing=True)
    if code == sqlite3.SQLITE_FULL:
        return Failure(StoreFullError("the disk that holds the database is full"), passing=False)
    if code in _SQLITE_OUTAGES:
        return Failure(StoreUnavailableError(f"the database cannot be used: {error}"), passing=False)
    return None


def _of_postgresql(error: psycopg.Error) -> Failure | None:
    state = error.sqlstate or ""
    text = _first_line(error)
    if state == _DISK_FULL:
        return Failure(StoreFullError(f"the database's disk is full: {text}"), passing=False)
    unavailable = StoreUnavailableError(f"the database cannot be reached: {text}")
    if state in _TRY_AGAIN or state.startswith(_CONNECTION_CLASS):
        return Failure(unavailable, passing=True)
    if state == _READ_ONLY or state.startswith(_RESOURCES_CLASS):
        return Failure(StoreUnavailableError(f"the database cannot be used: {text}"), passing=True)
    if not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Failure(unavailable, passing=True)  # no server was there to give a code
    return None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
