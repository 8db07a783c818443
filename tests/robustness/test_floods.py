"""Connections and streams by the hundred that do nothing, or far too much: others are served meanwhile."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import numpy as np
import pytest

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import attack_service_pb2_grpc as pb_grpc
from pixelprobe_api.image.v1 import image_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as segmentation_pb
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2_grpc as segmentation_grpc
from pixelprobe_services.common.images import MAX_SIDE, from_array
from tests.processes import RunningService
from tests.robustness import servers
from tests.robustness.http2 import END_HEADERS, HEADERS, PREFACE, Peer, frame, header_block
from tests.robustness.servers import Services

SECONDS = 60.0
"""Deadline of an honest client; generous, as the machine may be busy."""
ATTACK_SECONDS = 240.0
"""Deadline of a hostile one: it must not be what ends its calls."""
CONNECTIONS = 100
IMAGES, IMAGE_MIB = 20, MAX_SIDE**2 * 3 / 2**20
SLACK = 8
"""Descriptors that a server may come to hold by itself."""

UPLOAD = b"/pixelprobe.attack.v1.AttackService/UploadImages"
OWN = (("grpc.use_local_subchannel_pool", 1),)

TINY = image_pb2.Image(width=1, height=1, rgb=b"abc")


def test_idle_and_half_open_connections(services: Services) -> None:
    """Sockets that say nothing, half a preface, a preface only, or headers without an end."""
    for service in services.each():
        held = servers.descriptors(service)
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                stack.enter_context(Peer(service.address, greet=False))
                stack.enter_context(Peer(service.address, greet=False)).send(PREFACE[:10])
                stack.enter_context(Peer(service.address))
                opened = stack.enter_context(Peer(service.address))
                opened.send(frame(HEADERS, END_HEADERS, 1, header_block(UPLOAD)))
            assert servers.is_serving(service.address, seconds=SECONDS)
        assert_back_to(service, held)


def assert_back_to(service: RunningService, held: int) -> None:
    give_up = time.monotonic() + SECONDS
    while (now := servers.descriptors(service)) > held + SLACK:
        assert time.monotonic() < give_up, f"{now} descriptors, {held} before"
        time.sleep(0.1)


def test_stalled_uploads_do_not_stand_in_anothers_way(services: Services) -> None:
    address = services.orchestrator.address
    never = threading.Event()

    def stalling() -> Iterator[pb.UploadImagesRequest]:
        yield pb.UploadImagesRequest(image=TINY)
        never.wait(ATTACK_SECONDS)

    with grpc.insecure_channel(address, OWN) as attacker, grpc.insecure_channel(address, OWN) as honest:
        stub: Any = pb_grpc.AttackServiceStub(attacker)
        stalled = [stub.UploadImages.future(stalling(), timeout=ATTACK_SECONDS) for _ in range(40)]
        time.sleep(0.5)  # they take as many places as they get
        other: Any = pb_grpc.AttackServiceStub(honest)
        requests = iter([pb.UploadImagesRequest(image=TINY)] * 3)
        assert len(other.UploadImages(requests, timeout=SECONDS).digests) == 3
        assert not any(call.done() for call in stalled)
        never.set()
        for call in stalled:
            call.cancel()


def test_a_stream_of_images_without_an_end(services: Services) -> None:
    requests = itertools.repeat(pb.UploadImagesRequest(image=TINY))
    with grpc.insecure_channel(services.orchestrator.address, OWN) as channel:
        stub: Any = pb_grpc.AttackServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.UploadImages(requests, timeout=ATTACK_SECONDS)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_many_of_the_largest_images_at_once(services: Services) -> None:
    """Each waits with its sender until its turn, and does not stay in memory when it is done."""
    service = services.segmentation
    before = servers.memory_mib(service)
    request = segmentation_pb.SegmentRequest(image=from_array(np.zeros((MAX_SIDE, MAX_SIDE, 3), np.uint8)))
    with grpc.insecure_channel(service.address, OWN) as channel:
        stub: Any = segmentation_grpc.SegmentationServiceStub(channel)
        calls = [stub.Segment.future(request, timeout=ATTACK_SECONDS) for _ in range(IMAGES)]
        assert servers.is_serving(service.address, seconds=SECONDS)
        assert {call.result().segmenter for call in calls} == {"grabcut"}
    # gRPC and the allocator keep some of it, to be used again, but not every image.
    assert servers.memory_mib(service) - before < 0.75 * IMAGES * IMAGE_MIB
    # As many are worked on as there are processors, and a few are read meanwhile, of one connection.
    at_once = (os.cpu_count() or 1) + 2
    assert servers.memory_mib(service, peak=True) - before < 8 * IMAGE_MIB * at_once
