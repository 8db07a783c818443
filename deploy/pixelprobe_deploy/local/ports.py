"""The stack's five ports: their names, checks, and the choice of free ones."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from pixelprobe_deploy.local.errors import LocalStackError, PortTakenError

HOST = "127.0.0.1"


@dataclass(frozen=True)
class PortKind:
    """One of the ports: its title, its part of the stack, the protocol there, and its usual number."""

    title: str
    part: str
    protocol: str
    default: int
    option: str


KINDS = {
    "triton_http": PortKind("Triton HTTP", "triton", "http", 8000, "--triton-http-port"),
    "triton_grpc": PortKind("Triton gRPC", "triton", "grpc", 8001, "--triton-grpc-port"),
    "triton_metrics": PortKind("Triton metrics", "triton", "metrics", 8002, "--triton-metrics-port"),
    "segmentation": PortKind("Segmentation", "segmentation", "grpc", 50061, "--segmentation-port"),
    "orchestrator": PortKind("Orchestrator", "orchestrator", "grpc", 50062, "--orchestrator-port"),
}

Ports = Mapping[str, int]
"""Port by key of KINDS; 0 lets the system choose."""


def check_ports(ports: Ports, held: Collection[int] = ()) -> None:
    """Check that ports other than 0 are all different and free.

    Args:
        ports: the ports to check.
        held: ports that this stack itself holds, and gives back in time.

    Raises:
        LocalStackError: two are the same.
        PortTakenError: another program listens on one.
    """
    asked = {key: port for key, port in ports.items() if port}
    for key, port in asked.items():
        kind = KINDS[key]
        if list(asked.values()).count(port) > 1:
            raise LocalStackError(f"port {port} is given twice: choose another with {kind.option}")
        if port in held:
            continue
        try:
            with _listener(port):
                pass
        except OSError as error:
            raise PortTakenError(
                f"port {port} ({kind.title}) cannot be used ({(error.strerror or str(error)).lower()}): "
                f"stop the program that has it, or choose another port with {kind.option}, or free ones with "
                "--free-ports"
            ) from error


def is_free(port: int) -> bool:
    """Whether nothing listens on ``port``."""
    try:
        with _listener(port):
            return True
    except OSError:
        return False


def choose_ports(ports: Ports) -> dict[str, int]:
    """``ports`` with a free one for each 0."""
    with ExitStack() as held:  # all at once, so that none is chosen twice
        return {key: port or held.enter_context(_listener(0)).getsockname()[1] for key, port in ports.items()}


def address(port: int) -> str:
    """HOST:PORT."""
    return f"{HOST}:{port}"


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Connections of an earlier run that linger are no hindrance; a listener is, all the same.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener
