"""The real services as processes beside a target that costs nothing, and what a process holds."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests import processes
from tests.processes import RunningService
from tests.unit.targets import fake_grpc

ALARMS = ("unexpectedly", "Traceback")
"""In a service's log these mean a bug."""

TARGET, SIDE = "toy", fake_grpc.SIDE


@dataclass(frozen=True)
class Services:
    """Both services; ``target`` is theirs to ask, and a test's to slow down."""

    orchestrator: RunningService
    segmentation: RunningService
    target: fake_grpc.FakeServer

    def each(self) -> tuple[RunningService, RunningService]:
        """Both."""
        return self.orchestrator, self.segmentation


@contextmanager
def fake_target() -> Iterator[tuple[fake_grpc.FakeServer, str]]:
    """A target of 4 x 4 images and three classes, in a thread of its own; and its address."""
    fake = fake_grpc.FakeServer()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fake-target")
    thread.start()
    server, address = asyncio.run_coroutine_threadsafe(fake_grpc.serve(fake), loop).result(10)
    try:
        yield fake, address
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def write_targets(folder: Path, address: str) -> Path:
    """A targets file with the fake."""
    file = folder / "targets.toml"
    file.write_text(f'[targets.{TARGET}]\nprotocol = "kserve-grpc"\naddress = "{address}"\n')
    return file


@contextmanager
def services(folder: Path) -> Iterator[Services]:
    """Both services, their campaigns in an SQLite file of ``folder``."""
    with fake_target() as (fake, address), processes.segmentation() as segmentation:
        targets = write_targets(folder, address)
        store = f"sqlite:///{folder / 'store.db'}"
        with processes.orchestrator(targets, segmentation.address, "--store", store) as orchestrator:
            yield Services(orchestrator, segmentation, fake)


def is_serving(address: str, *, seconds: float = 10) -> bool:
    """Whether the whole server says SERVING, asked over a connection of its own."""
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        request = health_pb2.HealthCheckRequest()
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=seconds, wait_for_ready=True)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def memory_mib(service: RunningService, *, peak: bool = False) -> float:
    """Resident memory of a service, now or at its highest."""
    key = "VmHWM:" if peak else "VmRSS:"
    status = Path(f"/proc/{service.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith(key)) / 1024


def descriptors(service: RunningService) -> int:
    """How many files and sockets a service has open."""
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


def alarms(service: RunningService) -> list[str]:
    """Records of a service's log that tell of a bug; gRPC's own complaints of undecodable headers do not."""
    records: list[str] = []
    for line in service.lines:
        if re.match(r"\d{4}-\d\d-\d\d ", line) or not records:
            records.append(line)
        else:
            records[-1] += "\n" + line
    return [
        record
        for record in records
        if any(alarm in record for alarm in ALARMS)
        and not ("grpc._cython" in record and "UnicodeDecodeError" in record)
    ]
