"""What drivers' errors are taken for, and payloads of other versions."""

from __future__ import annotations

import errno
import sqlite3

import psycopg
import pytest
from psycopg import errors as pg
from sqlalchemy.exc import OperationalError, ProgrammingError

from pixelprobe_services.common.values import AttackResult, Outcome
from pixelprobe_services.orchestrator.store.errors import StoreError, StoreFullError, StoreUnavailableError
from pixelprobe_services.orchestrator.store.sql.failures import failure_of
from pixelprobe_services.orchestrator.store.sql.payload import PayloadError, decode_result, encode_result


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("told by SQLite")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("cause", "kind", "passing"),
    [
        (sqlite_error(sqlite3.SQLITE_BUSY), StoreUnavailableError, True),
        (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), StoreUnavailableError, True),
        (sqlite_error(sqlite3.SQLITE_FULL), StoreFullError, False),
        (sqlite_error(sqlite3.SQLITE_IOERR_WRITE), StoreUnavailableError, False),
        (sqlite_error(sqlite3.SQLITE_READONLY), StoreUnavailableError, False),
        (pg.DiskFull("could not extend file"), StoreFullError, False),
        (pg.AdminShutdown("terminating connection"), StoreUnavailableError, True),
        (pg.CannotConnectNow("starting up"), StoreUnavailableError, True),
        (pg.DeadlockDetected("deadlock"), StoreUnavailableError, True),
        (pg.SerializationFailure("again"), StoreUnavailableError, True),
        (pg.QueryCanceled("statement timeout"), StoreUnavailableError, True),
        (pg.TooManyConnections("too many clients"), StoreUnavailableError, True),
        (pg.ReadOnlySqlTransaction("in recovery"), StoreUnavailableError, True),
        (psycopg.OperationalError("connection refused"), StoreUnavailableError, True),
        (sqlite_error(sqlite3.SQLITE_NOMEM), StoreUnavailableError, True),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), StoreUnavailableError, False),
        (OSError(errno.EMFILE, "Too many open files"), StoreUnavailableError, True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), StoreUnavailableError, True),
        (OSError(errno.ENOSPC, "No space left on device"), StoreFullError, False),
        (MemoryError(), StoreUnavailableError, True),
        (RuntimeError("can't start new thread"), StoreUnavailableError, True),
    ],
)
def test_outages(cause: Exception, kind: type[StoreError], passing: bool) -> None:
    for error in (cause, OperationalError("INSERT secret", {"image": "secret"}, cause)):
        failure = failure_of(error)
        assert failure is not None
        assert type(failure.error) is kind
        assert failure.passing is passing
        assert "secret" not in failure.error.message


@pytest.mark.parametrize(
    "error",
    [
        ProgrammingError("SELECT", {}, pg.UndefinedTable("no such table")),
        OperationalError("SELECT", {}, sqlite_error(sqlite3.SQLITE_ERROR)),
        pg.UniqueViolation("twice"),
        ValueError("a bug"),
        RuntimeError("a bug"),
        OSError(errno.ENOENT, "No such file or directory"),
    ],
)
def test_bugs_are_not_taken_for_outages(error: Exception) -> None:
    assert failure_of(error) is None


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"version": 99}', b"\xff", b'{"version": 1, "reason": ""}']
)
def test_other_bytes_are_no_result(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_result(payload, Outcome.FAILURE)


def test_an_empty_result_comes_back() -> None:
    result = AttackResult(Outcome.ERROR)
    assert decode_result(encode_result(result), Outcome.ERROR) == result
