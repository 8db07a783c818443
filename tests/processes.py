"""The two services as real processes on free ports, for tests that need special options."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 60

QUICK = {
    "PIXELPROBE_TIMING": "poll=0.2,first_wait=0.2,watch_poll=0.2,lease=4,first_retry=0.05,longest_retry=1"
}
"""Environment of an orchestrator that waits as often as in production, but not as long."""


@dataclass
class RunningService:
    """A service that listens at ``address``; ``lines`` is its log so far."""

    address: str
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def terminate(self) -> int:
        """Send SIGTERM. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=15)


@contextmanager
def service(module: str, *arguments: str, descriptors: int | None = None) -> Iterator[RunningService]:
    """``python -m module --listen 127.0.0.1:0 arguments`` until the block ends.

    ``descriptors``: the hard limit on what it may have open.
    """
    command = [sys.executable, "-m", module, "--listen", "127.0.0.1:0", *arguments]
    if descriptors:
        command = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(descriptors), *command]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**QUICK, **os.environ},
    )
    lines: list[str] = []
    found: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line.rstrip())
            listening = re.search(r"listening on ([\w.:\[\]-]+)", line)
            if listening:
                found.put(listening.group(1))
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        address = found.get(timeout=START_SECONDS)
        if address is None:
            raise RuntimeError(f"{module} ended: " + "\n".join(lines))
        yield RunningService(address, process, lines)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=15)


@contextmanager
def segmentation(*arguments: str) -> Iterator[RunningService]:
    """Run a segmentation service."""
    with service("pixelprobe_services.segmentation", *arguments) as running:
        yield running


@contextmanager
def orchestrator(
    targets: Path, segmentation_address: str, *arguments: str, descriptors: int | None = None
) -> Iterator[RunningService]:
    """Run an orchestrator with a targets file; its store is in memory unless ``--store`` is given."""
    with service(
        "pixelprobe_services.orchestrator",
        "--targets",
        str(targets),
        "--segmentation",
        segmentation_address,
        "--store",
        "memory://",
        *arguments,
        descriptors=descriptors,
    ) as running:
        yield running
