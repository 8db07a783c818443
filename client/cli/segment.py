"""``pixelprobe segment``: masks of pictures, by the segmentation service."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import click
from rich.markup import escape
from rich.table import Table

from client.addresses import find_addresses
from client.api import PixelprobeClient
from client.cli.options import PATH, make_folder, output_options, segmentation_option
from client.cli.shell import SectionedCommand, sectioned
from client.cli.tables import make_console
from client.masks import GrabCutHints, Rectangle, Segmentation, Stroke, StrokeKind
from client.pictures import Picture, load_picture, save_png
from client.plan import PlanError, check_sides
from client.report.captions import percent
from client.report.drawing import overlay, scale_for
from client.report.gallery import PANEL_SIDE

AUTO = "auto"
GRABCUT = "grabcut"

_hint = sectioned("Hints for GrabCut (the same for every picture)")


class MaskRecord(TypedDict):
    """What ``--json`` prints of each picture."""

    image: str
    segmenter: str
    width: int
    height: int
    area_fraction: float
    needs_review: bool
    review_reason: str
    mask_path: str
    overlay_path: str


Points = tuple[tuple[int, int], ...]


def parse_rectangle(ctx: click.Context, param: click.Parameter, value: str | None) -> Rectangle | None:
    """``L,T,R,B`` in pixels as a rectangle, or a click error."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})", value.replace(" ", ""))
    if not match:
        raise click.BadParameter(f"{value!r} is not L,T,R,B: four numbers of pixels", ctx, param)
    rectangle = Rectangle(*(int(number) for number in match.groups()))
    if rectangle.left >= rectangle.right or rectangle.top >= rectangle.bottom:
        raise click.BadParameter(
            f"{value!r} is empty: left must be under right, top under bottom", ctx, param
        )
    return rectangle


def parse_strokes(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[Points, ...]:
    """Each ``x,y x,y ...`` in pixels as points, or a click error."""
    strokes = []
    for text in value:
        matches = [re.fullmatch(r"(\d{1,5}),(\d{1,5})", word) for word in text.split()]
        if not matches or not all(matches):
            raise click.BadParameter(f"{text!r} is not X,Y X,Y ...: points in pixels", ctx, param)
        strokes.append(tuple((int(match[1]), int(match[2])) for match in matches if match))
    return tuple(strokes)


@click.command(cls=SectionedCommand)
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
@sectioned("Method")(
    "--method",
    default=AUTO,
    metavar="NAME",
    show_default=True,
    help="grabcut, or auto: the service chooses by the picture.",
)
@_hint(
    "--rectangle",
    callback=parse_rectangle,
    metavar="L,T,R,B",
    help="The object lies inside; right and bottom are exclusive.",
)
@_hint(
    "--foreground-stroke",
    "foreground",
    multiple=True,
    callback=parse_strokes,
    metavar='"X,Y X,Y ..."',
    help="A line on the object; may be repeated.",
)
@_hint(
    "--background-stroke",
    "background",
    multiple=True,
    callback=parse_strokes,
    metavar='"X,Y X,Y ..."',
    help="A line behind the object; may be repeated.",
)
@_hint(
    "--stroke-width",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Diameter of the lines, in pixels.",
)
@_hint(
    "--iterations",
    type=click.IntRange(1, 50),
    help="Rounds of GrabCut. Default: the service's.",
)
@output_options("out/segment", "NAME_mask.png and NAME_overlay.png of each picture")
@segmentation_option()
def segment(
    images: tuple[Path, ...],
    method: str,
    rectangle: Rectangle | None,
    foreground: tuple[Points, ...],
    background: tuple[Points, ...],
    stroke_width: int,
    iterations: int | None,
    out: Path,
    as_json: bool,
    segmentation: str | None,
) -> None:
    """Split pictures into foreground and background.

    Writes a mask (white is foreground; `attack --mask` takes it) and an overlay to look at. Without hints
    GrabCut is seeded automatically; a mask that a person should look at is marked "review".
    """
    strokes = [Stroke(StrokeKind.FOREGROUND, points, stroke_width) for points in foreground]
    strokes += [Stroke(StrokeKind.BACKGROUND, points, stroke_width) for points in background]
    hinted = rectangle is not None or bool(strokes) or iterations is not None
    hints = GrabCutHints(rectangle, tuple(strokes), iterations or 0) if hinted else None
    pictures = [load_picture(path) for path in images]
    for picture in pictures:
        check_sides(picture)
    messages = make_console(stderr=True)
    with PixelprobeClient(find_addresses(segmentation=segmentation)) as client:
        name = _choose_method(client, method, hinted=hinted)
        make_folder(out)
        records = []
        for picture, stem in zip(pictures, _stems(pictures), strict=True):
            for note in picture.notes:
                messages.print(f"{escape(str(picture.path))}: {note}", style="dim")
            answer = client.segment(picture.pixels, name, hints)
            records.append(_write(out, stem, picture, answer))
    if as_json:
        click.echo(json.dumps(records, indent=2))
        return
    make_console().print(_table(records))


def _choose_method(client: PixelprobeClient, method: str, *, hinted: bool) -> str:
    """The id to send; hints without a method mean GrabCut."""
    if method == AUTO:
        return GRABCUT if hinted else ""
    known = {segmenter.id: segmenter for segmenter in client.list_segmenters()}
    if method not in known:
        listed = ", ".join(sorted({AUTO, *known}))
        raise PlanError(f"--method: unknown method {method!r}; known methods: {listed}")
    if hinted and not known[method].interactive:
        raise PlanError(f"--method: {method} takes no rectangle, strokes or iterations")
    return method


def _stems(pictures: Sequence[Picture]) -> list[str]:
    """A file name of its own for each picture."""
    stems: list[str] = []
    for picture in pictures:
        stem, number = picture.path.stem, 1
        while stem in stems:
            number += 1
            stem = f"{picture.path.stem}-{number}"
        stems.append(stem)
    return stems


def _write(out: Path, stem: str, picture: Picture, answer: Segmentation) -> MaskRecord:
    mask_path, overlay_path = out / f"{stem}_mask.png", out / f"{stem}_overlay.png"
    save_png(mask_path, answer.mask)
    save_png(overlay_path, overlay(picture.pixels, answer.mask, scale_for(picture.pixels, PANEL_SIDE)))
    return MaskRecord(
        image=str(picture.path),
        segmenter=answer.segmenter,
        width=picture.width,
        height=picture.height,
        area_fraction=answer.area_fraction,
        needs_review=answer.needs_review,
        review_reason=answer.review_reason,
        mask_path=str(mask_path),
        overlay_path=str(overlay_path),
    )


def _table(records: Sequence[MaskRecord]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("picture", "method", "foreground", "verdict", "mask"):
        table.add_column(heading, overflow="fold")
    for record in records:
        verdict = (
            f"[yellow]review[/]: {escape(record['review_reason'])}" if record["needs_review"] else "good"
        )
        table.add_row(
            escape(record["image"]),
            record["segmenter"],
            percent(record["area_fraction"]),
            verdict,
            escape(record["mask_path"]),
        )
    return table
