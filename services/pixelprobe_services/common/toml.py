"""Reading TOML files that may be large, deep or malformed, in bounded time and memory."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

MAX_BYTES = 256 * 1024
MAX_DOTS = 100
"""In a line. tomllib's time and memory grow with the square of a dotted key's parts."""

MAX_DEPTH = 20
MAX_INTEGER = 2**64 - 1


class FileError(ValueError):
    """A file cannot be used; the message is one line that starts with its path."""


def read_toml(path: Path) -> dict[str, Any]:
    """Return the top-level table of a TOML file; a UTF-8 byte order mark is ignored.

    A file may have at most MAX_BYTES bytes, MAX_DOTS dots in a line and MAX_DEPTH levels of nesting, and
    integers between -MAX_INTEGER and MAX_INTEGER.

    Raises:
        FileError: it cannot be read, is no TOML, or exceeds a limit.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise FileError(f"{path}: is larger than {MAX_BYTES // 1024} KiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is not UTF-8 text") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MAX_DOTS:
            raise FileError(f"{path}: line {number} has more than {MAX_DOTS} dots; break it into several")
    return _checked(path, _parsed(path, text))


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(f"{path}: is not TOML: {error}") from error
    except RecursionError as error:
        raise FileError(f"{path}: is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        # Python's own limit on the digits of an integer, which tomllib lets through.
        raise FileError(f"{path}: holds an integer that is too large") from error


def _checked(path: Path, table: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [table]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, int) and abs(value) > MAX_INTEGER:
                raise FileError(f"{path}: holds an integer that is too large")
        level = below
    if level:
        raise FileError(f"{path}: is nested deeper than {MAX_DEPTH} levels")
    return table
