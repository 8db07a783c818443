"""Triton's parent process: detects failures that Triton does not report, and ends a server that cannot
recover.

Triton 2.51 runs each model of the Python backend in a process of its own, the stub, and never starts a dead
one again: every query of that model fails from then on, while the server and the model still report ready
(server issues 7230 and 8604). Nor does it report a stub or server that was stopped (SIGSTOP).

In a container the end of the server is the end of the container, which its restart policy starts again. In
the local stack this process starts the server again, and keeps the stack's logs from growing without end.

It runs with the server's own interpreter and may import nothing but the standard library:
``python3 -I supervisor.py --http HOST:PORT --shared-memory PREFIX --logs FOLDER -- TRITONSERVER ARGUMENT...``
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

LOOK_SECONDS = 1.0
"""Time between two checks of the processes."""

STOPPED_LOOKS = 30
"""How many checks in a row find a process stopped before it is given up; it may be continued until then.
Checks and not seconds: a paused container is not checked, and its server is unchanged afterwards."""

LIVE_EVERY, LIVE_FAILURES, LIVE_SECONDS = 10, 6, 5.0
"""A liveness request every ``LIVE_EVERY`` checks, with a deadline; after so many failures in a row the server
is
ended. Generous, because models may take all CPUs for a while."""

START_SECONDS = 300.0
"""How long a server that is started again may take until it is ready."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""The pause before a server is started again; doubled while no server outlives the longest pause."""

LOG_BYTES = 16 * 2**20
"""A log larger than this is moved to NAME.log.1, in place of the one before."""

