"""The local stack's life: up, down, status, what goes wrong in between, and that nothing is left over."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.processes import ProcessId, identify, is_alive, members
from deploy.local.state import StackRecord, StateFolder
from tests.conftest import ROOT, run_local

INTERRUPTED, UNHEALTHY = 130, 3
TRITON_ALONE = ("up", "--only", "triton", "--free-ports")
SECONDS = 120.0


@dataclass(frozen=True)
class Stack:
    """A stack of one test, in a state folder of its own."""

    home: Path
    venv: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_local(self.home, self.venv, *arguments)

    def begin(
        self, *arguments: str, command: tuple[str, ...] = ("-m", "deploy.local")
    ) -> subprocess.Popen[str]:
        """As a call, without waiting for the end."""
        environment = {
            **os.environ,
            "PIXELPROBE_HOME": str(self.home),
            "PIXELPROBE_TRITON_VENV": str(self.venv),
            "PYTHONUNBUFFERED": "1",
        }
        return subprocess.Popen(
            [sys.executable, *command, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("status", "--json").stdout)
        return found

    def record(self) -> StackRecord:
        found = StateFolder(self.home).read()
        assert found is not None
        return found

    def triton(self) -> ProcessId:
        return self.record().parts["triton"].process

    def processes(self) -> list[int]:
        """Whoever has a file of this stack on its command line: the server, its children, the services."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.home) in (entry / "cmdline").read_text(errors="replace"):
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def assert_nothing_left(self) -> None:
        assert self.processes() == []
        assert not (self.home / "stack.json").exists()
        assert [path.name for path in self.home.iterdir() if path.name.startswith(".")] == []


@pytest.fixture
def stack(tmp_path: Path, triton_venv: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / "home", triton_venv)
    try:
        yield made
    finally:
        made("down")
        made.assert_nothing_left()


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def shared_memory(stack: StackRecord) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{stack.shared_memory_prefix}*"))


