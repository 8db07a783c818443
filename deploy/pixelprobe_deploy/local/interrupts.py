"""Signals that are checked at safe points instead of raising exceptions anywhere.

An exception between the start of a process and the note of it would leave the process running.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from pixelprobe_deploy.local.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STEP_SECONDS = 0.05


class Interrupts:
    """Remembers the first signal; later ones change nothing."""

    def __init__(self) -> None:
        self._signum: int | None = None

    def install(self) -> None:
        """Remember signals from now on. A hang-up that is ignored already (nohup) stays so."""
        for signum in SIGNALS:
            if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._remember)
        # The parent process may have blocked them until now, so that none comes too early.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _remember(self, signum: int, _frame: FrameType | None) -> None:
        if self._signum is None:
            self._signum = signum

    def ignore(self) -> None:
        """Ignore signals from now on: the work is done."""
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)

    def check(self) -> None:
        """Raise Interrupted if a signal came."""
        if self._signum is not None:
            raise Interrupted(self._signum)

    def sleep(self, seconds: float) -> None:
        """Sleep; raise Interrupted soon after a signal."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(_STEP_SECONDS, left))
