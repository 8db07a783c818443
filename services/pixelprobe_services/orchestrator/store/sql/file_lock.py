"""Proof that one process alone uses an SQLite file: a lock that ends with its holder, however that ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from pixelprobe_services.orchestrator.store.errors import StoreSetupError

_PAUSE = 0.05


class FileLock:
    """Holds ``path`` locked until :meth:`release`. The file stays; only the lock on it means anything."""

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
            time.sleep(_PAUSE)
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let go. Idempotent."""
        self._file.close()

    def _try(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
