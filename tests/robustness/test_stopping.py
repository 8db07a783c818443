"""A service that is stopped while busy ends within ten seconds, and loses none of its work."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import attack_service_pb2_grpc as pb_grpc
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as segmentation_pb
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2_grpc as segmentation_grpc
from pixelprobe_services.common.images import from_array
from pixelprobe_services.common.masks import MAX_ITERATIONS
from pixelprobe_services.orchestrator.attacks.run import REPEATS
from tests import processes
from tests.processes import RunningService
from tests.robustness import servers
from tests.robustness.campaigns import SECONDS, begin, images, results
from tests.unit.targets.fake_grpc import FakeServer

CODE = grpc.StatusCode
CUT_OFF = {CODE.UNAVAILABLE, CODE.CANCELLED}
"""How a call ends that a stopping service does not finish."""
STOP_SECONDS = 20.0
"""Ten are promised, and kept on a machine that is not busy with other things."""
CALL_SECONDS = 200.0
"""Deadline of what is under way at the stop: long after it."""
ATTACKS, POPULATION, GENERATIONS = 4, 20, 60
WATCHERS = 200
NOBODY = "127.0.0.1:9"
"""A segmentation service that these campaigns never need."""


@contextmanager
def orchestrator(folder: Path, address: str) -> Iterator[tuple[RunningService, Any]]:
    """An orchestrator on the folder's database, and a stub of it."""
    targets = servers.write_targets(folder, address)
    store = f"sqlite:///{folder / 'store.db'}"
    with (
        processes.orchestrator(targets, NOBODY, "--store", store) as running,
        grpc.insecure_channel(running.address, [("grpc.use_local_subchannel_pool", 1)]) as channel,
    ):
        yield running, pb_grpc.AttackServiceStub(channel)


def asked(fake: FakeServer) -> int:
    """Queries that reached the target."""
    return sum(request.inputs[0].shape[0] for request in list(fake.seen))


def start(stub: Any) -> str:
    return begin(stub, ATTACKS, population=POPULATION, generations=GENERATIONS)


def finish(stub: Any, name: str) -> list[Any]:
    """Wait for the end; the results without what depends on the clock, or on what was asked twice."""
    list(stub.WatchCampaign(pb.WatchCampaignRequest(name=name), timeout=120))
    found = results(stub, name)
    for attack in found:
        attack.name = ""
        attack.result.ClearField("end_time")
        for count in (
            "queries_sent",
            "queries_answered",
            "queries_timed_out",
            "retries",
            "queries_to_success",
            "first_success_query",
        ):
            attack.result.ClearField(count)
    return found


def stop(service: RunningService) -> float:
    """SIGTERM, and more signals while it drains; how long it took to exit with 0."""
    begun = time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    for signum in (signal.SIGTERM, signal.SIGINT):
        time.sleep(0.3)
        service.process.send_signal(signum)
    assert service.process.wait(timeout=60) == 0
    return time.monotonic() - begun


def test_an_orchestrator_drains_and_its_campaign_goes_on_from_there(tmp_path: Path) -> None:
    """While it is watched by many who read slowly, and one upload never ends."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    with servers.fake_target() as (fake, address):
        with orchestrator(tmp_path / "whole", address) as (_, stub):
            reference = finish(stub, start(stub))
        undisturbed = asked(fake)

        fake.seen.clear()
        fake.delay_seconds = 0.05
        with orchestrator(tmp_path / "cut", address) as (running, stub):
            name = start(stub)
            request = pb.WatchCampaignRequest(name=name)
            streams = [stub.WatchCampaign(request, timeout=CALL_SECONDS) for _ in range(WATCHERS)]
            for stream in streams:
                next(stream)
            never = threading.Event()
            upload = stub.UploadImages.future(stalling(never), timeout=CALL_SECONDS)
            wait_for(lambda: asked(fake) >= undisturbed / 4)
            took = stop(running)
            never.set()
            assert servers.alarms(running) == []
        assert took < STOP_SECONDS
        assert asked(fake) < undisturbed
        assert {upload.code(), *(end_of(stream) for stream in streams)} <= CUT_OFF

        fake.delay_seconds = 0.0
        with orchestrator(tmp_path / "cut", address) as (_, stub):
            assert finish(stub, name) == reference
        # Asked again is only what was on its way when the stop came: a piece of each attack, or the repeats
        # of a success in it.
        assert asked(fake) <= undisturbed + ATTACKS * (POPULATION + REPEATS)


def stalling(never: threading.Event) -> Iterator[pb.UploadImagesRequest]:
    """One image, and then nothing."""
    yield pb.UploadImagesRequest(image=images(1)[0])
    never.wait(CALL_SECONDS)


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def end_of(stream: Any) -> grpc.StatusCode:
    """Read what there still is; how it ended."""
    try:
        for _ in stream:
            pass
    except grpc.RpcError as error:
        return error.code()
    return CODE.OK


def test_a_busy_segmentation_service_drains() -> None:
    """All its threads cut images of noise, which takes each about half a minute, and more wait."""
    noise = np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)
    request = segmentation_pb.SegmentRequest(
        image=from_array(noise), grabcut=segmentation_pb.GrabCutOptions(iterations=MAX_ITERATIONS)
    )
    with processes.segmentation() as running, grpc.insecure_channel(running.address) as channel:
        stub: Any = segmentation_grpc.SegmentationServiceStub(channel)
        count = 4 * (os.cpu_count() or 1)
        calls = [stub.Segment.future(request, timeout=CALL_SECONDS) for _ in range(count)]
        time.sleep(1)
        assert not all(call.done() for call in calls)
        assert stop(running) < STOP_SECONDS
        ends = {call.code() for call in calls}
        assert ends & CUT_OFF
        assert ends <= CUT_OFF | {CODE.OK}
        assert servers.alarms(running) == []
