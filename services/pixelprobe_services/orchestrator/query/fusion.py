"""Merging several attacks' queries into one request, and splitting its answer. Arrays without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import Pixels
from pixelprobe_services.orchestrator.targets.base import QueryBatch, Scores


@dataclass(frozen=True, eq=False)
class Ask:
    """Queries of one attack on one image.

    Attributes:
        image: (height, width, 3) uint8 RGB, the clean image; equal digests mean equal images.
        edits: (n, k, 5) int16.
        classes: (c,) int32, the classes whose probabilities are wanted.
    """

    image: Pixels
    image_digest: str
    edits: NDArray[np.int16]
    classes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.edits)

    def rows(self, start: int, stop: int) -> Ask:
        """The queries from ``start`` to before ``stop``."""
        return Ask(self.image, self.image_digest, self.edits[start:stop], self.classes)


def fuse(asks: Sequence[Ask]) -> QueryBatch:
    """One batch with all queries of ``asks``, in order; equal images travel once.

    Where asks differ in k or in the number of classes the shorter are padded with repetitions of their
    last edit or class, which changes no image and no answer.
    """
    digests = {ask.image_digest: ask.image for ask in asks}
    place = {digest: index for index, digest in enumerate(digests)}
    widest = max(ask.edits.shape[1] for ask in asks)
    most_classes = max(len(ask.classes) for ask in asks)
    edits = [
        np.pad(ask.edits, ((0, 0), (0, widest - ask.edits.shape[1]), (0, 0)), mode="edge") for ask in asks
    ]
    classes = [
        np.broadcast_to(
            np.pad(ask.classes, (0, most_classes - len(ask.classes)), mode="edge"),
            (len(ask), most_classes),
        )
        for ask in asks
    ]
    return QueryBatch(
        images=np.stack(list(digests.values())),
        image_index=np.repeat(
            np.array([place[ask.image_digest] for ask in asks], dtype=np.int32), [len(ask) for ask in asks]
        ),
        edits=np.concatenate(edits),
        classes=np.concatenate(classes),
    )


def split(scores: Scores, asks: Sequence[Ask]) -> list[Scores]:
    """The answer to ``fuse(asks)``, cut into one answer per ask."""
    answers: list[Scores] = []
    start = 0
    for ask in asks:
        part = scores[start : start + len(ask)]
        answers.append(
            Scores(
                part.class_probabilities[:, : len(ask.classes)],
                part.top_classes,
                part.top_probabilities,
            )
        )
        start += len(ask)
    return answers


def join(parts: Sequence[Scores]) -> Scores:
    """The answers to consecutive parts of one ask, as one."""
    return Scores(
        np.concatenate([part.class_probabilities for part in parts]),
        np.concatenate([part.top_classes for part in parts]),
        np.concatenate([part.top_probabilities for part in parts]),
    )
