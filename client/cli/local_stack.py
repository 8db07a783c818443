"""The local stack as the demo needs it: used where it runs, else started and stopped again.

The stack is a program of its own (``python -m deploy.local``); the client never imports it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

STATUS_SECONDS = 30.0
STOP_SECONDS = 60.0


def run_local(*arguments: str) -> int:
    """Run a command of the local stack, its output on stderr; returns its exit code.

    An interruption waits for the command, which is interrupted too and tidies up after itself.
    """
    with subprocess.Popen([sys.executable, "-m", "deploy.local", *arguments], stdout=sys.stderr) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # A Ctrl-C reaches both from the terminal; a kill of this process reaches only this one.
            process.terminate()
            process.wait(STOP_SECONDS)
            raise


def is_running() -> bool:
    """All three services of the local stack are healthy."""
    try:
        status = subprocess.run(
            [sys.executable, "-m", "deploy.local", "status", "--json"],
            capture_output=True,
            check=False,
            timeout=STATUS_SECONDS,
        )
        services: Any = json.loads(status.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return False
    names = ("triton", "segmentation", "orchestrator")
    return isinstance(services, dict) and all(services.get(name, {}).get("healthy") is True for name in names)


@contextmanager
def local_stack() -> Iterator[None]:
    """The local stack runs inside; it is stopped afterwards if it was started here.

    Raises:
        click.ClickException: it could not be started.
    """
    if is_running():
        yield
        return
    if run_local("up") != 0:
        raise click.ClickException("the local stack could not be started; see above")
    try:
        yield
    finally:
        run_local("down")
