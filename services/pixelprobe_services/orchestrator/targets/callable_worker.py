"""The program in which a Python callable answers: ``python callable_worker.py MODULE:FUNCTION FOLDER``.

Needs NumPy alone, so that it runs under an interpreter without pixelprobe. Frames on stdin are a
little-endian uint64 length and an array in NumPy's format; frames on stdout have a byte before that: OK or
FAILED (a text). What the callable prints goes to stderr.
"""

from __future__ import annotations

import importlib
import io
import os
import struct
import sys
from typing import Any, BinaryIO

import numpy as np

OK, FAILED = 0, 1


def main() -> int:
    """Import the callable, then answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    module, _, function = sys.argv[1].partition(":")
    sys.path[0] = sys.argv[2]  # instead of this program's own folder
    try:
        found: Any = importlib.import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
    except BaseException as error:  # a module may call sys.exit as it is imported
        _write(answers, FAILED, _line(error))
        return 1
    _write(answers, OK, b"")
    while header := sys.stdin.buffer.read(8):
        (length,) = struct.unpack("<Q", header)
        images = np.load(io.BytesIO(sys.stdin.buffer.read(length)), allow_pickle=False)
        try:
            content = io.BytesIO()
            np.save(content, np.asarray(found(images)), allow_pickle=False)
            _write(answers, OK, content.getvalue())
        except Exception as error:
            _write(answers, FAILED, _line(error))
    return 0


def _write(answers: BinaryIO, kind: int, content: bytes) -> None:
    answers.write(struct.pack("<BQ", kind, len(content)) + content)
    answers.flush()


def _line(error: BaseException) -> bytes:
    return f"{type(error).__name__}: {error}".encode()


if __name__ == "__main__":
    sys.exit(main())
