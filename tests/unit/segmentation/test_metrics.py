"""Images by method and verdict, through the servicer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe_services.common.errors import InvalidArgumentError, UnavailableError
from pixelprobe_services.common.images import from_array
from pixelprobe_services.segmentation.base import Cut, GrabCutOptions, Options, Pixels, Segmenter
from pixelprobe_services.segmentation.metrics import SegmentationMetrics
from pixelprobe_services.segmentation.registry import Registry, UnconfiguredSalient
from pixelprobe_services.segmentation.servicer import SegmentationServicer
from tests.prometheus import of, total

NO_CONTEXT: Any = None
MADE = "pixelprobe_segmentations_total"


class Scripted(Segmenter):
    """Marks so many of 100 pixels as foreground, or fails below 0."""

    id = "grabcut"
    description = "d"
    interactive = True
    options = GrabCutOptions
    foreground = 50

    def unavailable_reason(self) -> str:
        return ""

    def segment(self, image: Pixels, options: Options | None, stop: threading.Event) -> Cut:
        if self.foreground < 0:
            raise UnavailableError("gone")
        return Cut((np.arange(100) < self.foreground).reshape(10, 10))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def segmenter() -> Scripted:
    return Scripted()


@pytest.fixture
def servicer(registry: CollectorRegistry, segmenter: Scripted) -> Iterator[SegmentationServicer]:
    made = SegmentationServicer(
        Registry([segmenter, UnconfiguredSalient()]), workers=1, metrics=SegmentationMetrics(registry)
    )
    with closing(made):
        yield made


def request(name: str = "") -> pb.SegmentRequest:
    return pb.SegmentRequest(image=from_array(np.zeros((10, 10, 3), np.uint8)), segmenter=name)


async def test_images_by_method_and_verdict(
    registry: CollectorRegistry, segmenter: Scripted, servicer: SegmentationServicer
) -> None:
    assert await servicer.ready()  # its own image is not counted
    await servicer.Segment(request(), NO_CONTEXT)
    await servicer.Segment(request("grabcut"), NO_CONTEXT)
    segmenter.foreground = 0
    await servicer.Segment(request(), NO_CONTEXT)
    segmenter.foreground = -1
    with pytest.raises(UnavailableError):
        await servicer.Segment(request("grabcut"), NO_CONTEXT)
    with pytest.raises(InvalidArgumentError):
        await servicer.Segment(request("made-up-by-a-client"), NO_CONTEXT)
    samples = of(registry)
    found = {
        (dict(labels)["method"], dict(labels)["verdict"]): value
        for (name, labels), value in samples.items()
        if name == MADE
    }
    assert found == {
        ("grabcut", "accepted"): 2,
        ("grabcut", "review"): 1,
        ("grabcut", "failed"): 1,
        ("auto", "failed"): 1,
    }
    assert total(samples, "pixelprobe_segmentation_seconds_count", method="grabcut") == 3
    assert total(samples, "pixelprobe_segmentations_held") == 0
