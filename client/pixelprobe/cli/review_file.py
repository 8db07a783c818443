"""Review masks: a sheet of images beside their masks, and a TOML file for the verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import Field, PlainValidator, ValidationInfo

from pixelprobe.campaigns.spec_file import SpecError
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
from pixelprobe_services.common.masks import MAX_ITERATIONS, MAX_STROKE_WIDTH
from pixelprobe_services.common.toml import FileError, read_toml
from pixelprobe_services.common.validation import (
    DISTINCT,
    FileModel,
    Text,
    Whole,
    check,
    expected,
    key_path,
    shown,
    unknown_key,
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
    """Draw each image as it is, and beside it with its background dimmed and the border drawn."""
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
    """Reduce both so that the longer side is at most SIDE."""
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


class Verdict(StrEnum):
    """The decision on a mask."""

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
    """Return the decision on each of ``images``.

    Raises:
        SpecError: the file cannot be read or is invalid; its path and the key are named.
    """
    try:
        tables = check(_Review, read_toml(path), path).images
        for name in tables.keys() - images.keys():
            raise FileError(f"{path}: {unknown_key('images', name, images)}")
        return {name: _decision(path, name, tables.get(name, {}), each) for name, each in images.items()}
    except FileError as error:
        raise SpecError(str(error)) from error


def _rectangle(value: Any, info: ValidationInfo[Segmented]) -> Rectangle:
    image = info.context
    try:
        rectangle = read_rectangle(value) if isinstance(value, str) else None
    except ValueError:
        rectangle = None
    if rectangle is None:
        raise expected(RECTANGLE_FORM)
    if rectangle.right > image.width or rectangle.bottom > image.height:
        raise expected(f"one inside {image.width} x {image.height} pixels")
    return rectangle


def _points(value: Any, info: ValidationInfo[Segmented]) -> Points:
    image = info.context
    try:
        points = read_points(value) if isinstance(value, str) else ()
    except ValueError:
        points = ()
    if not points:
        raise expected(POINTS_FORM)
    if any(x >= image.width or y >= image.height for x, y in points):
        raise expected(f"points inside {image.width} x {image.height} pixels")
    return points


_Strokes = Annotated[
    tuple[Annotated[Any, PlainValidator(_points)], ...],
    DISTINCT,
    Field(description=f"a list of {POINTS_FORM}"),
]


class _Verdict(FileModel):
    verdict: Verdict
    mask: Annotated[Text, Field(description="the id that was written there")]
    rectangle: Annotated[Rectangle | None, PlainValidator(_rectangle)] = None
    foreground_strokes: _Strokes = ()
    background_strokes: _Strokes = ()
    stroke_width: Annotated[Whole, Field(ge=1, le=MAX_STROKE_WIDTH)] = 1
    iterations: Annotated[Whole, Field(ge=1, le=MAX_ITERATIONS)] | None = None


class _Review(FileModel):
    images: dict[str, Any] = Field(default_factory=dict)


def _decision(path: Path, name: str, table: Any, image: Segmented) -> Decision:
    at = key_path("images", name)
    given = check(_Verdict, table, path, at=at, context=image)
    hints = make_hints(
        given.rectangle,
        given.foreground_strokes,
        given.background_strokes,
        given.stroke_width,
        given.iterations,
    )
    problem = ""
    if given.verdict is Verdict.REDO and hints is None:
        problem = "a rectangle or strokes along with it"
    if given.verdict is not Verdict.REDO and hints is not None:
        problem = '"redo" where something is drawn'
    if problem:
        raise FileError(f"{path}: {at}.verdict: expected {problem}, got {shown(given.verdict.value)}")
    return Decision(given.verdict, given.mask, hints)
