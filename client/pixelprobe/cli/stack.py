"""``pixelprobe up``, ``down`` and ``status``, and the local stack as the demo uses it.

The client imports nothing of ``deploy``: the stack runs as the program that it is. Options go through as they
are, and so do output, exit code and signals: the stack itself handles a Ctrl-C and leaves nothing running.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO, Any

import click

from pixelprobe.cli.shell import EXIT_INTERRUPTED

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_stack(arguments: Sequence[str], output: IO[str] | None = None) -> int:
    """Run ``python -m pixelprobe_deploy.local`` to its end and return its exit code; signals are passed on.

    What it prints goes to ``output``, by default stdout.
    """
    child: subprocess.Popen[bytes] | None = None

    def hand_on(signum: int, _frame: FrameType | None) -> None:
        if child is not None:
            child.send_signal(signum)

    before = {signum: signal.signal(signum, hand_on) for signum in _SIGNALS}
    # Blocked until the child is known; it unblocks them itself once it can handle them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        child = subprocess.Popen([sys.executable, "-m", "pixelprobe_deploy.local", *arguments], stdout=output)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = child.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return code if code >= 0 else 128 - code


def _command(name: str, summary: str) -> click.Command:
    """A command that hands everything on, ``--help`` included."""

    @click.command(
        name,
        help=summary,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    @click.argument("options", nargs=-1, type=click.UNPROCESSED)
    @click.pass_context
    def command(context: click.Context, options: tuple[str, ...]) -> None:
        context.exit(run_stack([name, *options]))

    return command


up = _command("up", "Start the local stack: Triton and both services.")
down = _command("down", "Stop the local stack.")
status = _command("status", "Show where the local stack's parts are and whether they are healthy.")


STATUS_SECONDS = 30.0
SERVICES = ("triton", "segmentation", "orchestrator")
_EXIT_TERMINATED = 143


@contextmanager
def local_stack() -> Iterator[None]:
    """Run the local stack inside the block; it is stopped afterwards if it was started here.

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
    """Whether all three services of the local stack are healthy."""
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