def error_line(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The one line that a failed command says."""
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    return line


def wait_for_record(stack: Stack) -> ProcessId:
    """Until Triton is started and on record."""
    give_up = time.monotonic() + SECONDS
    while time.monotonic() < give_up:
        record = StateFolder(stack.home).read()
        if record and record.parts:
            return record.parts["triton"].process
        time.sleep(0.02)
    raise AssertionError("Triton was not started")


def test_whole_stack_is_healthy(local_stack: dict[str, dict[str, Any]], local_stack_home: Path) -> None:
    assert {name: set(part) for name, part in local_stack.items()} == {
        "triton": {"grpc", "http", "metrics", "healthy"},
        "segmentation": {"grpc", "healthy"},
        "orchestrator": {"grpc", "healthy"},
    }
    assert all(part["healthy"] is True for part in local_stack.values())
    written = json.loads((local_stack_home / "stack.json").read_text())
    assert {name: written[name]["grpc"] for name in local_stack} == {
        name: part["grpc"] for name, part in local_stack.items()
    }


def test_status_of_a_healthy_stack_is_success(
    local_stack: dict[str, dict[str, Any]], local_stack_home: Path, triton_venv: Path
) -> None:
    done = run_local(local_stack_home, triton_venv, "status")

    assert done.returncode == 0
    assert len(re.findall(r"\bhealthy", done.stdout)) == 3
    assert local_stack["orchestrator"]["grpc"] in done.stdout


def test_up_on_a_healthy_stack_changes_nothing(
    local_stack: dict[str, dict[str, Any]], local_stack_home: Path, triton_venv: Path
) -> None:
    before = (local_stack_home / "stack.json").read_text()

    done = run_local(local_stack_home, triton_venv, "up", "--json")

    assert (done.returncode, json.loads(done.stdout)) == (0, local_stack)
    assert "already running" in done.stderr
    assert (local_stack_home / "stack.json").read_text() == before


def test_up_with_another_port_leaves_a_healthy_stack_alone(
    local_stack: dict[str, dict[str, Any]], local_stack_home: Path, triton_venv: Path
) -> None:
    done = run_local(local_stack_home, triton_venv, "up", "--triton-grpc-port", "1")

    line = error_line(done)
    assert local_stack["triton"]["grpc"] in line
    assert "stop it first" in line
    assert run_local(local_stack_home, triton_venv, "status").returncode == 0


def test_nothing_running_is_a_state_like_others(stack: Stack) -> None:
    done = stack("status", "--json")

    assert done.returncode == UNHEALTHY
    assert json.loads(done.stdout) == {
        "triton": {
            "grpc": "127.0.0.1:8001",
            "http": "127.0.0.1:8000",
            "metrics": "127.0.0.1:8002",
            "healthy": False,
        },
        "segmentation": {"grpc": "127.0.0.1:50061", "healthy": False},
        "orchestrator": {"grpc": "127.0.0.1:50062", "healthy": False},
    }
    down = stack("down")
    assert (down.returncode, down.stdout) == (0, "Nothing is running.\n")


def test_a_killed_triton_is_noticed_replaced_and_stopped(stack: Stack) -> None:
    assert stack(*TRITON_ALONE).returncode == 0
    first, first_record = stack.triton(), stack.record()
    assert stack.status()["triton"]["healthy"] is True

    os.kill(first.pid, signal.SIGKILL)

    done = stack("status", "--json")
    assert (done.returncode, json.loads(done.stdout)["triton"]["healthy"]) == (UNHEALTHY, False)

    recovered = stack(*TRITON_ALONE)
    assert recovered.returncode == 0, recovered.stderr
    assert "Triton has died" in recovered.stdout
    second = stack.triton()
    assert stack.status()["triton"]["healthy"] is True
    assert not is_alive(first)
    assert members(first) == []
    assert shared_memory(first_record) == []

    second_record = stack.record()
    assert stack("down").stdout == "Stopped triton.\n"
    assert not is_alive(second)
    assert shared_memory(second_record) == []
    stack.assert_nothing_left()


def test_a_taken_port_is_named_before_anything_starts(stack: Stack, taken_port: int) -> None:
    line = error_line(stack("up", "--free-ports", "--orchestrator-port", str(taken_port)))

    assert f"port {taken_port}" in line
    assert "--orchestrator-port" in line
    assert not (stack.home / "logs").exists()
    stack.assert_nothing_left()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("later_seconds", [0.0, 0.4])
def test_an_interrupted_start_leaves_nothing(
    stack: Stack, signum: signal.Signals, later_seconds: float
) -> None:
    starting = stack.begin(*TRITON_ALONE)
    triton = wait_for_record(stack)
    time.sleep(later_seconds)
    starting.send_signal(signum)
    _, told = starting.communicate(timeout=SECONDS)

    if starting.returncode == 0:  # it was healthy before the signal came
        pytest.fail("the start was too fast to be interrupted")
    assert starting.returncode == 128 + signum
    assert told == "Interrupted; nothing is left running.\n"
    assert not is_alive(triton)
    assert members(triton) == []
    stack.assert_nothing_left()


def test_ctrl_c_before_the_start_does_nothing(stack: Stack) -> None:
    starting = stack.begin(*TRITON_ALONE)
    time.sleep(0.15)
    starting.send_signal(signal.SIGINT)
    _, told = starting.communicate(timeout=SECONDS)

    assert starting.returncode in (INTERRUPTED, -signal.SIGINT)
    assert "Triton" not in told
    stack.assert_nothing_left()


def test_ctrl_c_reaches_the_stack_through_the_command_line(stack: Stack) -> None:
    starting = stack.begin(*TRITON_ALONE, command=("-m", "client.cli"))
    wait_for_record(stack)
    starting.send_signal(signal.SIGINT)
    _, told = starting.communicate(timeout=SECONDS)

    assert (starting.returncode, told) == (INTERRUPTED, "Interrupted; nothing is left running.\n")
    stack.assert_nothing_left()


def test_command_line_hands_output_and_exit_code_on(stack: Stack) -> None:
    for arguments in (("status",), ("up", "--no-such-option"), ("down", "--help")):
        asked = stack.begin(*arguments, command=("-m", "client.cli"))
        answer = (*asked.communicate(timeout=SECONDS), asked.returncode)
        direct = stack(*arguments)
        assert answer == (direct.stdout, direct.stderr, direct.returncode)
        assert "Traceback" not in answer[1]


def test_what_a_killed_start_left_is_cleaned_up(stack: Stack) -> None:
    starting = stack.begin(*TRITON_ALONE)
    triton = wait_for_record(stack)
    starting.kill()
    starting.communicate()
    assert is_alive(triton)

    assert stack("down").stdout == "Stopped triton.\n"

    assert members(triton) == []
    stack.assert_nothing_left()


def test_two_starts_at_once_are_one(stack: Stack) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: stack(*TRITON_ALONE), range(2))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    told = first.stdout + second.stdout
    assert told.count("Starting Triton") == 1
    assert told.count("already running") == 1


def test_a_triton_that_cannot_load_is_explained_and_gone(stack: Stack) -> None:
    broken = stack.home / "models" / "broken"
    broken.mkdir(parents=True)
    (broken / "config.pbtxt").write_text('name: "another"\nbackend: "python"\n')

    done = stack(*TRITON_ALONE)

    line = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert line.startswith("Error: Triton ended with exit code 1 while starting: ")
    assert str(stack.home / "logs" / "triton.log") in line
    assert "another" in line
    stack.assert_nothing_left()


def test_a_service_that_cannot_start_takes_triton_down_with_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPROBE_LOG_LEVEL", "LOUD")

    done = stack("up", "--free-ports")

    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: the segmentation service ended with exit code 2 while starting: ")
    assert "LOUD" in line
    assert str(stack.home / "logs" / "segmentation.log") in line
    stack.assert_nothing_left()


def test_a_recycled_pid_is_left_in_peace(stack: Stack) -> None:
    bystander = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        now = identify(bystander.pid)
        assert now is not None
        record = {
            "format": 1,
            "complete": True,
            "models": {},
            "versions": {},
            "shared_memory_prefix": "pixelprobe_none_",
            "triton": {"grpc": "127.0.0.1:1", "pid": now.pid, "started": now.started + "1", "log": "log"},
        }
        stack.home.mkdir()
        (stack.home / "stack.json").write_text(json.dumps(record))

        assert stack.status()["triton"]["healthy"] is False
        assert stack("down").returncode == 0

        assert is_alive(now)
    finally:
        bystander.kill()
        bystander.communicate()


def test_a_runtime_that_is_not_there_is_named(tmp_path: Path) -> None:
    line = error_line(run_local(tmp_path / "home", tmp_path / "nowhere", *TRITON_ALONE))

    assert "nowhere" in line


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, triton_venv: Path) -> None:
    (tmp_path / "file").write_text("")

    line = error_line(run_local(tmp_path / "file", triton_venv, *TRITON_ALONE))

    assert str(tmp_path / "file") in line


def test_a_damaged_record_is_named(stack: Stack) -> None:
    stack.home.mkdir()
    (stack.home / "stack.json").write_text("{")

    for command in ("up", "down", "status"):
        assert "stack.json is damaged" in error_line(stack(command))
    (stack.home / "stack.json").unlink()
