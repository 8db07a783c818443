"""Finds the line of a log that names the error."""

from __future__ import annotations

import re
from pathlib import Path

_TAIL_BYTES = 64 * 1024
_LONGEST = 400
_PATTERNS = (
    re.compile(r"^E\d{4} "),  # Triton's own errors
    re.compile(r"\b(error|fatal|exception)\b|\w(Error|Exception)\b", re.IGNORECASE),
)


def last_error_line(log: Path) -> str:
    """Return the last line with an error, else the last line; never empty."""
    try:
        text = log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    except OSError as error:
        return f"no log ({error.strerror})"
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    if not lines:
        return "its log is empty"
    for pattern in _PATTERNS:
        for line in reversed(lines):
            if pattern.search(line):
                return line[:_LONGEST]
    return lines[-1][:_LONGEST]
