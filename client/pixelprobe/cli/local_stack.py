"""The local stack as the demo needs it: used where it runs, else started and stopped again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from pixelprobe.cli.shell import EXIT_INTERRUPTED
from pixelprobe.cli.stack import run_stack

STATUS_SECONDS = 30.0
SERVICES = ("triton", "segmentation", "orchestrator")
_EXIT_TERMINATED = 143


@contextmanager
def local_stack() -> Iterator[None]:
    """The local stack runs inside; it is stopped afterwards if it was started here.

    Raises:
        click.exceptions.Exit: it could not be started, and has said why.
        KeyboardInterrupt: while it started.
    """
    if is_running():
        yield
        return
    # Free ports, so that a demo never stumbles over what else runs on the machine.
    code = run_stack(["up", "--free-ports"], output=sys.stderr)
    if code in (EXIT_INTERRUPTED, _EXIT_TERMINATED):
        raise KeyboardInterrupt
    if code:
        raise click.exceptions.Exit(code)
    try:
        yield
    finally:
        run_stack(["down"], output=sys.stderr)


def is_running() -> bool:
    """All three services of the local stack are healthy."""
    try:
        status = subprocess.run(
            [sys.executable, "-m", "pixelprobe_deploy.local", "status", "--json"],
            capture_output=True,
            check=False,
            timeout=STATUS_SECONDS,
        )
        services: Any = json.loads(status.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return False
    return all(services.get(name, {}).get("healthy") is True for name in SERVICES)
