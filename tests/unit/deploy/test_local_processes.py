from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pixelprobe_deploy.local.processes import ProcessId, identify, is_alive, members, spawn, stop

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
time.sleep(60)
"""
Started = tuple[subprocess.Popen[bytes], ProcessId]
Start = Callable[[str], Started]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a program, and waits until it says that it is ready."""
    begun: list[Started] = []

    def begin(program: str) -> Started:
        log = tmp_path / "log"
        begun.append(spawn([sys.executable, "-c", program], os.environ, tmp_path, log))
        give_up = time.monotonic() + 30
        while not log.read_text():
            assert time.monotonic() < give_up
            time.sleep(0.01)
        return begun[-1]

    yield begin
    for process, process_id in begun:
        stop(process_id, 0)
        process.wait()


def test_a_spawned_process_has_a_session_and_a_log_of_its_own(start: Start, tmp_path: Path) -> None:
    process, process_id = start(STUBBORN)

    assert is_alive(process_id)
    assert identify(process.pid) == process_id
    assert os.getsid(process.pid) == process.pid
    assert (tmp_path / "log").read_text() == "ready\n"


def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    for word in ("first", "second", "third"):
        process, _ = spawn(["echo", word], os.environ, tmp_path, tmp_path / "logs" / "x.log")
        process.wait()

    assert (tmp_path / "logs" / "x.log").read_text() == "third\n"
    assert (tmp_path / "logs" / "x.log.1").read_text() == "second\n"


def test_stop_asks_before_it_kills(start: Start) -> None:
    process, process_id = start("import time; print('ready', flush=True); time.sleep(60)")

    stop(process_id, 30)

    assert process.wait() == -signal.SIGTERM
    assert not is_alive(process_id)


def test_stop_kills_what_does_not_listen(start: Start) -> None:
    process, process_id = start(STUBBORN)

    stop(process_id, 0.2)

    assert process.wait() == -signal.SIGKILL


def test_stop_takes_the_children_along(start: Start) -> None:
    _, process_id = start(PARENT)
    assert len(members(process_id)) == 2

    stop(process_id, 30)

    assert members(process_id) == []


def test_stop_finds_children_whose_parent_was_killed(start: Start) -> None:
    process, process_id = start(PARENT)
    process.kill()
    process.wait()
    assert not is_alive(process_id)
    assert len(members(process_id)) == 1

    stop(process_id, 30)

    assert members(process_id) == []


def test_stop_of_what_is_gone_does_nothing(start: Start) -> None:
    process, process_id = start(STUBBORN)
    process.kill()
    process.wait()

    stop(process_id, 30)

    assert identify(process.pid) is None


@pytest.mark.parametrize("started", ["{boot}/1", "another-boot/{tick}"])
def test_another_process_of_the_same_pid_is_left_alone(start: Start, started: str) -> None:
    _, process_id = start(STUBBORN)
    boot, tick = process_id.started.split("/")
    other = replace(process_id, started=started.format(boot=boot, tick=tick))

    assert not is_alive(other)
    assert members(other) == []
    stop(other, 0)

    assert is_alive(process_id)


def test_the_remains_of_a_process_are_not_alive(start: Start) -> None:
    process, process_id = start(STUBBORN)
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet waited for

    assert not is_alive(process_id)
    assert members(process_id) == []
