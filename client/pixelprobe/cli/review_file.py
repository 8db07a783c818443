"""Review masks: a sheet of images beside their masks, and a TOML file for the verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixelprobe.campaigns.toml_keys import Keys
from pixelprobe.cli.hints import POINTS_FORM, RECTANGLE_FORM, Points, make_hints, read_points, read_rectangle
from pixelprobe.cli.segment_folder import Segmented
from pixelprobe.inputs.images import MASK_THRESHOLD
from pixelprobe.masks import GrabCutOptions, Rectangle
from pixelprobe.results.captions import percent
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


T = TypeVar("T")


class Verdict(StrEnum):
    """What becomes of a mask."""

    ACCEPT = "accept"
    REJECT = "reject"
    REDO = "redo"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Decision:
    """A verdict on the mask of that id; ``hints`` come with "redo" and with nothing else."""

    verdict: Verdict
    mask_id: str
    hints: GrabCutOptions | None = None


HEADER = """\
# Verdicts on the masks of this folder. Look at {sheet} and set for each image:
#   verdict = "accept"      the mask is good
#   verdict = "reject"      no mask can be had; the image gets none
#   verdict = "redo"        cut it again by GrabCut with what you draw, in pixels of the image:
#       rectangle = "L,T,R,B"                   # the object lies inside; right and bottom are exclusive
#       foreground_strokes = ["X,Y X,Y ..."]    # lines on the object
#       background_strokes = ["X,Y X,Y ..."]    # lines behind it
#       stroke_width = 1                        # diameter of the lines, 1 to 64
#       iterations = 4                          # rounds of GrabCut, 1 to 50
# Leave the lines "mask" as they are: a verdict holds for that mask only.
# What is left "undecided" gets no mask yet. Then run `pixelprobe segment review` with --apply on this folder.
"""


def review_text(images: Mapping[str, Segmented], mask_ids: Mapping[str, str], sheet: str) -> str:
    """Return the text of the file for these images; masks that need no review are accepted already."""
    parts = [HEADER.format(sheet=sheet)]
    for name, each in images.items():
        verdict = Verdict.UNDECIDED if each.needs_review else Verdict.ACCEPT
        remark = f"{each.width} x {each.height} pixels, {each.segmenter}, "
        remark += f"{percent(each.area_fraction)} foreground"
        if each.needs_review:
            remark += f"; to look at: {each.review_reason}"
        # A JSON string is a TOML string, but for one character that JSON leaves as it is.
        key = json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
        lines = (
            f"[images.{key}]",
            f"# {' '.join(remark.split())}",
            f'mask = "{mask_ids[name]}"',
            f'verdict = "{verdict.value}"\n',
        )
        parts.append("\n".join(lines))
    return "\n".join(parts)


def read_review(path: Path, images: Mapping[str, Segmented]) -> dict[str, Decision]:
    """What a person decided on each of ``images``.

    Raises:
        SpecError: no such file, no TOML, or something in it is wrong; file and key are named.
    """
    keys = Keys.of_file(path)
    tables = keys.table("images")
    decisions = {name: _decision(tables.table(name), each) for name, each in images.items()}
    tables.finish()
    keys.finish()
    return decisions


def _decision(keys: Keys, image: Segmented) -> Decision:
    verdict = Verdict(keys.text("verdict", choices=[each.value for each in Verdict]))
    mask_id = keys.text("mask", expected="the id that was written there")
    hints = _hints(keys, image)
    keys.finish()
    if verdict is Verdict.REDO and hints is None:
        raise keys.error("verdict", "a rectangle or strokes along with it", verdict.value)
    if verdict is not Verdict.REDO and hints is not None:
        raise keys.error("verdict", '"redo" where something is drawn', verdict.value)
    return Decision(verdict, mask_id, hints)


def _hints(keys: Keys, image: Segmented) -> GrabCutOptions | None:
    text = keys.optional_text("rectangle", RECTANGLE_FORM)
    rectangle = None if text is None else _read(keys, "rectangle", text, read_rectangle)
    if rectangle is not None and not _holds(image, rectangle):
        raise keys.error("rectangle", f"one inside {image.width} x {image.height} pixels", text)
    foreground, background = (
        _strokes(keys, f"{kind}_strokes", image) for kind in ("foreground", "background")
    )
    return make_hints(
        rectangle,
        foreground,
        background,
        keys.integer("stroke_width", 1, 1, 64),
        keys.optional_integer("iterations", None, 1, 50),
    )


def _strokes(keys: Keys, key: str, image: Segmented) -> list[Points]:
    strokes = []
    for number, text in enumerate(keys.texts(key, (), expected=POINTS_FORM, optional=True)):
        place = f"{key}[{number}]"
        points = _read(keys, place, text, read_points)
        if any(x >= image.width or y >= image.height for x, y in points):
            raise keys.error(place, f"points inside {image.width} x {image.height} pixels", text)
        strokes.append(points)
    return strokes


def _read(keys: Keys, key: str, text: str, reader: Callable[[str], T]) -> T:
    try:
        return reader(text)
    except ValueError as error:
        form = RECTANGLE_FORM if key == "rectangle" else POINTS_FORM
        raise keys.error(key, form, text) from error


def _holds(image: Segmented, rectangle: Rectangle) -> bool:
    return rectangle.right <= image.width and rectangle.bottom <= image.height
