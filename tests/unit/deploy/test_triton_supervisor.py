"""The supervisor with a server that only looks like Triton: it answers health checks and has two stubs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pixelprobe_deploy.triton.supervisor import Watched, rotate_logs, stubs_of
from tests.stacks import ROOT

SECONDS = 20.0

SERVER = """
import http.server, os, signal, subprocess, sys, time
folder = sys.argv[1]
if os.path.exists(folder + "/broken"):
    sys.exit(3)
stubs = [subprocess.Popen([folder + "/triton_python_backend_stub", f"/models/{name}/1/model.py"],
                          stdin=subprocess.PIPE) for name in ("one", "two")]
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists(folder + "/mute"):
            time.sleep(5)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Health)
open(folder + "/server", "w").write(str(os.getpid()))
server.serve_forever()
"""

STUB = "#!/bin/sh\nread line\n"

DRIVER = """
import os, sys
from pixelprobe_deploy.triton import supervisor
supervisor.LOOK_SECONDS, supervisor.FIRST_PAUSE = 0.05, 0.1
supervisor.LIVE_EVERY, supervisor.LIVE_FAILURES, supervisor.LIVE_SECONDS = 2, 3, 0.2
supervisor.STOPPED_LOOKS = 10
folder, port, again = sys.argv[1:]
command = [sys.executable, folder + "/server.py", folder, port]
sys.exit(supervisor.Supervisor(command, os.environ, "127.0.0.1:" + port, again=again == "again").run())
"""


class Supervised:
    """A supervisor under test with its server."""

    def __init__(self, folder: Path, port: int, again: bool) -> None:
        self.folder = folder
        (folder / "server.py").write_text(SERVER)
        stub = folder / "triton_python_backend_stub"
        stub.write_text(STUB)
        stub.chmod(0o755)
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(folder), str(port), "again" if again else "once"],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

    def server(self) -> int:
        """Its pid, once both stubs are there and the supervisor has had time to see them."""
        until(lambda: (self.folder / "server").exists() and (self.folder / "server").read_text() != "")
        pid = int((self.folder / "server").read_text())
        until(lambda: len(stubs_of(pid)) == 2)
        time.sleep(0.5)
        return pid

    def told(self, seconds: float = SECONDS) -> tuple[int, str]:
        """Exit code and what it said, once it has ended."""
        _, told = self.process.communicate(timeout=seconds)
        return self.process.returncode, told


def until(look: Callable[[], object]) -> None:
    give_up = time.monotonic() + SECONDS
    while not look():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def gone(process: Watched) -> bool:
    return not Path(f"/proc/{process.pid}").exists() or "\nState:\tZ" in Path(
        f"/proc/{process.pid}/status"
    ).read_text(errors="replace")


@pytest.fixture
def start(tmp_path: Path, unused_port: int) -> Iterator[Callable[[bool], Supervised]]:
    made: list[Supervised] = []

    def begin(again: bool) -> Supervised:
        made.append(Supervised(tmp_path, unused_port, again))
        return made[-1]

    yield begin
    for each in made:
        if each.process.poll() is None:
            each.process.terminate()
            each.process.communicate(timeout=SECONDS)


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_killed_stub_ends_the_server_and_the_other_stubs(start: Callable[[bool], Supervised]) -> None:
    running = start(False)
    stubs = stubs_of(running.server())
    assert {stub.name for stub in stubs} == {"the process of one", "the process of two"}
    (one,) = (stub for stub in stubs if stub.name == "the process of one")

    os.kill(one.pid, signal.SIGKILL)

    code, told = running.told()
    assert code == 128 + signal.SIGKILL
    assert told == "supervisor: ending the server: the process of one has died\n"
    until(lambda: all(gone(stub) for stub in stubs))


def test_a_stopped_stub_is_given_time_and_then_up(start: Callable[[bool], Supervised]) -> None:
    running = start(False)
    stub = stubs_of(running.server())[0]

    os.kill(stub.pid, signal.SIGSTOP)
    time.sleep(0.2)
    os.kill(stub.pid, signal.SIGCONT)
    time.sleep(0.6)
    assert running.process.poll() is None
    os.kill(stub.pid, signal.SIGSTOP)

    code, told = running.told()
    assert (code, told) == (128 + signal.SIGKILL, f"supervisor: ending the server: {stub.name} is stopped\n")
    until(lambda: gone(stub))


def test_a_server_that_does_not_answer_is_ended(start: Callable[[bool], Supervised]) -> None:
    running = start(False)
    running.server()
    (running.folder / "mute").touch()

    code, told = running.told()

    assert (code, told) == (
        128 + signal.SIGKILL,
        "supervisor: ending the server: it does not answer\n",
    )


def test_asked_to_it_starts_the_server_again(start: Callable[[bool], Supervised]) -> None:
    running = start(True)
    first = running.server()
    os.kill(stubs_of(first)[0].pid, signal.SIGKILL)
    until(lambda: int((running.folder / "server").read_text() or first) != first)
    second = running.server()
    os.kill(second, signal.SIGKILL)  # the server itself
    until(lambda: int((running.folder / "server").read_text() or second) != second)
    running.server()

    running.process.terminate()

    code, told = running.told()
    assert code == 0
    assert told.count("it is started again in") == 2


def test_a_server_that_was_never_ready_is_not_started_again(
    start: Callable[[bool], Supervised], tmp_path: Path
) -> None:
    (tmp_path / "broken").touch()

    assert start(True).told() == (3, "")


def test_being_told_to_stop_reaches_the_server(start: Callable[[bool], Supervised]) -> None:
    running = start(False)
    running.server()

    running.process.terminate()

    assert running.told() == (0, "")


def test_a_log_over_the_limit_is_moved_aside_and_its_writer_continues(tmp_path: Path) -> None:
    log, small = tmp_path / "orchestrator.log", tmp_path / "triton.log"
    small.write_text("short")
    with log.open("ab") as writer:
        writer.write(b"first " * 100)
        writer.flush()
        rotate_logs(tmp_path, most_bytes=100)
        writer.write(b"second")

    assert log.read_bytes() == b"second"
    assert (tmp_path / "orchestrator.log.1").read_bytes() == b"first " * 100
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "orchestrator.log",
        "orchestrator.log.1",
        "triton.log",
    ]


def test_rotation_survives_a_folder_that_is_gone(tmp_path: Path) -> None:
    rotate_logs(tmp_path / "gone")
