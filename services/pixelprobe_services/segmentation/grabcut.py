"""GrabCut (Rother et al., 2004, with OpenCV) that works on images as small as 32x32.

With no more than a rectangle GrabCut leaves most CIFAR-10 images without any foreground: there are too few
pixels to learn two colour models from. So the image is enlarged first, and ``seeding`` says more.
"""

from __future__ import annotations

import threading

import cv2
import numpy as np

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.segmentation.base import (
    Cut,
    GrabCutOptions,
    MaskArray,
    Options,
    Pixels,
    SegmentationStoppedError,
    Segmenter,
)
from pixelprobe_services.segmentation.seeding import Seeds, draw, seeds

WORKING_SHORT_SIDE = 128
"""A smaller image is enlarged until its shorter side has this many pixels (4x at 32x32)."""

WORKING_LONG_SIDE = 256
"""A larger image is reduced until its longer side has: its time would grow, its mask hardly change."""

_SEED = 1
_NO_RECTANGLE = (0, 0, 0, 0)
_FOREGROUND = (cv2.GC_FGD, cv2.GC_PR_FGD)
_BACKGROUND = (cv2.GC_BGD, cv2.GC_PR_BGD)


class GrabCut(Segmenter):
    """GrabCut, automatic or with a person's rectangle and strokes."""

    id = "grabcut"
    description = "GrabCut (Rother et al., 2004): automatic, or by rectangle and strokes"
    interactive = True
    options = GrabCutOptions

    def unavailable_reason(self) -> str:
        """Always available: OpenCV comes with the service."""
        return ""

    def segment(self, image: Pixels, options: Options | None, stop: threading.Event) -> Cut:
        """See the base class. An image of one colour has no foreground but what strokes say.

        Raises:
            ServiceError: OpenCV refused the image (SEGMENTATION_FAILED).
            SegmentationStoppedError: ``stop`` was set meanwhile.
        """
        hints = options if isinstance(options, GrabCutOptions) else GrabCutOptions()
        height, width = image.shape[:2]
        if (image == image[0, 0]).all():
            mask = np.zeros((height, width), dtype=np.bool_)
        else:
            mask = _segment(image, hints, stop)
        drawn = draw(hints.strokes, height, width, stop=stop)
        mask[drawn == cv2.GC_FGD] = True
        mask[drawn == cv2.GC_BGD] = False
        return Cut(mask)


def working_scale(height: int, width: int) -> float:
    """How much to enlarge (> 1) or reduce (< 1) an image before cutting; 1 leaves it alone."""
    enlarged = max(1.0, WORKING_SHORT_SIDE / min(height, width))
    return min(enlarged, WORKING_LONG_SIDE / max(height, width))


def _segment(image: Pixels, hints: GrabCutOptions, stop: threading.Event) -> MaskArray:
    height, width = image.shape[:2]
    scale = working_scale(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    working = cv2.resize(image, size, interpolation=interpolation).astype(np.uint8, copy=False)
    found = _cut(working, seeds(size[1], size[0], hints, scale), hints.iterations, stop)
    # Back down, each pixel takes the majority of the area that it covers.
    interpolation = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    mask: MaskArray = (
        cv2.resize(found.astype(np.float32), (width, height), interpolation=interpolation) >= 0.5
    )
    return mask


def _cut(working: Pixels, classes: Seeds, iterations: int, stop: threading.Event) -> MaskArray:
    """Run GrabCut; True is foreground. The same seeds give the same mask, whatever else is running."""
    # OpenCV refuses to learn a model from nothing; without either kind there is nothing to cut.
    if not np.isin(classes, _FOREGROUND).any():
        return np.zeros(classes.shape, dtype=np.bool_)
    if not np.isin(classes, _BACKGROUND).any():
        return np.ones(classes.shape, dtype=np.bool_)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    # The colour models start from k-means, which draws from this thread's own generator.
    cv2.setRNGSeed(_SEED)
    mode = cv2.GC_INIT_WITH_MASK
    try:
        # One iteration a call, so that a cancelled request is noticed in between.
        for _ in range(iterations):
            if stop.is_set():
                raise SegmentationStoppedError
            cv2.grabCut(working, classes, _NO_RECTANGLE, background, foreground, 1, mode)
            mode = cv2.GC_EVAL
    except cv2.error as error:
        raise ServiceError(f"GrabCut failed: {error.err}", reason="SEGMENTATION_FAILED") from error
    return np.isin(classes, _FOREGROUND)
