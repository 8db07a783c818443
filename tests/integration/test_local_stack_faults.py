"""What goes wrong with the local stack is said in one line, and nothing is left running."""

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
from pathlib import Path

import pytest

from pixelprobe_deploy.local.ports import is_free
from pixelprobe_deploy.local.processes import identify, is_alive, members
from pixelprobe_deploy.triton.supervisor import stubs_of
from tests.stacks import (
    INTERRUPTED,
    SECONDS,
    TRITON_ALONE,
    Stack,
    error_line,
    run_local,
    shared_memory,
    wait_for_record,
    wait_until,
)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port_is_named_before_anything_starts(fresh_stack: Stack, taken_port: int) -> None:
    line = error_line(fresh_stack("up", "--free-ports", "--orchestrator-port", str(taken_port)))

    assert f"port {taken_port}" in line
    assert "--orchestrator-port" in line
    assert not (fresh_stack.home / "logs").exists()
    fresh_stack.assert_nothing_left()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("later_seconds", [0.0, 0.4])
def test_an_interrupted_start_leaves_nothing(
    fresh_stack: Stack, signum: signal.Signals, later_seconds: float
) -> None:
    starting = fresh_stack.begin(*TRITON_ALONE)
    triton = wait_for_record(fresh_stack)
    time.sleep(later_seconds)
    starting.send_signal(signum)
    _, told = starting.communicate(timeout=SECONDS)

    if starting.returncode == 0:  # it was healthy before the signal came
        pytest.fail("the start was too fast to be interrupted")
    assert starting.returncode == 128 + signum
    assert told == "Interrupted; nothing is left running.\n"
    assert not is_alive(triton)
    assert members(triton) == []
    fresh_stack.assert_nothing_left()


def test_ctrl_c_before_the_start_does_nothing(fresh_stack: Stack) -> None:
    starting = fresh_stack.begin(*TRITON_ALONE)
    time.sleep(0.15)
    starting.send_signal(signal.SIGINT)
    _, told = starting.communicate(timeout=SECONDS)

    assert starting.returncode in (INTERRUPTED, -signal.SIGINT)
    assert "Triton" not in told
    fresh_stack.assert_nothing_left()


def test_ctrl_c_reaches_the_stack_through_the_command_line(fresh_stack: Stack) -> None:
    starting = fresh_stack.begin(*TRITON_ALONE, command=("-m", "pixelprobe.cli"))
    wait_for_record(fresh_stack)
    starting.send_signal(signal.SIGINT)
    _, told = starting.communicate(timeout=SECONDS)

    assert (starting.returncode, told) == (INTERRUPTED, "Interrupted; nothing is left running.\n")
    fresh_stack.assert_nothing_left()


def test_what_a_killed_start_left_is_cleaned_up(fresh_stack: Stack) -> None:
    starting = fresh_stack.begin(*TRITON_ALONE)
    triton = wait_for_record(fresh_stack)
    starting.kill()
    starting.communicate()
    assert is_alive(triton)

    assert fresh_stack("down").stdout == "Stopped triton.\n"

    assert members(triton) == []
    fresh_stack.assert_nothing_left()


def test_a_killed_model_process_brings_its_server_back(fresh_stack: Stack) -> None:
    assert fresh_stack(*TRITON_ALONE).returncode == 0
    supervisor, record = fresh_stack.triton(), fresh_stack.record()

    def server() -> int:
        return next((pid for pid in members(supervisor) if len(stubs_of(pid)) == 6), 0)

    first = server()
    os.kill(stubs_of(first)[0].pid, signal.SIGKILL)

    wait_until(lambda: server() not in (0, first))
    wait_until(lambda: fresh_stack.status()["triton"]["healthy"])
    assert fresh_stack.triton() == supervisor
    assert first not in members(supervisor)
    assert fresh_stack("down").stdout == "Stopped triton.\n"
    assert members(supervisor) == []
    assert shared_memory(record) == []


