"""Resources of running processes, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def forget_peak(pid: int) -> None:
    """Reset the peak of a process's memory to its current size."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """Return the peak resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


def cpu_seconds(pid: int) -> float:
    """User and system time so far, of it and of all that it started and still runs."""
    parents = {entry: fields[1] for entry, fields in _all_stats().items()}
    tree = {pid}
    while grown := {child for child, parent in parents.items() if int(parent) in tree} - tree:
        tree |= grown
    stats = _all_stats()
    return sum((int(stats[one][11]) + int(stats[one][12])) / _TICKS for one in tree if one in stats)


def _all_stats() -> dict[int, list[str]]:
    """By process: the fields of /proc/PID/stat from the state on."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The program's name, in brackets, may hold blanks.
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
