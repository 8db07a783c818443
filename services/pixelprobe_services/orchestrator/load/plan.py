"""What a load test sends, and when: its steps, the schedule of an open loop, and the queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.values import Pixels
from pixelprobe_services.orchestrator.targets.base import QueryBatch, TargetInfo

MAX_STEPS = 50
MAX_RATE = 20_000.0
MAX_CONCURRENCY = 1_000
MAX_IN_FLIGHT = 10_000
MAX_SECONDS = 3_600.0
MAX_IMAGES = 1_000
MAX_PIXELS = 64
POOL = 4_096
"""Edits are drawn once and reused in turn: drawing them must not take time from what is measured."""


@dataclass(frozen=True)
class LoadPlan:
    """One load test.

    Attributes:
        rates: requests a second, a step for each (open loop); empty for a closed loop.
        concurrencies: requests under way at a time, a step for each (closed loop); empty for an open loop.
        batch: queries in a request.
        duration_seconds: of each step, warm-up not included.
        warm_up_seconds: before each step, not counted.
        max_in_flight: open loop: most requests under way at a time.
        poisson: open loop: exponentially distributed gaps instead of equal ones.
        pixels: changed pixels of a query.
        seed: of edits and gaps.
        stop_error_share: a step with a larger share of failed requests ends the test.
    """

    rates: tuple[float, ...] = ()
    concurrencies: tuple[int, ...] = ()
    batch: int = 1
    duration_seconds: float = 10.0
    warm_up_seconds: float = 0.0
    max_in_flight: int = 1_000
    poisson: bool = False
    pixels: int = 1
    seed: int = 0
    stop_error_share: float = 0.5

    def __post_init__(self) -> None:
        if bool(self.rates) == bool(self.concurrencies):
            raise InvalidArgumentError("rates", "give either rates or concurrencies")
        if len(self.rates) + len(self.concurrencies) > MAX_STEPS:
            raise InvalidArgumentError("rates", f"more than {MAX_STEPS} steps")
        for rate in self.rates:
            if not 0 < rate <= MAX_RATE:
                raise InvalidArgumentError("rates", f"{rate:g} is not in 0 to {MAX_RATE:g} requests a second")
        for name, value, low, high in (
            *(("concurrencies", number, 1, MAX_CONCURRENCY) for number in self.concurrencies),
            ("batch", self.batch, 1, 100_000),
            ("duration_seconds", self.duration_seconds, 0.1, MAX_SECONDS),
            ("warm_up_seconds", self.warm_up_seconds, 0.0, MAX_SECONDS),
            ("max_in_flight", self.max_in_flight, 1, MAX_IN_FLIGHT),
            ("pixels", self.pixels, 1, MAX_PIXELS),
            ("stop_error_share", self.stop_error_share, 0.0, 1.0),
        ):
            # Written so that NaN is refused, too.
            if not low <= value <= high:
                raise InvalidArgumentError(name, f"{value:g} is not in {low:g} to {high:g}")
        steps = len(self.rates) + len(self.concurrencies)
        if steps * (self.duration_seconds + self.warm_up_seconds) > MAX_SECONDS:
            raise InvalidArgumentError("duration_seconds", f"all steps together last over {MAX_SECONDS:g} s")

    def check(self, info: TargetInfo, images: Sequence[Pixels]) -> None:
        """Raises InvalidArgumentError where the target does not take such batches or images."""
        if self.batch > info.max_batch:
            raise InvalidArgumentError(
                "batch", f"{self.batch} is over {info.name}'s max_batch, {info.max_batch}"
            )
        if not 1 <= len(images) <= MAX_IMAGES:
            raise InvalidArgumentError("image_digests", f"{len(images)} is not in 1 to {MAX_IMAGES}")
        for number, image in enumerate(images):
            if image.shape != (info.height, info.width, 3):
                raise InvalidArgumentError(
                    f"image_digests[{number}]",
                    f"is {image.shape[1]}x{image.shape[0]} pixels, "
                    f"{info.name} takes {info.width}x{info.height}",
                )


def schedule(rate: float, seconds: float, poisson: bool, seed: int) -> Iterator[float]:
    """Start times of an open loop's requests, in seconds from 0 to before ``seconds``.

    Args:
        rate: requests a second.
        seconds: length of the schedule.
        poisson: exponentially distributed gaps with the mean 1 / rate, instead of equal ones.
        seed: of the gaps.
    """
    if not poisson:
        number = 0
        while (start := number / rate) < seconds:
            yield start
            number += 1
        return
    generator = np.random.default_rng(seed)
    start = 0.0
    while True:
        for gap in generator.exponential(1 / rate, 1024):
            start += float(gap)
            if start >= seconds:
                return
            yield start


class Queries:
    """Batches of real attack queries: random edits of real images, different ones in each batch."""

    def __init__(self, plan: LoadPlan, images: Sequence[Pixels]) -> None:
        generator = np.random.default_rng(plan.seed)
        height, width, _ = images[0].shape
        size = max(POOL, plan.batch)
        highest = np.array([width, height, 256, 256, 256])
        edits = generator.integers(0, highest, (size, plan.pixels, 5), dtype=np.int16)
        # Of edits on the same pixel all are made equal to the last: their order on the wire is undefined.
        for later in range(plan.pixels - 1, 0, -1):
            earlier, last = edits[:, :later], edits[:, later : later + 1]
            same = (earlier[..., :2] == last[..., :2]).all(axis=2, keepdims=True)
            edits[:, :later] = np.where(same, last, earlier)
        self._edits: NDArray[np.int16] = edits
        self._images = images
        self._batch = plan.batch
        self._place = 0
        self._number = 0

    def next(self) -> QueryBatch:
        """The next batch: ``batch`` edits of one image, the images in turn."""
        if self._place + self._batch > len(self._edits):
            # Shifted by one at each round, so that a batch does not come again soon.
            self._edits = np.roll(self._edits, 1, axis=0)
            self._place = 0
        edits = self._edits[self._place : self._place + self._batch]
        self._place += self._batch
        image = self._images[self._number % len(self._images)]
        self._number += 1
        return QueryBatch(
            images=image[np.newaxis],
            image_index=np.zeros(self._batch, np.int32),
            edits=edits,
            classes=np.zeros((self._batch, 1), np.int32),
        )
