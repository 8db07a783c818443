"""What every way of splitting an image keeps to: an image and hints in, a foreground mask out."""

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
    """Nobody waits for this mask any more; the work was given up between two steps."""


@dataclass(frozen=True, eq=False)
class Cut:
    """What a segmenter makes of an image; ``saliency`` is None where its method has none."""

    mask: MaskArray
    saliency: SaliencyMap | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A mask and what became of it.

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
    """One way of splitting images. Called from several threads at once; same input, same mask."""

    id: str
    description: str
    interactive: bool
    """It takes rectangles and strokes."""

    options: type[Options]
    """The kind of options it takes."""

    waits: bool = False
    """Its time goes into waiting for another server, whose troubles must not hold up the others."""

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
