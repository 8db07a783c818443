"""The contract of segmenters: an image and hints in, a foreground mask out."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass

from pixelprobe_services.common.masks import (
    GrabCutOptions,
    Options,
    Rectangle,
    SaliencyMap,
    SalientOptions,
    Stroke,
)
from pixelprobe_services.common.values import MaskArray, Pixels

__all__ = [
    "Cut", "GrabCutOptions", "MaskArray", "Options", "Pixels", "Rectangle", "SaliencyMap", "SalientOptions",
    "Segmentation", "SegmentationStoppedError", "Segmenter", "Stroke",
]  # fmt: skip


class SegmentationStoppedError(Exception):
    """The request was cancelled; the work was given up between two steps."""


@dataclass(frozen=True, eq=False)
class Cut:
    """What a segmenter makes of an image; ``saliency`` is None where its method has none."""

    mask: MaskArray
    saliency: SaliencyMap | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A mask, and how it was made.

    Attributes:
        mask: (height, width) bool, True is foreground.
        area_fraction: the foreground's share of the image, 0 to 1.
        review_reason: why a person should look before it is trusted, in words; empty when none need.
        segmenter: id of the segmenter that ran.
        choice_reason: why that one, in words; empty when it was asked for by name.
        saliency: (height, width) uint8, or None where there is none.
    """

    mask: MaskArray
    area_fraction: float
    review_reason: str
    segmenter: str
    choice_reason: str = ""
    saliency: SaliencyMap | None = None

    @property
    def needs_review(self) -> bool:
        """Whether a person should look at the mask before it is trusted."""
        return bool(self.review_reason)


class Segmenter(ABC):
    """A method of segmentation. Called from several threads at once; the same input gives the same mask."""

    id: str
    description: str
    interactive: bool
    """It takes rectangles and strokes."""

    options: type[Options]
    """The kind of options it takes."""

    waits: bool = False
    """It spends its time waiting for another server, and so must not take a worker of the others."""

    @abstractmethod
    def unavailable_reason(self) -> str:
        """Why it cannot be used now; empty when it can. May wait a few seconds for another server."""

    @abstractmethod
    def segment(self, image: Pixels, options: Options | None, stop: threading.Event) -> Cut:
        """The foreground of ``image``; ``options`` is of the class's own kind, or None for its defaults.

        Raises:
            FailedPreconditionError: it cannot be used now.
            UnavailableError: a server that it needs does not answer, or not in time.
            SegmentationStoppedError: ``stop`` was set meanwhile.
        """
