"""Prometheus metrics of the segmentation service."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pixelprobe_services.segmentation.base import Segmentation

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ACCEPTED, REVIEW, FAILED = "accepted", "review", "failed"


@dataclass
class Made:
    """The result of a request; ``segmentation`` is set once there is one."""

    segmentation: Segmentation | None = None


class SegmentationMetrics:
    """All metrics, in one registry; without one they are counted and not exposed."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._made = Counter(
            "pixelprobe_segmentations",
            "Images segmented: accepted, for a person to review, or failed.",
            ["method", "verdict"],
            registry=registry,
        )
        self._seconds = Histogram(
            "pixelprobe_segmentation_seconds",
            "How long a mask took, waiting for a free worker included.",
            ["method"],
            buckets=SECONDS,
            registry=registry,
        )
        self._held = Gauge(
            "pixelprobe_segmentations_held", "Images in work or waiting now.", registry=registry
        )

    def watch_held(self, held: Callable[[], float]) -> None:
        """Read the number of images held from ``held`` at each scrape."""
        self._held.set_function(held)

    @contextlib.contextmanager
    def segmenting(self, asked_for: str) -> Iterator[Made]:
        """Around one request: counted by the method that ran, or where none did, by that ``asked_for``.

        One that is cancelled is not counted.
        """
        start = time.perf_counter()
        made = Made()
        try:
            yield made
        except Exception:
            self._made.labels(asked_for, FAILED).inc()
            raise
        found = made.segmentation
        if found is not None:
            self._made.labels(found.segmenter, REVIEW if found.needs_review else ACCEPTED).inc()
            self._seconds.labels(found.segmenter).observe(time.perf_counter() - start)
