"""Many images beside their masks on one page, for a person to look over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixelprobe.inputs.images import MASK_THRESHOLD
from pixelprobe.results.drawing import (
    ALARM,
    FAINT,
    INK,
    OUTLINE,
    PAPER,
    SHADE,
    enlarge,
    fit,
    overlay,
    scale_for,
    write,
)

SIDE = 224
"""Of an image on the sheet, in pixels; larger ones are reduced."""

ACROSS = 3
_MARGIN, _GAP, _TEXT = 24, 10, 48


@dataclass(frozen=True, eq=False)
class Entry:
    """An image, (height, width, 3) uint8, its mask where it has one, and what to write below."""

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None
    headline: str
    detail: str
    alarm: bool = False


def review_sheet(title: str, subtitle: str, entries: Sequence[Entry]) -> Image.Image:
    """The sheet: each image as it is, and beside it with its background dimmed and the border drawn."""
    cell_width, cell_height = 2 * SIDE + 3 * _GAP, SIDE + _TEXT + _GAP
    across = max(2, min(ACROSS, len(entries)))  # room for the title
    rows = -(-len(entries) // across)
    top = _MARGIN + 64
    size = (2 * _MARGIN + across * cell_width, top + rows * cell_height + _MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    write(pen, (_MARGIN, _MARGIN - 4), fit(title, 24, size[0] - 2 * _MARGIN), 24)
    write(pen, (_MARGIN, _MARGIN + 28), fit(subtitle, 16, size[0] - 2 * _MARGIN), 16, FAINT)
    for number, entry in enumerate(entries):
        left = _MARGIN + number % across * cell_width
        _draw(sheet, pen, (left, top + number // across * cell_height), entry)
    return sheet


def _draw(sheet: Image.Image, pen: ImageDraw.ImageDraw, at: tuple[int, int], entry: Entry) -> None:
    left, top = at
    pixels, mask = _fitted(entry.pixels, entry.mask)
    scale = scale_for(pixels, SIDE)
    panels = [enlarge(pixels, scale), None if mask is None else overlay(pixels, mask, scale)]
    for number, panel in enumerate(panels):
        x = left + number * (SIDE + _GAP)
        frame = ALARM if entry.alarm else OUTLINE
        pen.rectangle((x - 1, top - 1, x + SIDE, top + SIDE), fill=SHADE, outline=frame)
        if panel is None:
            write(pen, (x + SIDE / 2, top + SIDE / 2 - 8), "no mask", 16, FAINT, centred=True)
        else:
            sheet.paste(panel, (x + (SIDE - panel.width) // 2, top + (SIDE - panel.height) // 2))
    width = 2 * SIDE + _GAP
    write(pen, (left, top + SIDE + 6), fit(entry.headline, 16, width), 16, INK)
    colour = ALARM if entry.alarm else FAINT
    write(pen, (left, top + SIDE + 27), fit(entry.detail, 14, width), 14, colour)


def _fitted(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Both reduced so that the longer side is at most SIDE."""
    height, width = pixels.shape[:2]
    if max(height, width) <= SIDE:
        return pixels, mask
    factor = SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BOX), dtype=np.uint8)
    if mask is None:
        return small, None
    grey = Image.fromarray(np.where(mask, np.uint8(255), np.uint8(0))).resize(size, Image.Resampling.BOX)
    return small, np.asarray(grey, dtype=np.uint8) > MASK_THRESHOLD
