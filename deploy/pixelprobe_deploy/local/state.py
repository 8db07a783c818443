"""The state folder: ``stack.json``, the record of what runs, and the lock that allows one ``up`` at a time.

``stack.json`` is for other programs too: ``["orchestrator"]["grpc"]`` and the like are addresses. It exists
from the start of the first process to ``down``, and is replaced as a whole. The folder is its owner's alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pixelprobe_deploy.home import ZOO, make_private
from pixelprobe_deploy.local.errors import StateError
from pixelprobe_deploy.local.interrupts import Interrupts
from pixelprobe_deploy.local.processes import ProcessId
from pixelprobe_services.common.files import state_folder, write_text

FORMAT = 1
LOCK = "stack.lock"
LOCK_SECONDS = 1500.0
"""How long another ``up`` may hold the lock: the first one installs the runtime."""


@dataclass(frozen=True)
class PartRecord:
    """A process of the stack. ``addresses``: HOST:PORT by protocol (``grpc``, ``http``, ``metrics``)."""

    process: ProcessId
    addresses: dict[str, str]
    log: str


@dataclass(frozen=True)
class StackRecord:
    """What was started, in order.

    Attributes:
        complete: all parts asked for were healthy once; else ``up`` was killed while it started them.
        models: sha256 of the weights by name of the classifier.
        saliency: sha256 of the ONNX file by name of the saliency model.
        versions: of what runs.
        shared_memory_prefix: of the names of Triton's files in /dev/shm.
        targets: path of the operator's own targets file; empty without one.
    """

    complete: bool
    models: dict[str, str]
    versions: dict[str, str]
    shared_memory_prefix: str
    saliency: dict[str, str] = field(default_factory=dict)
    targets: str = ""
    parts: dict[str, PartRecord] = field(default_factory=dict)


class StateFolder:
    """The paths in the state folder, and its lock."""

    def __init__(self, home: Path | None = None) -> None:
        """``home`` else PIXELPROBE_HOME else ~/.pixelprobe."""
        self.home = state_folder(home)
        self.stack_file = self.home / "stack.json"
        self.targets_file = self.home / "targets.toml"
        self.models = self.home / "models"
        self.zoo = self.home / ZOO
        self.backends = self.home / "triton-backends"
        self.logs = self.home / "logs"

    def read(self) -> StackRecord | None:
        """What is on record; None when nothing is.

        Raises:
            StateError: the file is there and cannot be understood.
        """
        try:
            return _from_json(json.loads(self.stack_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"cannot read {self.stack_file}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(
                f"{self.stack_file} is damaged: stop what is left of the stack by hand, delete the file"
            ) from error

    def write(self, record: StackRecord) -> None:
        """Replace what is on record."""
        replace_file(self.stack_file, json.dumps(_to_json(record), indent=2) + "\n")

    def clear(self) -> None:
        """Remove the record: nothing runs."""
        self.stack_file.unlink(missing_ok=True)

    @contextmanager
    def locked(self, interrupts: Interrupts, report: Callable[[str], None]) -> Iterator[None]:
        """Hold the folder's lock; the folder is made if it is missing.

        Raises:
            StateError: the folder cannot be written, or another process holds the lock for too long.
            Interrupted: a signal came while waiting.
        """
        try:
            make_private(self.home, LOCK)
            lock = FileLock(self.home / LOCK)
            give_up, reported = time.monotonic() + LOCK_SECONDS, False
            while not _acquired(lock):
                if not reported:
                    report(f"Waiting for another `up` or `down` in {self.home} ...")
                    reported = True
                if time.monotonic() > give_up:
                    raise StateError(
                        f"another `up` or `down` holds {self.home} for over {LOCK_SECONDS:.0f} s"
                    )
                interrupts.sleep(0.2)
        except OSError as error:
            raise StateError(f"cannot write to the state folder {self.home}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()


def replace_file(path: Path, text: str) -> None:
    """Write a file so that readers see the old one or the new one, whole.

    Raises:
        StateError: it cannot be written.
    """
    try:
        write_text(path, text)
    except OSError as error:
        raise StateError(f"cannot write {path}: {error.strerror}") from error


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    return True


def _to_json(record: StackRecord) -> dict[str, Any]:
    parts = {
        name: {**part.addresses, "pid": part.process.pid, "started": part.process.started, "log": part.log}
        for name, part in record.parts.items()
    }
    return {
        "format": FORMAT,
        "complete": record.complete,
        **parts,
        "models": dict(record.models),
        "saliency": dict(record.saliency),
        "versions": dict(record.versions),
        "shared_memory_prefix": record.shared_memory_prefix,
    }


def _from_json(fields: dict[str, Any]) -> StackRecord:
    if fields.pop("format") != FORMAT:
        raise ValueError("written by another version")
    common = {name: fields.pop(name) for name in ("complete", "models", "versions", "shared_memory_prefix")}
    common["saliency"] = fields.pop("saliency", {})
    common["targets"] = fields.pop("targets", "")
    parts = {}
    for name, part in fields.items():
        process = ProcessId(int(part.pop("pid")), str(part.pop("started")))
        parts[name] = PartRecord(process, log=part.pop("log"), addresses=part)
    return StackRecord(**common, parts=parts)
