"""What many tests share: a real local stack, on free ports and in a folder of its own.

Under pytest-xdist each process has a stack of its own, started by the first test that asks for it, so that no
test sees the queries of another. Tests of one file run in one process (``--dist loadfile``).
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from pixelprobe_deploy.local.interrupts import Interrupts
from pixelprobe_deploy.local.state import StateFolder
from pixelprobe_deploy.triton.venv import ensure_venv
from tests.stacks import Stack, run_local

# A loaded machine is no failure.
settings.register_profile("pixelprobe", deadline=None)
settings.load_profile("pixelprobe")

# A shell starts background jobs with SIGINT ignored, and programs inherit that: tests of Ctrl-C would hang.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

STACK_FIXTURES = {"fresh_stack", "local_stack", "local_stack_home", "local_triton"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the stack, so that ``-m 'not stack'`` leaves it out."""
    for item in items:
        if STACK_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def triton_venv() -> Path:
    """The Triton runtime of this machine: PIXELPROBE_TRITON_VENV, or the user's own, made if need be."""
    folder = StateFolder()
    with folder.locked(Interrupts(), print):
        return ensure_venv(folder.home, print, lambda: None)


@pytest.fixture(scope="session")
def local_stack_home(triton_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """PIXELPROBE_HOME of the running stack."""
    home = tmp_path_factory.mktemp("pixelprobe")
    try:
        started = run_local(home, triton_venv, "up", "--free-ports")
        if started.returncode:
            pytest.fail(f"the local stack did not start: {started.stderr}", pytrace=False)
        yield home
    finally:
        stopped = run_local(home, triton_venv, "down")
        assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="session")
def local_stack(local_stack_home: Path, triton_venv: Path) -> dict[str, dict[str, Any]]:
    """The whole stack, healthy: what ``status --json`` prints."""
    status: dict[str, dict[str, Any]] = json.loads(
        run_local(local_stack_home, triton_venv, "status", "--json").stdout
    )
    return status


@pytest.fixture(scope="session")
def local_triton(local_stack: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Addresses (HOST:PORT) of the stack's Triton: ``grpc``, ``http`` and ``metrics``."""
    return {kind: local_stack["triton"][kind] for kind in ("grpc", "http", "metrics")}


@pytest.fixture
def unused_tcp_port() -> Iterator[int]:
    """A port on which nothing listens while the test runs: it is bound, so that no other program gets it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@pytest.fixture
def fresh_stack(tmp_path: Path, triton_venv: Path) -> Iterator[Stack]:
    """A state folder of this test alone, in which nothing runs before the test or after it."""
    stack = Stack(tmp_path / "home", triton_venv)
    try:
        yield stack
    finally:
        stack("down")
        stack.assert_nothing_left()
