"""The local stack's commands: ``up``, ``down`` and ``status``.

``up`` is all or nothing for what it starts: if one part does not become healthy, all that it started is
stopped.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixelprobe_deploy.local import parts, starting
from pixelprobe_deploy.local.errors import LocalStackError
from pixelprobe_deploy.local.interrupts import Interrupts
from pixelprobe_deploy.local.parts import NAMES, ORCHESTRATOR, SEGMENTATION, TITLES, TRITON, Part
from pixelprobe_deploy.local.ports import KINDS, Ports, address, check_ports, choose_ports, is_free
from pixelprobe_deploy.local.processes import is_alive, members
from pixelprobe_deploy.local.state import PartRecord, StackRecord, StateFolder, replace_file
from pixelprobe_deploy.triton import repository, venv
from pixelprobe_deploy.triton.runtime import TritonRuntime, prepare_runtime
from pixelprobe_deploy.triton.served import Served, find_served, triton_names
from pixelprobe_deploy.triton.targets_file import targets_toml
from pixelprobe_services.common.version import own_version

_SECOND_CHANCE_SECONDS = 10.0
"""How long a running part that is not healthy is asked again: it may be busy."""

Status = dict[str, dict[str, Any]]
"""By part: its addresses and ``healthy``."""


@dataclass(frozen=True)
class Wish:
    """What ``up`` is asked for.

    Attributes:
        names: the parts.
        ports: ports by key of KINDS; 0 lets the system choose.
        free_ports: the other ports are any that are free, instead of the usual ones.
        targets: a targets file of the operator's own, which joins the stack's; None leaves it as it is.
    """

    names: Sequence[str] = NAMES
    ports: Ports = field(default_factory=dict)
    free_ports: bool = False
    targets: Path | None = None

    def all_ports(self) -> dict[str, int]:
        """The ports of the parts in ``names``; 0 where the system chooses."""
        wanted = {key: kind for key, kind in KINDS.items() if kind.part in self.names}
        return {
            key: self.ports.get(key, 0 if self.free_ports else kind.default) for key, kind in wanted.items()
        }


class LocalStack:
    """The stack of one state folder."""

    def __init__(self, folder: StateFolder, interrupts: Interrupts, report: Callable[[str], None]) -> None:
        """``report`` is given one line at each step."""
        self._folder = folder
        self._interrupts = interrupts
        self._report = report

    def up(self, wish: Wish) -> Status:
        """Start what is wished for and does not run in good health; what does is left alone.

        A part that is started again keeps its ports. Ports are checked before anything is stopped.

        Raises:
            LocalStackError, RuntimeSetupError, WeightsError, ConfigError, ContractError, RepositoryError:
                nothing of what was to be started runs; parts that were healthy before still do, and ports are
                remembered.
        """
        with self._folder.locked(self._interrupts, self._report):
            served = find_served(self._folder.zoo)
            record = self._folder.read()
            faults = self._faults(record, served) if record else {}
            own_targets = str(wish.targets.absolute()) if wish.targets else record.targets if record else ""
            if record and ORCHESTRATOR in record.parts and own_targets != record.targets:
                faults.setdefault(ORCHESTRATOR, "the targets file is another")
            if record:
                _refuse_other_ports(record, wish, faults)
                if not faults and all(name in record.parts for name in wish.names):
                    self._report("The local stack is already running.")
                    return self.status()
            before = _ports_of(record) if record else {}
            ports = self._ports(wish, before, faults, record)
            if record and any(ports[key] != port for key, port in before.items()):
                # The parts know each other by their addresses.
                faults = dict.fromkeys(record.parts, "ports have changed") | faults
            kept = [name for name in record.parts if name not in faults] if record else []
            wanted = {key: port for key, port in ports.items() if KINDS[key].part not in kept}
            check_ports(wanted, _held(record))
            runtime = self._prepare(served)
            for reason in dict.fromkeys(faults.values()):
                self._report(f"Starting again: {reason}.")
            if record:
                starting.stop(record, list(faults))
                self._wait_until_free(wanted)
            self._start(served, runtime, choose_ports(ports), record, kept, own_targets)
            return self.status()

    def down(self) -> list[str]:
        """Stop what runs, in reverse order. Returns the names of what was on record."""
        with self._folder.locked(self._interrupts, self._report):
            record = self._folder.read()
            if record is None:
                return []
            starting.stop(record, list(record.parts))
            self._folder.clear()
            return list(reversed(record.parts))

    def status(self) -> Status:
        """Return every part's addresses, and whether it is healthy now."""
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

    def _faults(self, record: StackRecord, served: Served) -> dict[str, str]:
        """Why parts on record must be started again, by their names; what is not named stays as it is."""
        if not record.complete:
            return dict.fromkeys(record.parts, "an earlier start was cut off")
        found = (record.models, record.saliency)
        if found != (served.classifier_digests(), served.saliency_digests()):
            return dict.fromkeys(record.parts, "the models to serve have changed")
        faults = {name: self._fault(name, part, record) for name, part in record.parts.items()}
        return {name: fault for name, fault in faults.items() if fault}

    def _fault(self, name: str, part: PartRecord, record: StackRecord) -> str:
        """Why a part does not work; empty when it does."""
        models = triton_names(record.models, record.saliency)
        give_up = time.monotonic() + _SECOND_CHANCE_SECONDS
        while is_alive(part.process):
            if parts.is_healthy(name, part.addresses, models):
                return ""
            if time.monotonic() > give_up:
                return f"{TITLES[name]} is not healthy"
            self._interrupts.sleep(0.5)
        return f"{TITLES[name]} has died"

    def _ports(
        self, wish: Wish, before: Ports, faults: Mapping[str, str], record: StackRecord | None
    ) -> dict[str, int]:
        """Ports of the parts on record and of those wished for: as asked for, else as before, else as usual.

        With ``wish.free_ports`` a part that must be started again gives up a port that is taken meanwhile.
        """
        ports = {**wish.all_ports(), **before}
        for key, port in before.items():
            again = KINDS[key].part in faults and port not in _held(record)
            if wish.free_ports and again and not is_free(port):
                ports[key] = 0
        asked = {key: port for key, port in wish.ports.items() if port and KINDS[key].part in wish.names}
        return {**ports, **asked}

    def _wait_until_free(self, ports: Ports) -> None:
        """Wait a few seconds at most: the last threads of a killed process hold its ports a moment longer."""
        give_up = time.monotonic() + _SECOND_CHANCE_SECONDS
        while not all(is_free(port) for port in ports.values() if port) and time.monotonic() < give_up:
            self._interrupts.sleep(0.05)

    def _prepare(self, served: Served) -> TritonRuntime:
        """Check the weights, install the server, build the model repository."""
        home = self._folder.home
        served.verify()
        for prefix in (repository.SCRATCH_PREFIX, venv.SCRATCH_PREFIX):
            for left_over in home.glob(f"{prefix}*"):
                shutil.rmtree(left_over, ignore_errors=True)
        environment = venv.ensure_venv(home, self._report, self._interrupts.check)
        runtime = prepare_runtime(environment, self._folder.backends)
        repository.build_repository(served.sources(), self._folder.models)
        return runtime

    def _start(
        self,
        served: Served,
        runtime: TritonRuntime,
        ports: Ports,
        before: StackRecord | None,
        kept: Sequence[str],
        own_targets: str,
    ) -> None:
        """Start every part that has ports and is not ``kept``."""
        prefix = f"pixelprobe_{secrets.token_hex(4)}_"
        if before and TRITON in kept:
            prefix = before.shared_memory_prefix
        makers: Mapping[str, Callable[[], Part]] = {
            TRITON: lambda: parts.triton(runtime, self._folder.models, ports, prefix, self._folder.logs),
            SEGMENTATION: lambda: parts.segmentation(ports),
            ORCHESTRATOR: lambda: parts.orchestrator(
                ports, [str(self._folder.targets_file), *filter(None, [own_targets])]
            ),
        }
        triton_grpc = parts.addresses(TRITON, ports)["grpc"]
        replace_file(self._folder.targets_file, targets_toml(served.classifiers, triton_grpc))
        record = StackRecord(
            complete=False,
            models=served.classifier_digests(),
            saliency=served.saliency_digests(),
            versions={"pixelprobe": own_version() or "not installed", **runtime.versions},
            shared_memory_prefix=prefix,
            targets=own_targets,
            parts={name: before.parts[name] for name in kept} if before else {},
        )
        wanted = {KINDS[key].part for key in ports}
        chosen = [makers[name]() for name in NAMES if name in wanted and name not in kept]
        starting.start(self._folder, record, chosen, before, self._interrupts, self._report)


def _ports_of(record: StackRecord) -> dict[str, int]:
    """The ports of the parts on record, by key of KINDS."""
    return {
        key: int(record.parts[kind.part].addresses[kind.protocol].rpartition(":")[2])
        for key, kind in KINDS.items()
        if kind.part in record.parts
    }


def _held(record: StackRecord | None) -> set[int]:
    """The ports that parts on record hold, and give back when they are stopped."""
    if record is None:
        return set()
    ports = _ports_of(record)
    return {port for key, port in ports.items() if members(record.parts[KINDS[key].part].process)}


def _refuse_other_ports(record: StackRecord, wish: Wish, faults: Mapping[str, str]) -> None:
    """Refuse to move a healthy part to another port.

    Raises:
        LocalStackError: ``wish`` names another port for a part that is on record without a fault.
    """
    for key, port in wish.ports.items():
        kind = KINDS[key]
        if port and kind.part in wish.names and kind.part in record.parts and kind.part not in faults:
            running = record.parts[kind.part].addresses[kind.protocol]
            if running != address(port):
                raise LocalStackError(
                    f"the local stack is already running, with {kind.title} at {running}: stop it first"
                )
