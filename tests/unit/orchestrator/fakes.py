"""A target whose faults a test commands; its model is a few lines of arithmetic."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from pixelprobe_services.common.values import Fate
from pixelprobe_services.orchestrator.core.perturbation import apply_edits
from pixelprobe_services.orchestrator.store.base import QueryCount
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.targets.base import QueryBatch, Scores, Target, TargetInfo

INFO = TargetInfo(
    name="fake",
    width=8,
    height=6,
    classes=10,
    labels=(),
    sparse_queries=True,
    max_batch=40,
    max_in_flight=2,
)


class FakeTarget(Target):
    """Scores by the mean brightness; ``fault`` may raise before a batch is answered."""

    name = "fake"

    def __init__(
        self, fault: Callable[[int], None] | None = None, seconds: float = 0.0, info: TargetInfo = INFO
    ) -> None:
        self.batches: list[QueryBatch] = []
        self.answered = 0
        self.most_at_once = 0
        self._at_once = 0
        self._fault = fault
        self._seconds = seconds
        self._info = info

    async def describe(self) -> TargetInfo:
        return self._info

    async def check(self) -> TargetInfo:
        return self._info

    async def query(self, batch: QueryBatch) -> Scores:
        self.batches.append(batch)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(self._seconds)
            if self._fault:
                self._fault(len(self.batches))
        finally:
            self._at_once -= 1
        self.answered += len(batch)
        return score(batch, self._info.classes)

    async def close(self) -> None:
        pass


def score(batch: QueryBatch, classes: int = INFO.classes) -> Scores:
    """A softmax over so many shades of brightness, of each edited image."""
    images = apply_edits(batch.images, batch.image_index, batch.edits)
    brightness = images.reshape(len(images), -1).mean(axis=1, dtype=np.float64)
    logits = -np.abs(brightness[:, None] - np.linspace(0, 255, classes)) / 8
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    rows = np.arange(len(images))[:, None]
    return Scores(
        probabilities[rows, batch.classes].astype(np.float32),
        order.astype(np.int32),
        probabilities[rows, order].astype(np.float32),
    )


class ListLedger:
    """A ledger that notes what passes."""

    def __init__(self) -> None:
        self.reserved: list[QueryCount] = []
        self.settled: list[QueryCount] = []
        self.fates: Counter[Fate] = Counter()
        self.days: Counter[str] = Counter()

    async def reserve_queries(self, counts: Sequence[QueryCount]) -> None:
        self.reserved += counts

    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        if self.days[subject] + queries > most:
            raise DayUsedUpError(subject, most)
        self.days[subject] += queries

    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate) -> None:
        self.settled += counts
        self.fates[fate] += sum(count.queries for count in counts)

    @property
    def total(self) -> int:
        return sum(count.queries for count in self.reserved)
