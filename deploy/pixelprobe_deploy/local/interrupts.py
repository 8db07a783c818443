"""Ctrl-C and kill as a question asked at safe points, not as an exception from anywhere.

An exception could hit between starting a process and noting it, and leave it running.
"""

from __future__ import annotations

import signal
import time
from types import FrameType

from pixelprobe_deploy.local.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STEP_SECONDS = 0.05


class Interrupts:
    """Remembers the first signal that came; later ones change nothing."""

    def __init__(self) -> None:
        self._signum: int | None = None

    def install(self) -> None:
        """From now on signals are remembered. A hang-up that was to be ignored (nohup) still is."""
        for signum in SIGNALS:
            if signum != signal.SIGHUP or signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._remember)
        # Whoever started us may have blocked them until now, so that none comes too early.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _remember(self, signum: int, _frame: FrameType | None) -> None:
        if self._signum is None:
            self._signum = signum

    def ignore(self) -> None:
        """From now on signals do nothing: the work is done, and its result stands."""
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)

    def check(self) -> None:
        """Raises Interrupted when a signal came."""
        if self._signum is not None:
            raise Interrupted(self._signum)

    def sleep(self, seconds: float) -> None:
        """Sleep, but raise Interrupted soon after a signal."""
        end = time.monotonic() + seconds
        while True:
            self.check()
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(_STEP_SECONDS, left))
