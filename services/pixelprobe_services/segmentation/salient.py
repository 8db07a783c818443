"""Salient object detection (U2-Net, Qin et al., 2020): the image's own size in and out of the model's.

The model runs in Triton (see :mod:`~pixelprobe_services.segmentation.saliency_server`); this module fits an
image to it and turns its answer into a mask, as the paper's authors do: min-max scaled, resized back, cut
at a threshold.
"""

from __future__ import annotations

import threading
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.segmentation.base import Cut, Options, Pixels, SalientOptions, Segmenter

MODEL_SIDE = 320
"""The model takes squares of this many pixels a side."""


class SaliencyModel(Protocol):
    """A model of saliency. Called from several threads at once."""

    def unavailable_reason(self) -> str:
        """Why it cannot be asked now; empty when it can."""

    def query(self, images: NDArray[np.uint8], stop: threading.Event) -> NDArray[np.float32]:
        """Raw saliency, (n, 320, 320) float32 of any range, of (n, 320, 320, 3) uint8 RGB.

        Raises:
            FailedPreconditionError: it is not there, or is another model than expected.
            UnavailableError: it does not answer, or not in time.
            SegmentationStoppedError: ``stop`` was set meanwhile.
        """


class Salient(Segmenter):
    """Cuts out what stands out, by a model that is asked."""

    id = "u2net"
    description = "Salient object detection (U2-Net, Qin et al., 2020), for photographs"
    interactive = False
    options = SalientOptions
    waits = True

    def __init__(self, model: SaliencyModel) -> None:
        self._model = model

    def unavailable_reason(self) -> str:
        """The model's."""
        return self._model.unavailable_reason()

    def segment(self, image: Pixels, options: Options | None, stop: threading.Event) -> Cut:
        """See the base class. Where nothing stands out (saliency the same all over) there is no foreground.

        Raises:
            ServiceError: the model answered NaN or infinity (SEGMENTATION_FAILED).
        """
        threshold = (options if isinstance(options, SalientOptions) else SalientOptions()).threshold
        (raw,) = self._model.query(to_model(image)[None], stop)
        if not np.isfinite(raw).all():
            raise ServiceError("U2-Net answered NaN or infinity", reason="SEGMENTATION_FAILED")
        saliency = from_model(raw, *image.shape[:2])
        return Cut(saliency > threshold, np.rint(saliency * 255).astype(np.uint8))


def to_model(image: Pixels) -> Pixels:
    """The image as (320, 320, 3) uint8, its proportions given up as in training."""
    # Averages where it shrinks, so that no detail turns into noise.
    interpolation = cv2.INTER_AREA if min(image.shape[:2]) > MODEL_SIDE else cv2.INTER_LINEAR
    resized = cv2.resize(image, (MODEL_SIDE, MODEL_SIDE), interpolation=interpolation)
    return resized.astype(np.uint8, copy=False)


def from_model(raw: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Raw saliency, (320, 320), scaled to [0, 1] and resized to (height, width)."""
    low, high = float(raw.min()), float(raw.max())
    if high <= low:
        return np.zeros((height, width), np.float32)
    scaled = (raw.astype(np.float64) - low) / (high - low)
    resized = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR)
    saliency: NDArray[np.float32] = resized.clip(0, 1).astype(np.float32)
    return saliency
