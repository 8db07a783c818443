"""Addresses of the services: from the command line, the environment, or the running local stack."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelprobe_services.common.address import split_address
from pixelprobe_services.common.files import state_folder

DEFAULT_ORCHESTRATOR = "127.0.0.1:50062"
DEFAULT_SEGMENTATION = "127.0.0.1:50061"
ORCHESTRATOR_VARIABLE = "PIXELPROBE_ORCHESTRATOR"
SEGMENTATION_VARIABLE = "PIXELPROBE_SEGMENTATION"

ORCHESTRATOR, SEGMENTATION = "orchestrator", "segmentation"
LOCAL_STACK = "the local stack"

_VARIABLES = {ORCHESTRATOR: ORCHESTRATOR_VARIABLE, SEGMENTATION: SEGMENTATION_VARIABLE}


@dataclass(frozen=True)
class Addresses:
    """HOST:PORT of each service."""

    orchestrator: str = DEFAULT_ORCHESTRATOR
    segmentation: str = DEFAULT_SEGMENTATION


@dataclass(frozen=True)
class Located:
    """A service's address and where it comes from: an option, a variable of the environment, LOCAL_STACK."""

    address: str
    origin: str


class AddressError(ValueError):
    """An address is not HOST:PORT; the message says which."""


class NoStackError(AddressError):
    """No address was given for a service, and no local stack runs; the message says what to do."""

    def __init__(self, service: str) -> None:
        super().__init__(
            f"no local stack is running; start one with `pixelprobe up`, or name one with --{service}"
        )


def find_addresses(
    orchestrator: str | None = None,
    segmentation: str | None = None,
    *,
    needed: Sequence[str] = (ORCHESTRATOR,),
) -> Addresses:
    """Find each service's address: the argument, else the environment, else the running local stack.

    Args:
        orchestrator: HOST:PORT, or None to look elsewhere.
        segmentation: likewise.
        needed: services that must be found; of the others the usual address is assumed.

    Raises:
        AddressError: an argument or a variable is not HOST:PORT.
        NoStackError: a service that is needed was not found.
    """
    located = {
        ORCHESTRATOR: locate(ORCHESTRATOR, orchestrator),
        SEGMENTATION: locate(SEGMENTATION, segmentation),
    }
    for service in needed:
        if located[service] is None:
            raise NoStackError(service)
    return Addresses(**{service: found.address for service, found in located.items() if found})


def locate(service: str, argument: str | None = None) -> Located | None:
    """Find the address of ORCHESTRATOR or SEGMENTATION; None where nothing says where it is.

    Raises:
        AddressError: an argument or a variable is not HOST:PORT.
    """
    variable = _VARIABLES[service]
    if argument:
        return Located(_checked(argument, "the address"), f"--{service}")
    if os.environ.get(variable):
        return Located(_checked(os.environ[variable], variable), f"${variable}")
    running = _running_stack(state_folder()).get(service)
    return Located(running, LOCAL_STACK) if running else None


def _checked(address: str, origin: str) -> str:
    try:
        split_address(address)
    except ValueError as error:
        raise AddressError(f"{origin}: {error}") from error
    return address


def _running_stack(home: Path) -> dict[str, str]:
    """Return HOST:PORT by service from the file that a running local stack keeps; empty without one.

    A part whose process has gone, say because the machine was restarted, is left out: another user's program
    may have its port by now.
    """
    try:
        stack: Any = json.loads((home / "stack.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    found = {}
    for service in _VARIABLES:
        entry = stack.get(service) if isinstance(stack, dict) else None
        if isinstance(entry, dict) and isinstance(entry.get("grpc"), str) and _may_run(entry.get("pid")):
            found[service] = entry["grpc"]
    return found


def _may_run(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
