"""``pixelprobe up``, ``down`` and ``status``: the local stack, run as the program that it is.

The client imports nothing of ``deploy``. Options go through as they are, and so do output, exit code and
signals: a Ctrl-C is the stack's to handle, which then leaves nothing running.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType
from typing import IO

import click

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
