"""Draw figures of attacks: one enlarged with its changed pixels ringed, and a contact sheet of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixelprobe.model import Edit
from pixelprobe.results.captions import percent
from pixelprobe.results.drawing import (
    ALARM,
    ARROW,
    FAINT,
    INK,
    OUTLINE,
    PAPER,
    SHADE,
    Colour,
    enlarge,
    fit,
    overlay,
    ring,
    scale_for,
    text_width,
    write,
)

PANEL_SIDE = 448
CELL_SIDE = 128
_MARGIN = 24
_GAP = 16


def apply_edits(pixels: NDArray[np.uint8], edits: Sequence[Edit]) -> NDArray[np.uint8]:
    """The image, (height, width, 3) uint8, with exactly these pixels replaced."""
    changed = pixels.copy()
    for edit in edits:
        changed[edit.y, edit.x] = (edit.red, edit.green, edit.blue)
    return changed


def attack_figure(
    clean: NDArray[np.uint8],
    edits: Sequence[Edit],
    mask: NDArray[np.bool_] | None,
    *,
    title: str,
    subtitle: str,
    before: str,
    after: str,
) -> Image.Image:
    """Draw one attack enlarged: the clean image, its mask where there is one, the adversarial one with rings.

    Args:
        clean: (height, width, 3) uint8.
        edits: the changed pixels.
        mask: (height, width) bool or None.
        title: which attack this is.
        subtitle: how it ended.
        before: class and probability of the clean image.
        after: the same of the adversarial one.
    """
    scale = scale_for(clean, PANEL_SIDE)
    panels = [("clean", before, enlarge(clean, scale))]
    if mask is not None:
        share = f"foreground {percent(float(mask.mean()))} of the area"
        panels.append(("mask", share, overlay(clean, mask, scale)))
    changed = enlarge(apply_edits(clean, edits), scale)
    panels.append(("adversarial", after, changed))

    panel_width, panel_height = changed.size
    column = max(panel_width, 200)
    width = 2 * _MARGIN + len(panels) * column + (len(panels) - 1) * _GAP
    width = int(max(width, 2 * _MARGIN + text_width(title, 22), 2 * _MARGIN + text_width(subtitle, 16)))
    top = _MARGIN + 64
    below = top + panel_height + 62
    figure = Image.new("RGB", (width, below + 26 * len(edits) + _MARGIN), PAPER)
    pen = ImageDraw.Draw(figure)
    write(pen, (_MARGIN, _MARGIN - 6), title, 22)
    write(pen, (_MARGIN, _MARGIN + 26), subtitle, 16, FAINT)
    for number, (name, caption, panel) in enumerate(panels):
        left = _MARGIN + number * (column + _GAP)
        pen.rectangle((left - 1, top - 1, left + panel_width, top + panel_height), outline=OUTLINE)
        figure.paste(panel, (left, top))
        write(pen, (left, top + panel_height + 8), fit(caption, 18, column), 18)
        write(pen, (left, top + panel_height + 32), name, 14, FAINT)
    ring(figure, edits, scale, (_MARGIN + (len(panels) - 1) * (column + _GAP), top))
    for number, edit in enumerate(edits):
        _edit_line(pen, below + 26 * number, edit, clean)
    return figure


def _edit_line(pen: ImageDraw.ImageDraw, top: int, edit: Edit, clean: NDArray[np.uint8]) -> None:
    old: Colour = tuple(int(v) for v in clean[edit.y, edit.x])  # type: ignore[assignment]
    new: Colour = (edit.red, edit.green, edit.blue)
    write(pen, (_MARGIN, top), f"pixel ({edit.x}, {edit.y})", 15)
    x = _MARGIN + 130
    for colour, text in ((old, f"#{bytes(old).hex()}  {ARROW}"), (new, f"#{bytes(new).hex()}")):
        pen.rectangle((x, top, x + 18, top + 18), fill=colour, outline=FAINT)
        write(pen, (x + 26, top), text, 15)
        x += 130


@dataclass(frozen=True)
class Cell:
    """A cell of a contact sheet: an image with two lines below; ``image`` None is an empty, shaded square.

    ``edits`` are ringed, ``scale`` being a pixel's side in ``image``; they call for a red frame.
    """

    image: Image.Image | None
    headline: str = ""
    detail: str = ""
    edits: tuple[Edit, ...] = ()
    scale: int = 1


def clean_cell(pixels: NDArray[np.uint8], headline: str, detail: str = "") -> Cell:
    """An image as it is."""
    return Cell(enlarge(pixels, scale_for(pixels, CELL_SIDE)), headline, detail)


def mask_cell(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Cell:
    """An image with its mask."""
    drawn = overlay(pixels, mask, scale_for(pixels, CELL_SIDE))
    return Cell(drawn, f"{percent(float(mask.mean()))} foreground")


def success_cell(pixels: NDArray[np.uint8], edits: Sequence[Edit], headline: str, detail: str) -> Cell:
    """An adversarial image: ``pixels`` is the clean one."""
    scale = scale_for(pixels, CELL_SIDE)
    return Cell(enlarge(apply_edits(pixels, edits), scale), headline, detail, tuple(edits), scale)


def contact_sheet(
    title: str,
    subtitle: str,
    groups: Sequence[tuple[str, Sequence[str]]],
    rows: Sequence[Sequence[Cell]],
    legend: str,
) -> Image.Image:
    """Draw many images in a grid: a row each, columns in named groups.

    Args:
        title: the first line.
        subtitle: the second.
        groups: (name, names of its columns), left to right.
        rows: the cells, as many a row as there are columns in all.
        legend: the last line.
    """
    side = max([CELL_SIDE, *(max(cell.image.size) for row in rows for cell in row if cell.image)])
    cell_width, cell_height = side + 12, side + 50
    group_gap = 26
    columns = sum(len(names) for _, names in groups)
    top = _MARGIN + 112
    width = 2 * _MARGIN + columns * cell_width + (len(groups) - 1) * group_gap
    sheet = Image.new("RGB", (width, top + len(rows) * cell_height + _MARGIN + 30), PAPER)
    pen = ImageDraw.Draw(sheet)
    write(pen, (_MARGIN, _MARGIN - 4), title, 28)
    write(pen, (_MARGIN, _MARGIN + 34), subtitle, 17, FAINT)

    lefts: list[int] = []
    x = _MARGIN
    for name, names in groups:
        span = len(names) * cell_width - 12
        write(pen, (x + span / 2, top - 50), name, 19, centred=True)
        pen.line((x, top - 25, x + span, top - 25), fill=INK, width=2)
        for number, column in enumerate(names):
            left = x + number * cell_width
            write(pen, (left + side / 2, top - 21), column, 14, FAINT, centred=True)
            lefts.append(left)
        x += len(names) * cell_width + group_gap

    for number, row in enumerate(rows):
        for left, cell in zip(lefts, row, strict=True):
            _draw_cell(sheet, pen, (left, top + number * cell_height), side, cell)
    write(pen, (_MARGIN, sheet.height - _MARGIN - 12), legend, 15, FAINT)
    return sheet


def _draw_cell(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, at: tuple[int, int], side: int, cell: Cell
) -> None:
    left, top = at
    centre = left + side / 2
    if cell.image is None:
        pen.rectangle((left, top, left + side - 1, top + side - 1), fill=SHADE)
        colour, below = FAINT, top + side / 2 - 20
    else:
        corner = (left + (side - cell.image.width) // 2, top + (side - cell.image.height) // 2)
        colour, frame, width = (ALARM, ALARM, 3) if cell.edits else (INK, OUTLINE, 1)
        below = top + side
        pen.rectangle((left - width, top - width, left + side - 1 + width, below - 1 + width), frame)
        pen.rectangle((left, top, left + side - 1, below - 1), SHADE)
        sheet.paste(cell.image, corner)
        ring(sheet, cell.edits, cell.scale, corner)
    write(pen, (centre, below + 5), fit(cell.headline, 14, side + 8), 14, colour, centred=True)
    write(pen, (centre, below + 23), fit(cell.detail, 12, side + 8), 12, FAINT, centred=True)
