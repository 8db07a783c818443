"""``pixelprobe segment``: masks of images, by the segmentation service."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import click
from rich.table import Table

from pixelprobe.addresses import SEGMENTATION
from pixelprobe.api import PixelprobeClient
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.hints import Points, make_hints, parse_rectangle, parse_strokes
from pixelprobe.cli.options import OUTPUT, PATH, make_folder, output_options, segmentation_option
from pixelprobe.cli.segment_folder import (
    Segmented,
    add_to_record,
    digest_of,
    mask_path,
    overlay_path,
    read_record,
    saliency_path,
)
from pixelprobe.cli.segment_review import GRABCUT, review
from pixelprobe.cli.shell import SectionedCommand, sectioned
from pixelprobe.inputs.images import InputImage, load_image, readable, save_png
from pixelprobe.inputs.planned import PlanError, check_sides
from pixelprobe.masks import Rectangle, Segmentation
from pixelprobe.results.captions import count, percent
from pixelprobe.results.drawing import overlay, scale_for
from pixelprobe.results.gallery import PANEL_SIDE
from pixelprobe_services.common.masks import MAX_ITERATIONS, MAX_STROKE_WIDTH

AUTO = "auto"
U2NET = "u2net"
REVIEW = "review"

_hint = sectioned("Hints for GrabCut (the same for every image)")


class MaskRecord(TypedDict):
    """The output of ``--json`` for each image."""

    image: str
    segmenter: str
    width: int
    height: int
    area_fraction: float
    needs_review: bool
    review_reason: str
    mask_path: str
    overlay_path: str
    saliency_path: str | None
    choice_reason: str


class SegmentCommand(SectionedCommand):
    """``segment IMAGE...`` with the subcommand ``segment review DIR``; an image called review is ./review."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of this command, or of the one below it where that is named first."""
        if args[:1] == [REVIEW]:
            return review.make_context(f"{info_name} {REVIEW}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, and the command below."""
        super().format_options(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(f"{REVIEW} DIR", review.get_short_help_str(limit=90))])


@click.command(cls=SegmentCommand)
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
@sectioned("Method")(
    "--method",
    default=AUTO,
    metavar="NAME",
    show_default=True,
    help="u2net, grabcut, or auto: the service takes GrabCut for small images, else U2-Net where it can.",
)
@sectioned("Method")(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="T",
    help="Foreground is where saliency exceeds this; means u2net. Default: 0.5.",
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
    type=click.IntRange(1, MAX_STROKE_WIDTH),
    default=1,
    show_default=True,
    help="Diameter of the lines, in pixels.",
)
@_hint(
    "--iterations",
    type=click.IntRange(1, MAX_ITERATIONS),
    help="Rounds of GrabCut. Default: the service's.",
)
@sectioned(OUTPUT)(
    "--saliency", is_flag=True, help="Write NAME_saliency.png as well, where the method has saliency (u2net)."
)
@output_options("out/segment", "NAME_mask.png and NAME_overlay.png of each image")
@segmentation_option()
def segment(
    images: tuple[Path, ...],
    method: str,
    threshold: float | None,
    rectangle: Rectangle | None,
    foreground: tuple[Points, ...],
    background: tuple[Points, ...],
    stroke_width: int,
    iterations: int | None,
    saliency: bool,
    out: Path,
    as_json: bool,
    segmentation: str | None,
) -> None:
    """Split images into foreground and background.

    Writes a mask (white is foreground; `attack --mask` takes it) and an overlay to look at. Without hints
    GrabCut is seeded automatically; a mask that a person should look at is marked "review", and
    `segment review DIR` takes it from there.
    """
    hints = make_hints(rectangle, foreground, background, stroke_width, iterations)
    if hints is not None and threshold is not None:
        raise PlanError("--threshold: is of u2net, which takes no rectangle, strokes or iterations")
    loaded = [load_image(path) for path in images]
    for image in loaded:
        check_sides(image)
    messages = make_console(stderr=True)
    with open_client(segmentation=segmentation, service=SEGMENTATION) as client:
        name = _choose_method(client, method, hinted=hints is not None, threshold=threshold)
        make_folder(out)
        read_record(out)  # a damaged one is found before the work
        records: list[MaskRecord] = []
        made: dict[str, Segmented] = {}
        reasons: Counter[tuple[str, str]] = Counter()
        try:
            for image, stem in zip(loaded, _stems(loaded), strict=True):
                for note in image.notes:
                    messages.print(f"{safe(str(image.path))}: {safe(note)}", style="dim")
                answer = client.segment(image.pixels, name, hints, threshold=threshold, saliency=saliency)
                records.append(_write(out, stem, image, answer))
                made[stem] = _segmented(image, answer)
                reasons[answer.choice_reason, answer.segmenter] += 1
                if saliency and answer.saliency is None:
                    messages.print(
                        f"{safe(str(image.path))}: {safe(answer.segmenter)} has no saliency", style="dim"
                    )
        finally:  # masks that are there are on record, whatever came after them
            if made:
                add_to_record(out, made)
    for (reason, segmenter), number in reasons.items():
        if reason and not hints:
            messages.print(f"{safe(segmenter)} for {count(number, 'image')}: {safe(reason)}", style="dim")
    if as_json:
        click.echo(json.dumps(records, indent=2))
        return
    make_console().print(_table(records))


