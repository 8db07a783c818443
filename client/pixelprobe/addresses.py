"""Where the services are: from the command line, the environment, the running local stack, or habit."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_ORCHESTRATOR = "127.0.0.1:50062"
DEFAULT_SEGMENTATION = "127.0.0.1:50061"
ORCHESTRATOR_VARIABLE = "PIXELPROBE_ORCHESTRATOR"
SEGMENTATION_VARIABLE = "PIXELPROBE_SEGMENTATION"
HOME_VARIABLE = "PIXELPROBE_HOME"


@dataclass(frozen=True)
class Addresses:
    """host:port of each service."""

    orchestrator: str = DEFAULT_ORCHESTRATOR
    segmentation: str = DEFAULT_SEGMENTATION


class AddressError(ValueError):
    """An address is not host:port; the message says which."""


def find_addresses(orchestrator: str | None = None, segmentation: str | None = None) -> Addresses:
    """Each service's address: the argument, else the environment, the running local stack, the default.

    Raises:
        AddressError: something that was given is not host:port.
    """
    stack = _running_stack(state_folder())
    return Addresses(
        orchestrator=_choose(
            orchestrator, ORCHESTRATOR_VARIABLE, stack.get("orchestrator"), DEFAULT_ORCHESTRATOR
        ),
        segmentation=_choose(
            segmentation, SEGMENTATION_VARIABLE, stack.get("segmentation"), DEFAULT_SEGMENTATION
        ),
    )


def state_folder() -> Path:
    """The local stack's folder."""
    return Path(os.environ.get(HOME_VARIABLE) or Path.home() / ".pixelprobe").expanduser()


def _choose(argument: str | None, variable: str, running: str | None, default: str) -> str:
    if argument:
        return _checked(argument, "the address")
    if os.environ.get(variable):
        return _checked(os.environ[variable], variable)
    return running or default


def _checked(address: str, origin: str) -> str:
    match = re.fullmatch(r"([^\s:]+|\[[0-9a-fA-F:]+\]):(\d{1,5})", address)
    if not match or not 1 <= int(match.group(2)) <= 65535:
        raise AddressError(f"{origin}: {address!r} is not HOST:PORT")
    return address


def _running_stack(home: Path) -> dict[str, str]:
    """Host:port by service, from the file that the local stack writes while it runs; empty without one."""
    try:
        stack: Any = json.loads((home / "stack.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found = {}
    for service in ("orchestrator", "segmentation"):
        entry = stack.get(service) if isinstance(stack, dict) else None
        if isinstance(entry, dict) and isinstance(entry.get("grpc"), str):
            found[service] = entry["grpc"]
    return found
