"""A connected database: its threads and, for an SQLite file, the lock that keeps other processes out."""

from __future__ import annotations

from dataclasses import dataclass

from pixelprobe_services.orchestrator.store.errors import StoreSetupError
from pixelprobe_services.orchestrator.store.location import StoreLocation
from pixelprobe_services.orchestrator.store.sql.database import Database
from pixelprobe_services.orchestrator.store.sql.engine import create_engine
from pixelprobe_services.orchestrator.store.sql.file_lock import FileLock

LOCK_WAIT_SECONDS = 5.0
"""A predecessor that was told to stop may need a moment."""


@dataclass(frozen=True)
class Connected:
    """``is_alone``: no other process can use the database while this is open."""

    database: Database
    lock: FileLock | None

    @property
    def is_alone(self) -> bool:
        return self.lock is not None

    async def close(self) -> None:
        """Disconnect, then unlock. Idempotent."""
        await self.database.close()
        if self.lock:
            self.lock.release()


def connect(location: StoreLocation) -> Connected:
    """Connect; blocks while a predecessor holds the file.

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
    return Connected(Database(create_engine(location.url)), lock)
