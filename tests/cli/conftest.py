"""The real command line against the real local stack."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pixelprobe.cli.root import cli as root

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "client" / "pixelprobe" / "samples"
CAT = SAMPLES / "03_cat_000024.png"
DOG = ROOT / "tests" / "fixtures" / "cifar10" / "05_dog_000070.png"
COMMAND = (sys.executable, "-m", "pixelprobe.cli")


@dataclass(frozen=True)
class Cli:
    """Runs ``pixelprobe`` in a folder of its own."""

    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.env}

    def __call__(self, *arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=self.cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def json(self, *arguments: object, code: int = 0) -> Any:
        """What ``--json`` prints, and nothing but that."""
        done = self(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def start(self, arguments: Sequence[object], **settings: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)], cwd=self.cwd, env=self.environment, text=True, **settings
        )


class InProcess(Cli):
    """Runs the same command line in this process: no second for the interpreter and its imports.

    For commands that end by themselves with an error or a short answer. What only a process shows, such as
    signals and a clean end of all threads, needs :class:`Cli`.
    """

    def __call__(self, *arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        words = [*map(str, arguments)]
        before = signal.getsignal(signal.SIGTERM)
        try:
            with contextlib.chdir(self.cwd):
                result = CliRunner().invoke(root, words, prog_name="pixelprobe", env=self.environment)
        finally:
            signal.signal(signal.SIGTERM, before)  # some commands take it for Ctrl-C
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


def cli_for(stack: dict[str, Any], cwd: Path) -> Cli:
    addresses = {
        "PIXELPROBE_ORCHESTRATOR": stack["orchestrator"]["grpc"],
        "PIXELPROBE_SEGMENTATION": stack["segmentation"]["grpc"],
    }
    return Cli(cwd, addresses)


@pytest.fixture
def cli(tmp_path: Path, local_stack: dict[str, Any]) -> Cli:
    return cli_for(local_stack, tmp_path)


@pytest.fixture
def quick(cli: Cli) -> InProcess:
    """As ``cli``, in this process."""
    return InProcess(cli.cwd, cli.env)


@pytest.fixture
def offline(tmp_path: Path, unused_tcp_port: int) -> InProcess:
    """Addresses at which no server answers, in this process."""
    address = f"127.0.0.1:{unused_tcp_port}"
    return InProcess(tmp_path, {"PIXELPROBE_ORCHESTRATOR": address, "PIXELPROBE_SEGMENTATION": address})


def is_address(line: str) -> bool:
    """A line that says which service a command uses."""
    return re.fullmatch(r"(Orchestrator|Segmentation service) at \S+ \(.+\)", line) is not None


def assert_one_line_error(done: subprocess.CompletedProcess[str], code: int, told: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = [line for line in done.stderr.strip().splitlines() if not is_address(line)]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    assert told in lines[0]
