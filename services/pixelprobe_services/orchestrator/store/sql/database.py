"""Runs work on the database in threads, one transaction each, for the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa

from pixelprobe_services.orchestrator.store.sql.engine import CONNECTIONS
from pixelprobe_services.orchestrator.store.sql.failures import failure_of
from pixelprobe_services.orchestrator.store.sql.writer import SerialWriter

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

PATIENCE_SECONDS = 10.0
"""How long work is repeated while the database is locked or out of reach: long enough for a restart."""

_SQLITE_READERS = 2
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Database:
    """Runs each piece of work in one transaction, which is committed when the work returns.

    After a failure that may pass, the work is run again, for up to PATIENCE_SECONDS. It must have the same
    effect when it is run twice: a connection can break after the commit and before its confirmation.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._patience = PATIENCE_SECONDS
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._writer = SerialWriter(engine) if self.is_sqlite else None
        self._threads = ThreadPoolExecutor(
            _SQLITE_READERS if self.is_sqlite else CONNECTIONS, thread_name_prefix="store"
        )

    async def write(self, work: Work[T], *, patience: float | None = None) -> T:
        """Run work that may change something.

        Raises:
            StoreError: the database is out of reach, locked or full; nothing was changed.
            Exception: the exception of the work, after a rollback.
        """
        return await self._repeated(self._writer.submit if self._writer else self._submit, work, patience)

    async def read(self, work: Work[T]) -> T:
        """Run work that changes nothing, beside any writing. Raises as :meth:`write`."""
        return await self._repeated(self._submit, work, None)

    def rebuild(self) -> None:
        """Rebuild an SQLite file without its free pages, so that later ones can be returned; blocks.

        Raises:
            StoreError: the database is locked, or the disk has no room for a second copy.
        """
        with self._engine.connect() as connection:
            cursor = connection.connection.cursor()
            try:
                cursor.execute("VACUUM")
            except sqlite3.Error as error:
                failure = failure_of(error)
                if failure is None:
                    raise
                raise failure.error from error

    async def close(self) -> None:
        """Finish the work under way and disconnect. Idempotent."""
        if self._writer:
            await asyncio.to_thread(self._writer.close)
            self._writer = None
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    def _submit(self, work: Work[T]) -> Future[T]:
        return self._threads.submit(self._transact, work)

    def _transact(self, work: Work[T]) -> T:
        with self._engine.begin() as connection:
            return work(connection)

    async def _repeated(
        self, submit: Callable[[Work[T]], Future[T]], work: Work[T], patience: float | None
    ) -> T:
        give_up = time.monotonic() + (self._patience if patience is None else patience)
        pause = _FIRST_PAUSE
        while True:
            try:
                return await asyncio.wrap_future(submit(work))
            except (sa.exc.SQLAlchemyError, OSError, MemoryError, RuntimeError) as error:
                failure = failure_of(error)
                if failure is None:
                    raise
                if not failure.passing or time.monotonic() + pause > give_up:
                    raise failure.error from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
