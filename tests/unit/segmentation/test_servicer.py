"""The servicer keeps the loop free, bounds what it holds, and drops work that nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe_services.common.errors import ResourceExhaustedError
from pixelprobe_services.common.images import from_array
from pixelprobe_services.segmentation.base import (
    Cut,
    GrabCutOptions,
    Options,
    Pixels,
    SalientOptions,
    SegmentationStoppedError,
    Segmenter,
)
from pixelprobe_services.segmentation.registry import Registry, UnconfiguredSalient
from pixelprobe_services.segmentation.servicer import SegmentationServicer

REQUEST = pb.SegmentRequest(image=from_array(np.zeros((4, 5, 3), np.uint8)))
NO_CONTEXT: Any = None


class Gated(Segmenter):
    """Works until its gate opens or it is told to stop."""

    id = "grabcut"
    description = "d"
    interactive = True
    options: type[Options] = GrabCutOptions

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.running = 0
        self.most = 0
        self.saliency: np.ndarray | None = None
        self.started = 0
        self.stopped = threading.Event()
        self._lock = threading.Lock()

    def unavailable_reason(self) -> str:
        return ""

    def segment(self, image: Pixels, options: Options | None, stop: threading.Event) -> Cut:
        with self._lock:
            self.started += 1
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            while not self.gate.wait(0.005):
                if stop.is_set():
                    self.stopped.set()
                    raise SegmentationStoppedError
        finally:
            with self._lock:
                self.running -= 1
        return Cut(np.ones(image.shape[:2], np.bool_), self.saliency)


@pytest.fixture
def segmenter() -> Gated:
    return Gated()


@pytest.fixture
def servicer(segmenter: Gated) -> Iterator[SegmentationServicer]:
    servicer = SegmentationServicer(Registry([segmenter, UnconfiguredSalient()]), workers=2, max_waiting=4)
    yield servicer
    segmenter.gate.set()
    servicer.close()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - threads set no asyncio.Event
            await asyncio.sleep(0.005)


async def test_work_runs_beside_the_loop_in_as_many_threads_as_allowed(
    servicer: SegmentationServicer, segmenter: Gated
) -> None:
    calls = [asyncio.create_task(servicer.Segment(REQUEST, NO_CONTEXT)) for _ in range(4)]
    await until(lambda: segmenter.running == 2)
    # The loop is free: this answers while all workers are busy.
    listed = await asyncio.wait_for(servicer.ListSegmenters(pb.ListSegmentersRequest(), NO_CONTEXT), 1)
    assert [each.id for each in listed.segmenters] == ["auto", "grabcut", "u2net"]
    segmenter.gate.set()
    answers = await asyncio.gather(*calls)
    assert {(answer.area_fraction, answer.needs_review) for answer in answers} == {(1.0, True)}
    assert segmenter.most == 2


async def test_saliency_is_answered_where_it_is_asked_for_and_there_is_some(
    servicer: SegmentationServicer, segmenter: Gated
) -> None:
    segmenter.gate.set()
    asking = pb.SegmentRequest(image=REQUEST.image, segmenter="grabcut", return_saliency=True)
    assert (await servicer.Segment(asking, NO_CONTEXT)).saliency == b""
    segmenter.saliency = np.arange(20, dtype=np.uint8).reshape(4, 5)
    answer = await servicer.Segment(asking, NO_CONTEXT)
    assert answer.saliency == bytes(range(20))
    assert answer.choice_reason == ""
    silent = await servicer.Segment(REQUEST, NO_CONTEXT)
    assert silent.saliency == b""
    assert silent.choice_reason == "auto: at most 64 pixels a side"


async def test_past_the_bound_it_refuses_and_recovers(
    servicer: SegmentationServicer, segmenter: Gated
) -> None:
    calls = [asyncio.create_task(servicer.Segment(REQUEST, NO_CONTEXT)) for _ in range(4)]
    await until(lambda: segmenter.running == 2)
    with pytest.raises(ResourceExhaustedError, match="4 images are waiting"):
        await servicer.Segment(REQUEST, NO_CONTEXT)
    segmenter.gate.set()
    await asyncio.gather(*calls)
    assert (await servicer.Segment(REQUEST, NO_CONTEXT)).segmenter == "grabcut"


async def test_cancelled_work_stops_and_what_waits_never_starts(
    servicer: SegmentationServicer, segmenter: Gated
) -> None:
    calls = [asyncio.create_task(servicer.Segment(REQUEST, NO_CONTEXT)) for _ in range(4)]
    await until(lambda: segmenter.running == 2)
    # Those that wait first, or they would start as soon as the others stop.
    for call in reversed(calls):
        call.cancel()
    assert all(isinstance(each, asyncio.CancelledError) for each in await _outcomes(calls))
    await until(lambda: segmenter.running == 0)
    assert segmenter.stopped.is_set()
    assert segmenter.started == 2


async def test_it_is_ready_after_one_image_and_stays_so_when_busy(
    servicer: SegmentationServicer, segmenter: Gated
) -> None:
    first = asyncio.create_task(servicer.ready())
    await until(lambda: segmenter.running == 1)
    assert not first.done()
    segmenter.gate.set()
    assert await first
    segmenter.gate.clear()
    calls = [asyncio.create_task(servicer.Segment(REQUEST, NO_CONTEXT)) for _ in range(4)]
    await until(lambda: segmenter.running == 2)
    assert await asyncio.wait_for(servicer.ready(), 1)
    segmenter.gate.set()
    await asyncio.gather(*calls)


class Hanging(Gated):
    """U2-Net while its server does not answer."""

    id = "u2net"
    options = SalientOptions
    waits = True


async def test_u2nets_trouble_does_not_keep_grabcut_waiting(segmenter: Gated) -> None:
    segmenter.gate.set()
    hanging = Hanging()
    servicer = SegmentationServicer(Registry([segmenter, hanging]), workers=2, max_waiting=8)
    asking = pb.SegmentRequest(image=REQUEST.image, segmenter="u2net")
    calls = [asyncio.create_task(servicer.Segment(asking, NO_CONTEXT)) for _ in range(5)]
    await until(lambda: hanging.running == 2)
    try:
        assert (await asyncio.wait_for(servicer.Segment(REQUEST, NO_CONTEXT), 5)).segmenter == "grabcut"
        assert await asyncio.wait_for(servicer.ready(), 5)
    finally:
        hanging.gate.set()
        await asyncio.gather(*calls)
        servicer.close()
    assert hanging.most == 2


async def _outcomes(calls: list[asyncio.Task[Any]]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)
