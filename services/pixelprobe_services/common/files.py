"""Files that are written whole or not at all, and the state folder of a user."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

HOME_VARIABLE = "PIXELPROBE_HOME"
_MODE = 0o644


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes the place of ``path`` when the block ends without an exception.

    Readers see the old file or the new one, whole. The folder is made where it is missing.

    Example:
        with replacing(folder / "results.json") as file:
            file.write(b"[]")

    Raises:
        OSError: it cannot be written, say because the disk is full; ``filename`` is ``path``, and what was
            there before is unchanged.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".partial")
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(partial).chmod(_MODE)
        Path(partial).replace(path)
    except OSError as error:
        if error.filename in (None, partial):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        if partial is not None:
            Path(partial).unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as :func:`replacing` does; OSError names ``path``."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file, UTF-8, newlines as they are, as :func:`replacing` does; OSError names ``path``."""
    write_bytes(path, text.encode("utf-8"))


def state_folder(given: Path | None = None) -> Path:
    """Return the absolute path of ``given``, else of $PIXELPROBE_HOME, else of ``~/.pixelprobe``.

    It holds the local stack, its models and the default database. ``~`` stands for the home folder.
    """
    return Path(given or os.environ.get(HOME_VARIABLE) or "~/.pixelprobe").expanduser().absolute()