def _choose_method(client: PixelprobeClient, method: str, *, hinted: bool, threshold: float | None) -> str:
    """The id to send; without a method hints mean GrabCut, and a threshold means U2-Net."""
    if method == AUTO:
        return GRABCUT if hinted else U2NET if threshold is not None else ""
    known = {segmenter.id: segmenter for segmenter in client.list_segmenters()}
    if method not in known:
        listed = ", ".join(sorted({AUTO, *known}))
        raise PlanError(f"--method: unknown method {method!r}; known methods: {listed}")
    if hinted and not known[method].interactive:
        raise PlanError(f"--method: {method} takes no rectangle, strokes or iterations")
    if threshold is not None and method != U2NET:
        raise PlanError(f"--threshold: {method} takes none; it is of {U2NET}")
    return method


def _stems(images: Sequence[InputImage]) -> list[str]:
    """A file name of its own for each image."""
    stems: list[str] = []
    for image in images:
        first = stem = readable(image.path.stem)
        number = 1
        while stem in stems:
            number += 1
            stem = f"{first}-{number}"
        stems.append(stem)
    return stems


def _write(out: Path, stem: str, image: InputImage, answer: Segmentation) -> MaskRecord:
    masks, overlays, maps = mask_path(out, stem), overlay_path(out, stem), saliency_path(out, stem)
    save_png(masks, answer.mask)
    if answer.saliency is not None:
        save_png(maps, answer.saliency)
    else:
        maps.unlink(missing_ok=True)  # of an earlier mask of that name
    save_png(overlays, overlay(image.pixels, answer.mask, scale_for(image.pixels, PANEL_SIDE)))
    return MaskRecord(
        image=str(image.path),
        segmenter=answer.segmenter,
        width=image.width,
        height=image.height,
        area_fraction=answer.area_fraction,
        needs_review=answer.needs_review,
        review_reason=answer.review_reason,
        mask_path=str(masks),
        overlay_path=str(overlays),
        saliency_path=None if answer.saliency is None else str(maps),
        choice_reason=answer.choice_reason,
    )


def _segmented(image: InputImage, answer: Segmentation) -> Segmented:
    return Segmented(
        image=str(image.path.resolve()),
        image_sha256=digest_of(image),
        width=image.width,
        height=image.height,
        segmenter=answer.segmenter,
        choice_reason=answer.choice_reason,
        area_fraction=answer.area_fraction,
        needs_review=answer.needs_review,
        review_reason=answer.review_reason,
    )


def _table(records: Sequence[MaskRecord]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("image", "method", "foreground", "verdict", "mask"):
        table.add_column(heading, overflow="fold")
    for record in records:
        verdict = f"[yellow]review[/]: {safe(record['review_reason'])}" if record["needs_review"] else "good"
        table.add_row(
            safe(record["image"]),
            safe(record["segmenter"]),
            percent(record["area_fraction"]),
            verdict,
            safe(record["mask_path"]),
        )
    return table
