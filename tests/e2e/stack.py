"""The stack of deploy/compose.yaml under its own name and ports; every wait has a limit."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose.yaml"
SERVICES = ("triton", "segmentation", "orchestrator")
IMAGES = tuple(f"pixelprobe-{name}:local" for name in ("models", *SERVICES))

BUILD_SECONDS = 1200
UP_SECONDS = 300
COMMAND_SECONDS = 120
ENGINE_SECONDS = 60

ATTACKS_IN_FLIGHT = "8"
"""Few, so that a campaign has attacks of all kinds (finished, under way, not begun) for most of its time."""


def compose(
    *arguments: str, settings: Mapping[str, str], seconds: float = COMMAND_SECONDS
) -> subprocess.CompletedProcess[str]:
    """``docker compose -f deploy/compose.yaml ARGUMENTS`` with ``settings`` and no others."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIXELPROBE_", "COMPOSE_"))
    }
    return subprocess.run(
        ["docker", "compose", "-f", str(COMPOSE), *arguments],
        env={**inherited, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@dataclass
class ComposeStack:
    """One stack.

    ``overlays``: more compose files; ``settings``: variables for compose; ``client_settings``: for the CLI;
    ``seconds_to_healthy``: what ``up --wait`` took, with the images built;
    ``first_states``: what the engine then said of each service's container.
    """

    engine: docker.DockerClient
    project: str = field(default_factory=lambda: f"pixelprobe-e2e-{secrets.token_hex(4)}")
    ports: dict[str, int] = field(default_factory=lambda: free_ports("segmentation", "orchestrator"))
    overlays: tuple[Path, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    client_settings: dict[str, str] = field(default_factory=dict)
    seconds_to_healthy: float = 0.0
    first_states: dict[str, Any] = field(default_factory=dict)

    def __call__(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run a compose command that must succeed. Returns its output."""
        settings = {f"PIXELPROBE_{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        settings["PIXELPROBE_ATTACKS_IN_FLIGHT"] = ATTACKS_IN_FLIGHT
        settings |= self.settings
        files = [word for path in self.overlays for word in ("-f", str(path))]
        done = compose(*files, "--project-name", self.project, *arguments, settings=settings, seconds=seconds)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self) -> None:
        """Build missing images, start, and wait for health."""
        self("build", seconds=BUILD_SECONDS)
        began = time.monotonic()
        self("up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS), seconds=UP_SECONDS + 30)
        self.seconds_to_healthy = time.monotonic() - began
        self.first_states = {name: self.container(name).attrs["State"] for name in ("models", *SERVICES)}

    def wait_until_healthy(self) -> None:
        """Wait as ``up --wait`` does, which fails at once if a service noticed that another was absent."""
        give_up = time.monotonic() + UP_SECONDS
        while health := {name: state for name in SERVICES if (state := self.health(name)) != "healthy"}:
            assert time.monotonic() < give_up, f"not healthy after {UP_SECONDS} s: {health}"
            time.sleep(1)

    def health(self, service: str) -> str:
        """Return the engine's state: healthy, unhealthy, starting, or that the container does not run."""
        state = self.container(service).attrs["State"]
        return str(state["Health"]["Status"] if state["Running"] else state["Status"])

    def remove(self) -> None:
        """Stop and delete all of it, volumes too, and check that nothing is left."""
        self("--profile", "*", "down", "--volumes", "--remove-orphans")
        mine = {"filters": {"label": f"com.docker.compose.project={self.project}"}}
        assert self.engine.containers.list(all=True, **mine) == []
        assert self.engine.networks.list(**mine) == []
        assert self.engine.volumes.list(**mine) == []

    def logs(self) -> str:
        """The last lines of every container."""
        return self("logs", "--no-color", "--tail", "40")

    def container(self, service: str) -> Any:
        """Return the service's one container, freshly inspected."""
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        (container,) = self.engine.containers.list(all=True, filters={"label": labels})
        return container

    def python(self, service: str, program: str) -> str:
        """What ``program`` prints inside the service's container, run as its user."""
        done = self.container(service).exec_run(["python3", "-c", program])
        assert done.exit_code == 0, done.output.decode()
        return str(done.output.decode())

    def address(self, service: str) -> str:
        """Return the service's address for programs outside the stack."""
        return f"127.0.0.1:{self.ports[service]}"

    def pixelprobe(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run a command of the CLI outside the stack. Returns its stdout."""
        done = self.run_pixelprobe(*arguments, seconds=seconds)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_pixelprobe(
        self, *arguments: str, changed: Mapping[str, str] | None = None, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """The same with any exit code; ``changed`` are settings of the client, empty ones unset."""
        client_settings = {**self.client_settings, **(changed or {})}
        return subprocess.run(
            [sys.executable, "-m", "pixelprobe.cli", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "PIXELPROBE_ORCHESTRATOR": self.address("orchestrator"),
                "PIXELPROBE_SEGMENTATION": self.address("segmentation"),
                **{name: value for name, value in client_settings.items() if value},
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def free_ports(*names: str) -> dict[str, int]:
    """A free port of 127.0.0.1 for each name."""
    with ExitStack() as held:  # all at once, so that none is chosen twice
        listeners = {name: held.enter_context(socket.create_server(("127.0.0.1", 0))) for name in names}
        return {name: int(listener.getsockname()[1]) for name, listener in listeners.items()}
