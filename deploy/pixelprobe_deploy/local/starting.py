"""Start the parts one after another, each once the one before is healthy; or stop them all."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pixelprobe_deploy.local import parts, processes
from pixelprobe_deploy.local.errors import LocalStackError, StartError
from pixelprobe_deploy.local.interrupts import Interrupts
from pixelprobe_deploy.local.parts import START_SECONDS, STOP_SECONDS, TITLES, Part
from pixelprobe_deploy.local.state import PartRecord, StackRecord, StateFolder
from pixelprobe_deploy.triton.logs import telling_line
from pixelprobe_deploy.triton.served import triton_names

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where Triton's Python backend keeps its files)
_POLL_SECONDS = 0.1


def start(
    folder: StateFolder,
    record: StackRecord,
    chosen: Sequence[Part],
    interrupts: Interrupts,
    tell: Callable[[str], None],
) -> StackRecord:
    """Start ``chosen`` in order and put them on record.

    Raises:
        StartError: a part cannot be started, ended, or was not healthy in time; nothing runs any more.
        StateError: ``folder`` cannot be written; nothing runs any more.
        Interrupted: nothing runs any more.
    """
    models = triton_names(record.models, record.saliency)
    try:
        for part in chosen:
            interrupts.check()
            tell(f"Starting {TITLES[part.name]} ...")
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
            tell(f"  healthy after {time.monotonic() - began:.1f} s, gRPC at {part.addresses['grpc']}")
        record = replace(record, complete=True)
        folder.write(record)
        interrupts.check()
    except BaseException:  # Ctrl-C as well: nothing half started stays behind, whatever ended it
        tell("Stopping what was started ...")
        stop(folder, record)
        raise
    return record


def stop(folder: StateFolder, record: StackRecord) -> None:
    """Stop what is on record, last first, with all children and shared memory; then forget the record.

    Raises:
        LocalStackError: something would not end; the record stays.
    """
    failures = []
    for name, part in reversed(record.parts.items()):
        try:
            processes.stop(part.process, STOP_SECONDS[name])
        except LocalStackError as error:
            failures.append(f"{TITLES[name]}: {error}")
    if failures:
        raise LocalStackError("; ".join(failures))
    for path in SHARED_MEMORY.glob(f"{record.shared_memory_prefix}*"):
        path.unlink(missing_ok=True)
    folder.clear()


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
    return f"{TITLES[part.name]} {what}: {telling_line(log)} (log: {log})"
