"""The one writer of an SQLite database: a thread that commits all waiting work together.

A commit costs a flush to the disk (4 ms where this was measured). Attacks finish, checkpoint and reserve
side by side, so the flush is shared: each piece of work runs in a savepoint of its own, and all are committed
once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import sqlalchemy as sa

from pixelprobe_services.orchestrator.store.sql.engine import BEGIN
from pixelprobe_services.orchestrator.store.sql.failures import failure_of

MOST_AT_ONCE = 64

_Outcome = tuple[Any, Exception | None]
"""The value that the work returned, or the exception that it raised."""


@dataclass
class _Job:
    work: Callable[[sa.Connection], Any]
    future: Future[Any] = field(default_factory=Future)


class SerialWriter:
    """Runs work in transactions of ``engine``, in the order it was submitted."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[sa.Connection], Any]) -> Future[Any]:
        """The future is done once the work is committed, or has failed and left nothing behind."""
        job = _Job(work)
        self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Finish the submitted work, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        ending = False
        while not ending:
            batch = [self._jobs.get()]
            try:
                while len(batch) < MOST_AT_ONCE:
                    batch.append(self._jobs.get_nowait())
            except Empty:
                pass
            ending = None in batch
            self._commit([job for job in batch if job and job.future.set_running_or_notify_cancel()])

    def _commit(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        try:
            with self._engine.begin() as connection:
                if len(jobs) == 1:
                    outcomes: list[_Outcome] = [(jobs[0].work(connection), None)]
                else:
                    outcomes = [_attempt(connection, job.work) for job in jobs]
        except Exception as error:  # handed to all that wait for this commit
            for job in jobs:
                job.future.set_exception(error)
            return
        for job, (value, failure) in zip(jobs, outcomes, strict=True):
            if failure is None:
                job.future.set_result(value)
            else:
                job.future.set_exception(failure)


def _attempt(connection: sa.Connection, work: Callable[[sa.Connection], Any]) -> tuple[Any, Exception | None]:
    """What the work returned, or raised after its savepoint was rolled back.

    Raises:
        sa.exc.DBAPIError: the database failed; SQLite may have rolled the whole transaction back by itself.
    """
    savepoint = connection.begin_nested()
    try:
        value = work(connection)
    except Exception as error:
        if failure_of(error):
            raise
        savepoint.rollback()
        return None, error
    savepoint.commit()
    return value, None
