"""The local stack's life: up, status and down."""

from __future__ import annotations

import json
import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pixelprobe_deploy.local.processes import is_alive, members
from tests.stacks import (
    SECONDS,
    TRITON_ALONE,
    UNHEALTHY,
    Stack,
    error_line,
    run_local,
    shared_memory,
)


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


def test_nothing_running_is_a_state_like_others(fresh_stack: Stack) -> None:
    done = fresh_stack("status", "--json")

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
    down = fresh_stack("down")
    assert (down.returncode, down.stdout) == (0, "Nothing is running.\n")


def test_a_killed_triton_is_noticed_replaced_and_stopped(fresh_stack: Stack) -> None:
    assert fresh_stack(*TRITON_ALONE).returncode == 0
    first, first_record = fresh_stack.triton(), fresh_stack.record()
    assert fresh_stack.status()["triton"]["healthy"] is True
    assert set(members(first)) == set(fresh_stack.processes())
    assert len(fresh_stack.processes()) == 8  # supervisor, server, and a child for each of its six models

    os.kill(first.pid, signal.SIGKILL)

    done = fresh_stack("status", "--json")
    assert (done.returncode, json.loads(done.stdout)["triton"]["healthy"]) == (UNHEALTHY, False)

    recovered = fresh_stack(*TRITON_ALONE)
    assert recovered.returncode == 0, recovered.stderr
    assert "Triton has died" in recovered.stdout
    second = fresh_stack.triton()
    assert fresh_stack.status()["triton"]["healthy"] is True
    assert not is_alive(first)
    assert members(first) == []
    assert shared_memory(first_record) == []

    second_record = fresh_stack.record()
    assert fresh_stack("down").stdout == "Stopped triton.\n"
    assert not is_alive(second)
    assert shared_memory(second_record) == []
    fresh_stack.assert_nothing_left()


def test_command_line_hands_output_and_exit_code_on(fresh_stack: Stack) -> None:
    for arguments in (("status",), ("up", "--no-such-option"), ("down", "--help")):
        asked = fresh_stack.begin(*arguments, command=("-m", "pixelprobe.cli"))
        answer = (*asked.communicate(timeout=SECONDS), asked.returncode)
        direct = fresh_stack(*arguments)
        assert answer == (direct.stdout, direct.stderr, direct.returncode)
        assert "Traceback" not in answer[1]


def test_two_starts_at_once_are_one(fresh_stack: Stack) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: fresh_stack(*TRITON_ALONE), range(2))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    told = first.stdout + second.stdout
    assert told.count("Starting Triton") == 1
    assert told.count("already running") == 1
