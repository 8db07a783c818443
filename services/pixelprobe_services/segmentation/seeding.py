"""Where GrabCut starts from: which pixels are foreground or background, surely or probably.

Maps are (height, width) uint8 of OpenCV's four classes: GC_BGD, GC_FGD, GC_PR_BGD, GC_PR_FGD.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.segmentation.base import GrabCutOptions, Rectangle, SegmentationStoppedError, Stroke

BORDER = 0.03
"""Sure background along each edge, as a share of the side: one pixel at 32x32."""

PROBABLE_AXES = (0.42, 0.36)
"""Half-axes (across, down) of the ellipse that is probably foreground, as shares of the sides."""

CORE_AXES = (0.18, 0.10)
"""Those of its core, which surely is foreground; of 0.10 to 0.18 each way, this looked best."""

UNDRAWN = 255
"""In a map of strokes: no stroke covers this pixel."""

_POINTS_A_LINE = 256
"""Points drawn between two checks of ``stop``: 0.1 s, if the stroke is wide and crosses a large image."""

Seeds = NDArray[np.uint8]


def seeds(height: int, width: int, options: GrabCutOptions, scale: float) -> Seeds:
    """The seeds of a working image of ``height`` x ``width``, ``scale`` times the one that was given.

    Without a rectangle the border is background and an ellipse in the middle probably foreground. A
    rectangle makes all outside of it background, and the ellipse that it encloses probably foreground. The
    core is surely foreground until a person says by strokes what is.
    """
    classes = np.full((height, width), cv2.GC_PR_BGD, dtype=np.uint8)
    if options.rectangle is None:
        border_y, border_x = max(1, round(BORDER * height)), max(1, round(BORDER * width))
        box = (border_x, border_y, width - border_x, height - border_y)
        frame, axes = (0.0, 0.0, float(width), float(height)), PROBABLE_AXES
    else:
        frame, axes = _scaled(options.rectangle, scale), (0.5, 0.5)
        box = _pixels(frame, width, height)
    classes[_ellipse(height, width, frame, axes)] = cv2.GC_PR_FGD
    if not any(stroke.foreground for stroke in options.strokes):
        classes[_ellipse(height, width, frame, CORE_AXES)] = cv2.GC_FGD
    left, top, right, bottom = box
    outside = np.ones((height, width), dtype=np.bool_)
    outside[top:bottom, left:right] = False
    classes[outside] = cv2.GC_BGD
    drawn = draw(options.strokes, height, width, scale)
    return np.where(drawn == UNDRAWN, classes, drawn)


def draw(
    strokes: Sequence[Stroke],
    height: int,
    width: int,
    scale: float = 1.0,
    stop: threading.Event | None = None,
) -> Seeds:
    """Strokes on an image ``scale`` times theirs: GC_FGD, GC_BGD or UNDRAWN; later ones win.

    Raises:
        SegmentationStoppedError: ``stop`` was set meanwhile.
    """
    drawn = np.full((height, width), UNDRAWN, dtype=np.uint8)
    for stroke in strokes:
        # Pixel (x, y) covers [x, x + 1); its centre is what is scaled.
        points = np.floor((np.array(stroke.points, dtype=np.float64) + 0.5) * scale).astype(np.int32)
        if len(points) == 1:  # OpenCV draws nothing; a line to itself is a dot.
            points = np.repeat(points, 2, axis=0)
        colour = cv2.GC_FGD if stroke.foreground else cv2.GC_BGD
        # Past 1, OpenCV draws one or two pixels more than asked for.
        thickness = max(1, round(stroke.width * scale) - 1)
        for start in range(0, len(points) - 1, _POINTS_A_LINE):
            if stop and stop.is_set():
                raise SegmentationStoppedError
            line = points[start : start + _POINTS_A_LINE + 1].reshape(-1, 1, 2)
            cv2.polylines(drawn, [line], isClosed=False, color=colour, thickness=thickness)
    return drawn


def _scaled(rectangle: Rectangle, scale: float) -> tuple[float, float, float, float]:
    return (
        rectangle.left * scale,
        rectangle.top * scale,
        rectangle.right * scale,
        rectangle.bottom * scale,
    )


def _pixels(frame: tuple[float, float, float, float], width: int, height: int) -> tuple[int, int, int, int]:
    left, top = min(round(frame[0]), width - 1), min(round(frame[1]), height - 1)
    return left, top, max(left + 1, round(frame[2])), max(top + 1, round(frame[3]))


def _ellipse(
    height: int, width: int, frame: tuple[float, float, float, float], axes: tuple[float, float]
) -> NDArray[np.bool_]:
    """The pixels within the ellipse in the middle of ``frame``; ``axes`` are shares of the frame's sides."""
    left, top, right, bottom = frame
    x = ((np.arange(width) + 0.5 - (left + right) / 2) / (axes[0] * (right - left)))[None, :]
    y = ((np.arange(height) + 0.5 - (top + bottom) / 2) / (axes[1] * (bottom - top)))[:, None]
    inside: NDArray[np.bool_] = x**2 + y**2 <= 1.0
    return inside
