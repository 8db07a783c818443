"""Every command that README and docs show is run as written, or is in ``CHECKED`` with the reason why not.

Commands run in a folder that looks like a fresh clone, on a stack of their own. One thing is changed in them:
the usual ports become free ones, as another program may have the usual ones.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from pixelprobe_deploy.local.ports import HOST, KINDS, choose_ports
from tests.cli.conftest import CAT, DOG
from tests.docs.documents import ROOT, Shown, commands, files
from tests.stacks import run_local
from tests.unit.client.cifar10_files import png, sample_images, write_parquet

pytestmark = pytest.mark.stack

DOCKER = "needs a Docker engine; `make e2e` starts these stacks"
TORCH = "needs torch, installed by `make test-models`, which tests it"
CHECKED = {
    r"docker compose ": DOCKER,
    r"(PIXELPROBE_SECRETS=\S+ )docker compose ": DOCKER,
    r"pixelprobe .*--tls-ca ": DOCKER,
    r"pixelprobe attack .*nin_cifar10 --orchestrator ": DOCKER,
    r"kubectl ": "needs a cluster; tests/unit/deploy checks every object",
    r"make ": "runs the tests that run this, or installs what these use",
    r"pip install ": "would change the environment of the tests",
    r"python -m pixelprobe_deploy\.modelzoo (train|export|imagenet) ": TORCH,
    r"python -m pixelprobe_deploy\.modelzoo evaluate ": "needs all 10,000 test images of CIFAR-10",
    r"pixelprobe (segment|attack) .*(photographs|out/masks)": TORCH,
}
"""Commands that are checked and not run (files, options and targets exist), by pattern, with the reason."""

SERVERS = re.compile(r"pixelprobe-(segmentation|orchestrator)\b|python -m pixelprobe_services\.\w+ --listen")
"""Programs that run until the document's commands end."""

SHOWN = commands()


def reason_not_to_run(shown: Shown) -> str:
    return next((reason for pattern, reason in CHECKED.items() if re.match(pattern, shown.text)), "")


@dataclass
class Clone:
    """A folder like a fresh clone, and the environment of a shell in it."""

    folder: Path
    home: Path
    triton_venv: Path
    ports: dict[str, int]
    servers: dict[Path, ExitStack] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PIXELPROBE_HOME": str(self.home),
            "PIXELPROBE_TRITON_VENV": str(self.triton_venv),
            "CIFAR10": str(self.folder / "cifar10"),
        }

    def text(self, shown: str) -> str:
        """``shown`` with free ports for the usual ones."""
        for kind, port in self.ports.items():
            shown = shown.replace(f"{HOST}:{KINDS[kind].default}", f"{HOST}:{port}")
        return shown

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        if re.match(r"pixelprobe up\b|python - ", command):
            # Ports are chosen here, so that `up` and the library find the stack running.
            started = run_local(self.home, self.triton_venv, "up", "--free-ports")
            assert started.returncode == 0, started.stderr
            self.ports["triton_grpc"] = int(
                json.loads((self.home / "stack.json").read_text())["triton"]["grpc"].rpartition(":")[2]
            )
            (self.folder / "targets.toml").write_text(self.text(files()["targets.toml"]))
        return subprocess.run(
            ["bash", "-c", self.text(command)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def serve(self, command: str, document: Path) -> None:
        """Start a server, and return when it listens."""
        if document not in self.servers:
            self.ports.update(choose_ports({"segmentation": 0, "orchestrator": 0}))
        process = subprocess.Popen(
            ["bash", "-c", f"exec {self.text(command)}"],
            cwd=self.folder,
            env={**self.environment(), "PIXELPROBE_HOME": str(self.folder / "services-home")},
            stderr=subprocess.PIPE,
            text=True,
        )

        def stop() -> None:
            process.terminate()
            process.communicate(timeout=30)

        self.servers.setdefault(document, ExitStack()).callback(stop)
        assert process.stderr is not None
        log = []
        for line in process.stderr:
            log.append(line)
            if "listening on" in line:
                return
        pytest.fail(f"{command} ended: {''.join(log)}", pytrace=False)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, triton_venv: Path) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("clone")
    for name in (
        "client",
        "deploy",
        "docs",
        "proto",
        "services",
        "tests",
        "Makefile",
        "pyproject.toml",
        "README.md",
    ):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(sys.prefix)
    for name, image in (("image", CAT), ("cat", CAT), ("dog", DOG)):
        shutil.copy(image, folder / f"{name}.png")
    for name, text in files().items():
        (folder / name).write_text(text)
    images = sample_images(120)
    labels = [number % 10 for number in range(len(images))]
    write_parquet(
        folder / "cifar10" / "plain_text" / "test-00000-of-00001.parquet", [png(i) for i in images], labels
    )
    found = Clone(folder, folder / "home", triton_venv, ports={})
    try:
        yield found
    finally:
        for servers in found.servers.values():
            servers.close()
        stopped = run_local(found.home, triton_venv, "down")
        assert stopped.returncode == 0, stopped.stderr


@pytest.mark.parametrize("shown", [s for s in SHOWN if not reason_not_to_run(s)], ids=str)
def test_command_works_as_shown(shown: Shown, clone: Clone) -> None:
    for document in [document for document in clone.servers if document != shown.document]:
        clone.servers.pop(document).close()
    if SERVERS.match(shown.text):
        clone.serve(shown.text, shown.document)
        return

    done = clone.run(shown.text)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("shown", [s for s in SHOWN if reason_not_to_run(s)], ids=str)
def test_command_that_cannot_run_here_names_what_exists(shown: Shown) -> None:
    words = [word for word in shown.words if not re.match(r"\w+=", word)]
    check = next(check for program, check in CHECKS.items() if words[: len(program)] == list(program))
    check(words)


def check_compose(words: list[str]) -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text()
    for option, value in pairwise(words):
        if option in {"-f", "--env-file"}:
            assert (ROOT / value).is_file(), value
        if option == "--profile":
            assert value == "*" or f"profiles: [{value}]" in text, value


def check_kubectl(words: list[str]) -> None:
    assert (ROOT / words[words.index("-k") + 1] / "kustomization.yaml").is_file()


def check_make(words: list[str]) -> None:
    done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def check_pip(words: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for option, value in pairwise(words):
        if option == "-c":
            assert (ROOT / value).is_file(), value
        if option == "-e":
            named = re.fullmatch(r"\.\[([\w,]+)\]", value)
            assert named, value
            assert set(named[1].split(",")) <= extras.keys()


def check_options(words: list[str]) -> None:
    """Every option that is given is in the command's help."""
    count = 3 if words[0] == "python" else 1
    program, rest = words[:count], words[count:]
    if program[0] == "python":
        program[0] = sys.executable
    else:
        program[:1] = [sys.executable, "-m", "pixelprobe.cli"]
    help_text = usage(program)
    while (
        rest
        and not rest[0].startswith("-")
        and re.search(rf"^  {re.escape(rest[0])}\s", help_text, re.MULTILINE)
    ):
        program.append(rest.pop(0))
        help_text = usage(program)
    options = [word.partition("=")[0] for word in rest if word.startswith("-")]
    assert [option for option in options if not re.search(rf"(?<!\w){option}\b", help_text)] == []


def usage(program: list[str]) -> str:
    done = subprocess.run([*program, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, shlex.join(program) + done.stderr
    return done.stdout


CHECKS = {
    ("docker", "compose"): check_compose,
    ("kubectl",): check_kubectl,
    ("make",): check_make,
    ("pip",): check_pip,
    ("pixelprobe",): check_options,
    ("python", "-m"): check_options,
}
