"""Start parts one after another, each when the one before it is healthy, and stop them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from pixelprobe_deploy.local import parts, processes
from pixelprobe_deploy.local.errors import LocalStackError, StartError
from pixelprobe_deploy.local.interrupts import Interrupts
from pixelprobe_deploy.local.parts import START_SECONDS, STOP_SECONDS, TITLES, TRITON, Part
from pixelprobe_deploy.local.state import PartRecord, StackRecord, StateFolder
from pixelprobe_deploy.triton.logs import last_error_line
from pixelprobe_deploy.triton.served import triton_names

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where Triton's Python backend keeps its files)
_POLL_SECONDS = 0.1


def start(
    folder: StateFolder,
    record: StackRecord,
    chosen: Sequence[Part],
    before: StackRecord | None,
    interrupts: Interrupts,
    report: Callable[[str], None],
) -> StackRecord:
    """Start ``chosen`` in order and add them to ``record``.

    If that fails, all of ``chosen`` is stopped, and the record is again ``before``, which keeps the ports.

    Raises:
        StartError: a part cannot be started, ended, or was not healthy in time.
        StateError: ``folder`` cannot be written.
        Interrupted: a signal came.
    """
    models = triton_names(record.models, record.saliency)
    try:
        for part in chosen:
            interrupts.check()
            report(f"Starting {TITLES[part.name]} ...")
            began = time.monotonic()
            log = folder.logs / f"{part.name}.log"
            try:
                process, process_id = processes.spawn(part.command, part.environment, folder.home, log)
            except OSError as error:
                raise StartError(f"cannot start {TITLES[part.name]}: {error}") from error
            running = PartRecord(process_id, part.addresses, str(log))
            record = replace(record, parts={**record.parts, part.name: running})
            folder.write(record)
            _wait_until_healthy(part, process, log, models, interrupts)
            report(f"  healthy after {time.monotonic() - began:.1f} s, gRPC at {part.addresses['grpc']}")
        record = replace(record, complete=True)
        folder.write(record)
        interrupts.check()
    except BaseException:  # Ctrl-C as well: nothing half started stays behind, whatever ended it
        report("Stopping what was started ...")
        stop(record, [part.name for part in chosen if part.name in record.parts])
        if before:
            folder.write(before)
        else:
            folder.clear()
        raise
    return record


def stop(record: StackRecord, names: Collection[str]) -> None:
    """Stop the named parts, last first, with all children and shared memory.

    Raises:
        LocalStackError: a process does not end.
    """
    failures = []
    for name, part in reversed(record.parts.items()):
        if name in names:
            try:
                processes.stop(part.process, STOP_SECONDS[name])
            except LocalStackError as error:
                failures.append(f"{TITLES[name]}: {error}")
    if failures:
        raise LocalStackError("; ".join(failures))
    if TRITON in names:
        for path in SHARED_MEMORY.glob(f"{record.shared_memory_prefix}*"):
            path.unlink(missing_ok=True)


def _wait_until_healthy(
    part: Part,
    process: subprocess.Popen[bytes],
    log: Path,
    models: Sequence[str],
    interrupts: Interrupts,
) -> None:
    bound = START_SECONDS[part.name]
    give_up = time.monotonic() + bound
    while True:
        interrupts.check()
        if process.poll() is not None:
            raise StartError(_failure(part, f"ended with exit code {process.returncode} while starting", log))
        if parts.is_healthy(part.name, part.addresses, models):
            return
        if time.monotonic() > give_up:
            raise StartError(_failure(part, f"was not healthy within {bound:.0f} s", log))
        interrupts.sleep(_POLL_SECONDS)


def _failure(part: Part, what: str, log: Path) -> str:
    return f"{TITLES[part.name]} {what}: {last_error_line(log)} (log: {log})"
