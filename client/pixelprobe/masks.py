"""What the client and the segmentation service tell each other, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class StrokeKind(StrEnum):
    """What a person says a stroke covers."""

    FOREGROUND = "foreground"
    BACKGROUND = "background"


class Rectangle(NamedTuple):
    """In pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True)
class Stroke:
    """A line drawn by hand: (x, y) points in pixels, and its diameter."""

    kind: StrokeKind
    points: tuple[tuple[int, int], ...]
    width: int = 1


@dataclass(frozen=True)
class GrabCutHints:
    """What a person tells GrabCut. ``iterations`` 0 is the server's default."""

    rectangle: Rectangle | None = None
    strokes: tuple[Stroke, ...] = ()
    iterations: int = 0


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A mask, (height, width) bool with True as foreground, and whether a person should look at it."""

    mask: NDArray[np.bool_]
    area_fraction: float
    needs_review: bool
    review_reason: str
    segmenter: str
    choice_reason: str = ""
    """Why the service chose that one; empty when it was named."""
    saliency: NDArray[np.uint8] | None = None
    """(height, width), 0 to 255; None when it was not asked for, or that method makes none."""


@dataclass(frozen=True)
class Segmenter:
    """A method of the segmentation service."""

    id: str
    description: str
    available: bool
    unavailable_reason: str
    interactive: bool
