"""The local stack for scripts and notebooks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pixelprobe_services.common.errors import ServiceError

UP_SECONDS = 600.0
"""The first start makes Triton's virtual environment from the package index."""
DOWN_SECONDS = 120.0
STATUS_SECONDS = 30.0


class LocalStackError(ServiceError):
    """The local stack did not start; the message is the last line of what it printed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="LOCAL_STACK")


@contextmanager
def local_stack() -> Iterator[None]:
    """Run the local stack (Triton and both services) while the block runs.

    A stack that runs already is used and left running; one that is started here is stopped at the end.

    Raises:
        LocalStackError: it cannot be started.
    """
    if is_running():
        yield
        return
    started = _local("up", "--free-ports", seconds=UP_SECONDS)
    if started.returncode:
        lines = started.stderr.strip().splitlines() or [f"exit code {started.returncode}"]
        raise LocalStackError(f"the local stack did not start: {lines[-1]}")
    try:
        yield
    finally:
        _local("down", seconds=DOWN_SECONDS)


def is_running() -> bool:
    """Whether all parts of the local stack are healthy."""
    try:
        parts = json.loads(_local("status", "--json", seconds=STATUS_SECONDS).stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return False
    names = ("triton", "segmentation", "orchestrator")
    return all(parts.get(name, {}).get("healthy") is True for name in names)


def _local(*arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    # A program of its own: the client imports nothing of deploy.
    return subprocess.run(
        [sys.executable, "-m", "pixelprobe_deploy.local", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
