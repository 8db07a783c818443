"""The local stack's commands: ``up``, ``down`` and ``status``.

``up`` leaves either a healthy stack or nothing: whatever happens in between, all that it started is stopped.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from pixelprobe_deploy.local import parts, starting
from pixelprobe_deploy.local.errors import LocalStackError
from pixelprobe_deploy.local.interrupts import Interrupts
from pixelprobe_deploy.local.parts import NAMES, TITLES, Part
from pixelprobe_deploy.local.ports import KINDS, Ports, address, check_ports, choose_ports
from pixelprobe_deploy.local.processes import is_alive
from pixelprobe_deploy.local.state import StackRecord, StateFolder, replace_file
from pixelprobe_deploy.triton import repository, venv
from pixelprobe_deploy.triton.runtime import TritonRuntime, prepare_runtime
from pixelprobe_deploy.triton.served import Served, find_served, triton_names
from pixelprobe_deploy.triton.targets_file import targets_toml

_SECOND_CHANCE_SECONDS = 10.0
"""A running part that does not say it is healthy may be busy: for so long it is asked again."""

Status = dict[str, dict[str, Any]]
"""By part: its addresses and ``healthy``."""


@dataclass(frozen=True)
class Wish:
    """What ``up`` is asked for: which parts, on which ports (by key of KINDS), the other ports being the
    usual ones or, with ``free_ports``, any that are free.
    """

    names: Sequence[str] = NAMES
    ports: Ports = field(default_factory=dict)
    free_ports: bool = False

    def all_ports(self) -> dict[str, int]:
        """The ports of the parts wished for, 0 where the system is to choose."""
        wanted = {key: kind for key, kind in KINDS.items() if kind.part in self.names}
        return {
            key: self.ports.get(key, 0 if self.free_ports else kind.default) for key, kind in wanted.items()
        }


class LocalStack:
    """The stack of one state folder."""

    def __init__(self, folder: StateFolder, interrupts: Interrupts, tell: Callable[[str], None]) -> None:
        """``tell`` is given a line for a person at each step."""
        self._folder = folder
        self._interrupts = interrupts
        self._tell = tell

    def up(self, wish: Wish) -> Status:
        """Start what is wished for, unless it runs and is healthy.

        Raises:
            LocalStackError, RuntimeSetupError, WeightsError, ConfigError, ContractError, RepositoryError:
                nothing runs now, with one exception: a healthy stack whose ports are not the ones wished
                for goes on.
        """
        with self._folder.locked(self._interrupts, self._tell):
            served = find_served(self._folder.zoo)
            record = self._folder.read()
            if record is not None:
                trouble = self._trouble(record, wish, served)
                if not trouble:
                    _refuse_other_ports(record, wish)
                    self._tell("The local stack is already running.")
                    return self.status()
                self._tell(f"Starting anew: {trouble}.")
                starting.stop(self._folder, record)
            check_ports(wish.all_ports())
            self._start(wish, served, self._prepare(served))
            return self.status()

    def down(self) -> list[str]:
        """Stop what runs, in reverse order. Returns the names of what was on record."""
        with self._folder.locked(self._interrupts, self._tell):
            record = self._folder.read()
            if record is None:
                return []
            starting.stop(self._folder, record)
            return list(reversed(record.parts))

    def status(self) -> Status:
        """Every part's addresses, and whether it is healthy now."""
        record = self._folder.read()
        status: Status = {}
        for name in NAMES:
            part = record.parts.get(name) if record else None
            if record and part:
                models = triton_names(record.models, record.saliency)
                healthy = is_alive(part.process) and parts.is_healthy(name, part.addresses, models)
                status[name] = {**part.addresses, "healthy": healthy}
            else:
                status[name] = {**parts.default_addresses(name), "healthy": False}
        return status

    def _trouble(self, record: StackRecord, wish: Wish, served: Served) -> str:
        """Why the stack on record does not do; empty when it does."""
        if not record.complete:
            return "an earlier start was cut off"
        if missing := [name for name in wish.names if name not in record.parts]:
            return f"the stack runs without {' and '.join(TITLES[name] for name in missing)}"
        found = (record.models, record.saliency)
        if found != (served.classifier_digests(), served.saliency_digests()):
            return "the models to serve have changed"
        models = triton_names(record.models, record.saliency)
        for name, part in record.parts.items():
            give_up = time.monotonic() + _SECOND_CHANCE_SECONDS
            while not (alive := is_alive(part.process)) or not parts.is_healthy(name, part.addresses, models):
                if not alive:
                    return f"{TITLES[name]} has died"
                if time.monotonic() > give_up:
                    return f"{TITLES[name]} is not healthy"
                self._interrupts.sleep(0.5)
        return ""

    def _prepare(self, served: Served) -> TritonRuntime:
        """Weights checked, the server installed, the model repository built."""
        home = self._folder.home
        served.verify()
        for prefix in (repository.SCRATCH_PREFIX, venv.SCRATCH_PREFIX):
            for left_over in home.glob(f"{prefix}*"):
                shutil.rmtree(left_over, ignore_errors=True)
        environment = venv.ensure_venv(home, self._tell, self._interrupts.check)
        runtime = prepare_runtime(environment, self._folder.backends)
        repository.build_repository(served.sources(), self._folder.models)
        return runtime

    def _start(self, wish: Wish, served: Served, runtime: TritonRuntime) -> None:
        ports = choose_ports(wish.all_ports())
        prefix = f"pixelprobe_{secrets.token_hex(4)}_"
        triton = parts.triton(runtime, self._folder.models, ports, prefix)
        replace_file(self._folder.targets_file, targets_toml(served.classifiers, triton.addresses["grpc"]))
        record = StackRecord(
            complete=False,
            models=served.classifier_digests(),
            saliency=served.saliency_digests(),
            versions={"pixelprobe": _own_version(), **runtime.versions},
            shared_memory_prefix=prefix,
        )
        starting.start(self._folder, record, self._chosen(wish, triton, ports), self._interrupts, self._tell)

    def _chosen(self, wish: Wish, triton: Part, ports: Ports) -> list[Part]:
        makers: Mapping[str, Callable[[], Part]] = {
            parts.TRITON: lambda: triton,
            parts.SEGMENTATION: lambda: parts.segmentation(ports),
            parts.ORCHESTRATOR: lambda: parts.orchestrator(ports, self._folder.targets_file),
        }
        return [makers[name]() for name in NAMES if name in wish.names]


def _refuse_other_ports(record: StackRecord, wish: Wish) -> None:
    for key, port in wish.ports.items():
        kind = KINDS[key]
        if port and kind.part in wish.names:
            running = record.parts[kind.part].addresses[kind.protocol]
            if running != address(port):
                raise LocalStackError(
                    f"the local stack is already running, with {kind.title} at {running}: stop it first"
                )


def _own_version() -> str:
    try:
        return metadata.version("pixelprobe")
    except metadata.PackageNotFoundError:
        return "not installed"