def test_a_triton_that_cannot_load_is_explained_and_gone(fresh_stack: Stack) -> None:
    broken = fresh_stack.home / "models" / "broken"
    broken.mkdir(parents=True)
    (broken / "config.pbtxt").write_text('name: "another"\nbackend: "python"\n')

    done = fresh_stack(*TRITON_ALONE)

    line = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    # Triton may crash (139) while it unloads the models that it has loaded.
    assert re.match(r"Error: Triton ended with exit code (1|139) while starting: ", line)
    assert str(fresh_stack.home / "logs" / "triton.log") in line
    assert "another" in line
    fresh_stack.assert_nothing_left()


def test_a_service_that_cannot_start_takes_triton_down_with_it(
    fresh_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPROBE_LOG_LEVEL", "LOUD")

    done = fresh_stack("up", "--free-ports")

    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: the segmentation service ended with exit code 2 while starting: ")
    assert "LOUD" in line
    assert str(fresh_stack.home / "logs" / "segmentation.log") in line
    fresh_stack.assert_nothing_left()


def test_a_failed_up_leaves_the_healthy_parts_and_the_ports_as_they_were(fresh_stack: Stack) -> None:
    assert fresh_stack("up", "--free-ports").returncode == 0
    before = fresh_stack.record().parts
    port = int(before["orchestrator"].addresses["grpc"].rpartition(":")[2])
    os.kill(before["orchestrator"].process.pid, signal.SIGKILL)
    wait_until(lambda: is_free(port))

    with socket.create_server(("127.0.0.1", port)):
        line = error_line(fresh_stack("up"))
        assert f"port {port}" in line
        assert "--free-ports" in line
        assert fresh_stack.record().parts == before
        status = fresh_stack.status()
        assert [name for name, part in status.items() if part["healthy"]] == ["triton", "segmentation"]

    again = fresh_stack("up")
    assert again.returncode == 0, again.stderr
    assert "the orchestrator has died" in again.stdout
    assert "Starting Triton" not in again.stdout
    after = fresh_stack.record().parts
    assert (after["triton"], after["segmentation"]) == (before["triton"], before["segmentation"])
    assert after["orchestrator"].addresses == before["orchestrator"].addresses
    assert all(part["healthy"] for part in fresh_stack.status().values())


def test_services_join_a_triton_that_runs_alone(fresh_stack: Stack) -> None:
    assert fresh_stack(*TRITON_ALONE).returncode == 0
    triton = fresh_stack.record().parts["triton"]

    joined = fresh_stack("up", "--free-ports")

    assert joined.returncode == 0, joined.stderr
    assert fresh_stack.record().parts["triton"] == triton
    assert all(part["healthy"] for part in fresh_stack.status().values())


def test_the_state_folder_is_its_owners_alone(fresh_stack: Stack) -> None:
    fresh_stack.home.mkdir(mode=0o755)
    (fresh_stack.home / "stack.lock").touch()  # as earlier versions left it

    assert fresh_stack("down").returncode == 0

    assert fresh_stack.home.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_others_keeps_its_mode(fresh_stack: Stack) -> None:
    fresh_stack.home.mkdir(mode=0o755)
    fresh_stack.home.chmod(0o755)

    assert fresh_stack("down").returncode == 0

    assert fresh_stack.home.stat().st_mode & 0o777 == 0o755


def test_a_recycled_pid_is_left_in_peace(fresh_stack: Stack) -> None:
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
        fresh_stack.home.mkdir()
        (fresh_stack.home / "stack.json").write_text(json.dumps(record))

        assert fresh_stack.status()["triton"]["healthy"] is False
        assert fresh_stack("down").returncode == 0

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


def test_a_damaged_record_is_named(fresh_stack: Stack) -> None:
    fresh_stack.home.mkdir()
    (fresh_stack.home / "stack.json").write_text("{")

    for command in ("up", "down", "status"):
        assert "stack.json is damaged" in error_line(fresh_stack(command))
    (fresh_stack.home / "stack.json").unlink()
