"""The client's view of the segmentation service, and the hints that it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.masks import GrabCutOptions, Rectangle, Stroke

__all__ = ["GrabCutOptions", "Rectangle", "Segmentation", "Segmenter", "Stroke"]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segmentation service's answer for one image.

    Attributes:
        mask: (height, width) bool; True is foreground.
        area_fraction: the foreground's share of the image, 0 to 1.
        needs_review: a person should look at the mask before it is used.
        review_reason: why; empty when no review is needed.
        segmenter: id of the method that ran.
        choice_reason: why the service chose it; empty when the request named it.
        saliency: (height, width) uint8; None when not requested, or when the method makes none.
    """

    mask: NDArray[np.bool_]
    area_fraction: float
    needs_review: bool
    review_reason: str
    segmenter: str
    choice_reason: str = ""
    saliency: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Segmenter:
    """A method of the segmentation service."""

    id: str
    description: str
    available: bool
    unavailable_reason: str
    interactive: bool
