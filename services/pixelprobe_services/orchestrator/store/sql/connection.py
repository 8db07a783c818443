"""Connects to a database; of an SQLite file, a lock keeps other processes out."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pixelprobe_services.orchestrator.store.errors import StoreSetupError
from pixelprobe_services.orchestrator.store.location import StoreLocation
from pixelprobe_services.orchestrator.store.sql.database import Database
from pixelprobe_services.orchestrator.store.sql.engine import create_engine

LOCK_WAIT_SECONDS = 5.0
"""An orchestrator that was asked to stop may need a moment."""


_LOCK_PAUSE = 0.05


class FileLock:
    """Holds ``path`` locked until :meth:`release`, or until the process ends, however it ends.

    The file stays and names its holder; filelock empties the file with every attempt, and could not say which
    process is in the way.
    """

    def __init__(self, path: Path, wait_seconds: float) -> None:
        """Lock, waiting a while for a holder that is about to end.

        Raises:
            StoreSetupError: another process holds it.
            OSError: the file cannot be made.
        """
        self._file: IO[str] = path.open("a+")
        give_up = time.monotonic() + wait_seconds
        while not self._try():
            if time.monotonic() > give_up:
                self._file.seek(0)
                holder = self._file.read().strip() or "unknown"
                self._file.close()
                raise StoreSetupError(
                    f"{path.with_suffix('')} is in use by another orchestrator (process {holder}):"
                    " several can share a PostgreSQL database, not an SQLite file"
                )
            time.sleep(_LOCK_PAUSE)
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Unlock. Idempotent."""
        self._file.close()

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@dataclass(frozen=True)
class Connected:
    """A database, and the lock on its file if it is one."""

    database: Database
    lock: FileLock | None

    @property
    def is_alone(self) -> bool:
        """Whether no other process can use the database while this is open."""
        return self.lock is not None

    async def close(self) -> None:
        """Disconnect, then unlock. Idempotent."""
        await self.database.close()
        if self.lock:
            self.lock.release()


def connect(location: StoreLocation, *, for_migration: bool = False) -> Connected:
    """Connect; blocks while another process holds the file, for up to LOCK_WAIT_SECONDS.

    Raises:
        StoreSetupError: another process holds the file, or it cannot be made.
    """
    assert location.url is not None
    lock = None
    if location.file is not None:
        file = location.file
        try:
            file.parent.mkdir(0o700, parents=True, exist_ok=True)
            lock = FileLock(file.with_name(file.name + ".lock"), LOCK_WAIT_SECONDS)
        except OSError as error:
            raise StoreSetupError(f"cannot be opened: {error.filename}: {error.strerror}") from error
    return Connected(Database(create_engine(location.url, for_migration=for_migration)), lock)
