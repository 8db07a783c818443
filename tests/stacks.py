"""Local stacks of tests: their commands, their processes, and checks that nothing of them is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelprobe_deploy.local.processes import ProcessId
from pixelprobe_deploy.local.state import StackRecord, StateFolder
from pixelprobe_deploy.triton.venv import VENV_VARIABLE

ROOT = Path(__file__).parents[1]
INTERRUPTED, UNHEALTHY = 130, 3
TRITON_ALONE = ("up", "--only", "triton", "--free-ports")
SECONDS = 120.0


def run_local(home: Path, venv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m pixelprobe_deploy.local ARGUMENTS`` with its state in ``home``."""
    return subprocess.run(
        [sys.executable, "-m", "pixelprobe_deploy.local", *arguments],
        cwd=ROOT,
        env={**os.environ, "PIXELPROBE_HOME": str(home), VENV_VARIABLE: str(venv)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@dataclass(frozen=True)
class Stack:
    """A stack of one test, in a state folder of its own."""

    home: Path
    venv: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_local(self.home, self.venv, *arguments)

    def begin(
        self, *arguments: str, command: tuple[str, ...] = ("-m", "pixelprobe_deploy.local")
    ) -> subprocess.Popen[str]:
        """Start a command without waiting for its end."""
        environment = {
            **os.environ,
            "PIXELPROBE_HOME": str(self.home),
            VENV_VARIABLE: str(self.venv),
            "PYTHONUNBUFFERED": "1",
        }
        return subprocess.Popen(
            [sys.executable, *command, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("status", "--json").stdout)
        return found

    def record(self) -> StackRecord:
        found = StateFolder(self.home).read()
        assert found is not None
        return found

    def triton(self) -> ProcessId:
        return self.record().parts["triton"].process

    def processes(self) -> list[int]:
        """Return the pids of processes with this state folder: the server, its children, the services."""
        mark = f"PIXELPROBE_HOME={self.home}"
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_text(errors="replace").split(
                    "\0"
                ):
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def assert_nothing_left(self) -> None:
        assert self.processes() == []
        assert not (self.home / "stack.json").exists()
        assert [path.name for path in self.home.iterdir() if path.name.startswith(".")] == []


def shared_memory(stack: StackRecord) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{stack.shared_memory_prefix}*"))


def error_line(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """Return the one line that a failed command printed."""
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return line


def wait_for_record(stack: Stack) -> ProcessId:
    """Wait until Triton is started and on record."""

    def is_on_record() -> bool:
        record = StateFolder(stack.home).read()
        return bool(record and record.parts)

    wait_until(is_on_record)
    return stack.triton()


def wait_until(condition: Callable[[], bool]) -> None:
    """Look at ``condition`` until it holds; fail after SECONDS."""
    give_up = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.02)
