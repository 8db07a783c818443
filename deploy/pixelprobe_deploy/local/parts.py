"""The parts of the stack: three programs, each with its command, addresses and time limits."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pixelprobe_deploy.local.health import service_is_healthy, triton_is_healthy
from pixelprobe_deploy.local.ports import HOST, KINDS, Ports, address
from pixelprobe_deploy.triton import supervisor
from pixelprobe_deploy.triton.runtime import ServerSettings, TritonRuntime, server_command

TRITON, SEGMENTATION, ORCHESTRATOR = "triton", "segmentation", "orchestrator"
NAMES = (TRITON, SEGMENTATION, ORCHESTRATOR)
"""In the order of their start: each needs only those before it."""
TITLES = {TRITON: "Triton", SEGMENTATION: "the segmentation service", ORCHESTRATOR: "the orchestrator"}
START_SECONDS = {TRITON: 180.0, SEGMENTATION: 60.0, ORCHESTRATOR: 60.0}
STOP_SECONDS = {TRITON: 15.0, SEGMENTATION: 12.0, ORCHESTRATOR: 12.0}
TRITON_VARIABLE = "PIXELPROBE_TRITON_ADDRESS"
"""Names the server of the saliency model to the segmentation service."""
LOCKS = re.compile(
    r"PIXELPROBE_(TLS_CERT|TLS_KEY|TLS_CLIENT_CA|TOKENS_FILE|(SEGMENTATION|TRITON)_(TLS.*|TOKEN_FILE))"
)
"""Variables for TLS and tokens, which the local stack does not use: it listens on loopback alone."""


@dataclass(frozen=True)
class Part:
    """One program to start."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    addresses: dict[str, str]


def addresses(name: str, ports: Ports) -> dict[str, str]:
    """Return HOST:PORT of a part by protocol: ``grpc``, for Triton also ``http`` and ``metrics``."""
    own = {kind.protocol: address(ports[key]) for key, kind in KINDS.items() if kind.part == name}
    return dict(sorted(own.items()))


def default_addresses(name: str) -> dict[str, str]:
    """Return a part's addresses on the usual ports."""
    return addresses(name, {key: kind.default for key, kind in KINDS.items()})


def is_healthy(name: str, where: Mapping[str, str], models: Iterable[str]) -> bool:
    """Ask the part for its health; Triton must have every one of ``models`` ready."""
    if name != TRITON:
        return service_is_healthy(where["grpc"])
    return triton_is_healthy(where["grpc"], models)


def triton(
    runtime: TritonRuntime, repository: Path, ports: Ports, shared_memory_prefix: str, logs: Path
) -> Part:
    """Return the model server, under a supervisor that starts it again and rotates the stack's ``logs``."""
    settings = ServerSettings(
        host=HOST,
        http_port=ports["triton_http"],
        grpc_port=ports["triton_grpc"],
        metrics_port=ports["triton_metrics"],
        shared_memory_prefix=shared_memory_prefix,
    )
    where = addresses(TRITON, ports)
    command = [
        # The interpreter of the server's venv: the server's library path has that one's library on it.
        str(runtime.executables / "python3"),
        "-I",
        str(Path(supervisor.__file__)),
        f"--http={where['http']}",
        f"--shared-memory={shared_memory_prefix}",
        f"--logs={logs}",
        "--",
        *server_command(runtime, repository, settings),
    ]
    return Part(TRITON, command, runtime.environment(os.environ), where)


def segmentation(ports: Ports) -> Part:
    """Return the segmentation service, which uses Triton for U2-Net."""
    where = addresses(SEGMENTATION, ports)
    environment = _environment() | {TRITON_VARIABLE: addresses(TRITON, ports)["grpc"]}
    return Part(SEGMENTATION, _service("segmentation", "--listen", where["grpc"]), environment, where)


def orchestrator(ports: Ports, targets_files: Iterable[str]) -> Part:
    """Return the orchestrator, with the targets of these files."""
    where = addresses(ORCHESTRATOR, ports)
    command = _service(
        "orchestrator",
        "--listen",
        where["grpc"],
        *(f"--targets={file}" for file in targets_files),
        "--segmentation",
        addresses(SEGMENTATION, ports)["grpc"],
    )
    return Part(ORCHESTRATOR, command, _environment(), where)


def _service(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"pixelprobe_services.{name}", *arguments]


def _environment() -> dict[str, str]:
    """Return this process's environment without the variables for TLS and tokens."""
    inherited = {name: value for name, value in os.environ.items() if not LOCKS.fullmatch(name)}
    return {**inherited, "PYTHONUNBUFFERED": "1"}