_STUB = "triton_python_b"  # the kernel keeps 15 letters of triton_python_backend_stub
_PROC = Path("/proc")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (where Triton's Python backend keeps its files)


@dataclass(frozen=True)
class Watched:
    """A process that the server needs. ``start_tick`` distinguishes it from a later process with its pid."""

    name: str
    pid: int
    start_tick: int


class Supervisor:
    """Runs one server and, with ``again``, its successors.

    Args:
        command: command line of the server.
        environment: environment of the server.
        http: HOST:PORT of its health checks.
        again: start it again after it ended, if it was ready once.
        shared_memory: prefix of its files in /dev/shm, which are removed before it is started again.
        logs: folder of logs to rotate.
        report: receives a line when the server is ended or started again.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        http: str,
        *,
        again: bool = False,
        shared_memory: str = "",
        logs: Path | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._http = http
        self._again = again
        self._shared_memory = shared_memory
        self._logs = logs
        self._report = report or _to_stderr
        self._stop = False
        self._wake = threading.Event()

    def run(self) -> int:
        """Serve until SIGTERM, SIGINT or SIGHUP, which is forwarded as SIGTERM. Returns the exit code.

        Raises:
            OSError: the server cannot be started.
        """
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: self._wake.set())
        first, pause = True, FIRST_PAUSE
        while True:
            began = time.monotonic()
            code, was_ready = self._live()
            if self._stop or not self._again or (first and not was_ready):
                return code
            first = False
            pause = FIRST_PAUSE if time.monotonic() - began > LONGEST_PAUSE else pause
            self._report(f"the server ended with code {code}; it is started again in {pause:.0f} s")
            self._sleep(pause)
            if self._stop:
                return code
            pause = min(2 * pause, LONGEST_PAUSE)
            for path in _SHARED_MEMORY.glob(f"{self._shared_memory}*") if self._shared_memory else ():
                path.unlink(missing_ok=True)

    def _on_stop(self, *_: object) -> None:
        self._stop = True
        self._wake.set()

    def _live(self) -> tuple[int, bool]:
        """Run one server from start to end. Returns its exit code, and whether it was ever ready."""
        server = subprocess.Popen(self._command, env=self._environment)
        watch: Watch | None = None
        give_up, stopping = time.monotonic() + START_SECONDS, False
        while server.poll() is None:
            if self._stop and not stopping:
                stopping = True
                server.terminate()
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
            if self._logs:
                rotate_logs(self._logs)
            if stopping or server.poll() is not None:
                continue
            if watch is None:
                if _answers(self._http, "ready"):
                    watch = Watch(server.pid, self._http)
                elif time.monotonic() > give_up:
                    self._end(server, stubs_of(server.pid), f"not ready after {START_SECONDS:.0f} s")
            elif trouble := watch.trouble():
                self._end(server, watch.stubs, trouble)
        if watch:
            _kill(watch.stubs)  # a stopped one does not notice that its server has ended
        return server.returncode if server.returncode >= 0 else 128 - server.returncode, watch is not None

    def _end(self, server: subprocess.Popen[bytes], stubs: Sequence[Watched], trouble: str) -> None:
        """Kill at once: requests in flight are lost anyway, and a server without its stub may never exit."""
        self._report(f"ending the server: {trouble}")
        server.kill()
        server.wait()
        _kill(stubs)

    def _sleep(self, seconds: float) -> None:
        """Sleep until then, or until a signal asks for the end."""
        end = time.monotonic() + seconds
        while not self._stop and (left := end - time.monotonic()) > 0:
            self._wake.wait(left)
            self._wake.clear()


class Watch:
    """Watches a server that is ready, and its stubs; the set of models is fixed, so that all stubs exist."""

    def __init__(self, pid: int, http: str) -> None:
        self.stubs = stubs_of(pid)
        stat = _stat(pid)
        self._server = Watched("the server", pid, stat.start_tick if stat else 0)
        self._http = http
        self._looks = 0
        self._silences = 0
        self._stopped: dict[Watched, int] = {}

    def trouble(self) -> str:
        """Return why the server must be ended, empty while it works. Takes a few seconds at most."""
        for process in (self._server, *self.stubs):
            state = _state(process)
            if process is not self._server and state in ("", "Z", "X"):
                return f"{process.name} has died"
            self._stopped[process] = self._stopped.get(process, 0) + 1 if state in ("T", "t") else 0
            if self._stopped[process] >= STOPPED_LOOKS:
                return f"{process.name} is stopped"
        self._looks += 1
        if self._looks % LIVE_EVERY == 0:
            self._silences = 0 if _answers(self._http, "live") else self._silences + 1
        return "it does not answer" if self._silences >= LIVE_FAILURES else ""


@dataclass(frozen=True)
class _Stat:
    name: str
    state: str
    parent: int
    start_tick: int


def stubs_of(server: int) -> list[Watched]:
    """Return the living stubs of the server with this pid, each named after its model."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            pid = int(entry.name)
            stat = _stat(pid)
            if stat and stat.parent == server and stat.name == _STUB:
                found.append(Watched(f"the process of {_model(pid)}", pid, stat.start_tick))
    return found


def _model(pid: int) -> str:
    """Return the model's name from the stub's command line, which has MODEL/VERSION/model.py."""
    with suppress(OSError):
        for word in (_PROC / str(pid) / "cmdline").read_text(errors="replace").split("\0"):
            if word.endswith("/model.py"):
                return Path(word).parents[1].name
    return f"a model (pid {pid})"


def _kill(stubs: Sequence[Watched]) -> None:
    for stub in stubs:
        if _state(stub) not in ("", "Z", "X"):
            with suppress(ProcessLookupError):
                os.kill(stub.pid, signal.SIGKILL)


def _state(process: Watched) -> str:
    """Return the kernel's state letter; empty when the process is gone."""
    stat = _stat(process.pid)
    return stat.state if stat and stat.start_tick == process.start_tick else ""


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    head, _, tail = text.rpartition(")")  # the name between the brackets may hold anything
    fields = tail.split()
    return _Stat(head.partition("(")[2], fields[0], int(fields[1]), int(fields[19]))


def _answers(http: str, kind: str) -> bool:
    host, _, port = http.rpartition(":")
    connection = HTTPConnection(host, int(port), timeout=LIVE_SECONDS)
    try:
        connection.request("GET", f"/v2/health/{kind}")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def rotate_logs(folder: Path, most_bytes: int = LOG_BYTES) -> None:
    """Move each NAME.log over ``most_bytes`` to NAME.log.1; writers append, and continue with an empty file.

    Lines written between the copy and the truncation are lost.
    """
    with suppress(OSError):
        for log in folder.glob("*.log"):
            if log.stat().st_size > most_bytes:
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                os.truncate(log, 0)


def _to_stderr(line: str) -> None:
    print(f"supervisor: {line}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line that the local stack uses."""
    parser = argparse.ArgumentParser(
        prog="supervisor", description="Run Triton, and run it again when it fails."
    )
    parser.add_argument("--http", required=True, metavar="HOST:PORT", help="where it answers health checks")
    parser.add_argument("--shared-memory", default="", metavar="PREFIX", help="of its files in /dev/shm")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="whose logs are rotated")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    supervisor = Supervisor(
        given.command,
        os.environ,
        given.http,
        again=True,
        shared_memory=given.shared_memory,
        logs=given.logs,
    )
    try:
        return supervisor.run()
    except OSError as error:
        print(f"supervisor: cannot start {given.command[0]}: {error}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    sys.exit(main())
