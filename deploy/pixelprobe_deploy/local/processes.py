"""Background processes: recognised by a later run, and stopped with everything they started.

The system reuses pids. A pid with the process's start tick and the boot's id names one process for good. Both
are read from /proc: psutil's ``create_time`` is wall-clock time, which changes when the system's clock is
set, and two runs of ``up`` would then disagree about a process that still runs. Linux only, as the Triton
wheel is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pixelprobe_deploy.local.errors import LocalStackError

_PROC = Path("/proc")
_KILL_SECONDS = 10.0
_STEP_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessId:
    """Identity of one process. ``started``: the boot's id and the clock tick of its start."""

    pid: int
    started: str


@dataclass(frozen=True)
class _Stat:
    """The fields of /proc/PID/stat that are used here."""

    state: str
    session: int
    start_tick: int


def spawn(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
) -> tuple[subprocess.Popen[bytes], ProcessId]:
    """Start a process in ``folder`` that outlives this one, in a session of its own, with its output in
    ``log``.

    The log of the run before is kept beside it as ``NAME.1``. Output is appended, so that the log can be
    truncated (see triton/supervisor.py).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        log.replace(log.with_name(log.name + ".1"))
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stat = _stat(process.pid)
    assert stat is not None, "a child is there until it is waited for"
    return process, _process_id(process.pid, stat)


def identify(pid: int) -> ProcessId | None:
    """Return the process that has this pid now; None when there is none, or a zombie."""
    stat = _stat(pid)
    if stat is None or stat.state in "ZX":
        return None
    return _process_id(pid, stat)


def is_alive(process: ProcessId) -> bool:
    """Whether the process still runs."""
    return identify(process.pid) == process


def stop(process: ProcessId, grace_seconds: float) -> None:
    """Stop a process that ``spawn`` started: SIGTERM, after ``grace_seconds`` SIGKILL to it and its children.

    Children that it leaves behind are killed at once. Does nothing when all have ended.

    Raises:
        LocalStackError: a process still runs after that.
    """
    if is_alive(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        _wait(lambda: not is_alive(process), grace_seconds)
    for pid in members(process):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not _wait(lambda: not members(process), _KILL_SECONDS):
        raise LocalStackError(f"process {process.pid} and its children do not end, not even by SIGKILL")


def members(process: ProcessId) -> list[int]:
    """Return the living pids of the session that ``process`` leads: itself and its children.

    While one of them lives the system does not reuse the leader's pid; if another process has it, none live.
    """
    boot, _, tick = process.started.partition("/")
    holder = _stat(process.pid)
    if boot != _boot() or (holder is not None and holder.start_tick != int(tick)):
        return []
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if (
                stat
                and stat.session == process.pid
                and stat.state not in "ZX"
                and stat.start_tick >= int(tick)
            ):
                found.append(int(entry.name))
    return found


def _process_id(pid: int, stat: _Stat) -> ProcessId:
    return ProcessId(pid, f"{_boot()}/{stat.start_tick}")


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # after the name, which may hold any characters
    return _Stat(state=fields[0], session=int(fields[3]), start_tick=int(fields[19]))


def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(_STEP_SECONDS)
    return True
