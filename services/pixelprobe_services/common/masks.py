"""Values that the client and the segmentation service share: hints drawn by a person, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

SaliencyMap = NDArray[np.uint8]
"""(height, width) uint8: how much each pixel stands out, 0 to 255."""

MAX_ITERATIONS = 50
MAX_STROKE_WIDTH = 64
MAX_STROKES = 1000
MAX_POINTS = 100_000
"""Of all strokes of a request together."""


@dataclass(frozen=True)
class Rectangle:
    """A rectangle around the object, in pixels of the image; ``right`` and ``bottom`` are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Stroke:
    """A polyline drawn by hand over the foreground or the background.

    Attributes:
        foreground: what it covers.
        points: (x, y) in pixels, at least one; a single point is a dot.
        width: diameter in pixels.
    """

    foreground: bool
    points: tuple[tuple[int, int], ...]
    width: int = 1


@dataclass(frozen=True)
class GrabCutOptions:
    """Hints for GrabCut. Later strokes win over earlier ones, and any stroke over an automatic seed."""

    field: ClassVar = "grabcut"
    """The request's field that carries them."""

    rectangle: Rectangle | None = None
    strokes: tuple[Stroke, ...] = ()
    iterations: int = 4


@dataclass(frozen=True)
class SalientOptions:
    """Options of U2-Net: a pixel is foreground where its saliency exceeds ``threshold``, in (0, 1)."""

    field: ClassVar = "salient"
    """The request's field that carries them."""

    threshold: float = 0.5


Options = GrabCutOptions | SalientOptions
