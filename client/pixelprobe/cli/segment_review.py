"""``pixelprobe segment review``: a person reviews the masks of a folder and decides on each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import click
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from pixelprobe.addresses import SEGMENTATION
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import PATH, json_option, segmentation_option
from pixelprobe.cli.review_file import Decision, Entry, Verdict, read_review, review_sheet, review_text
from pixelprobe.cli.segment_folder import (
    RECORD,
    Segmented,
    load_segmented,
    mask_id,
    mask_path,
    overlay_path,
    read_record,
)
from pixelprobe.cli.shell import SectionedCommand, sectioned
from pixelprobe.inputs.images import InputImage, save_png
from pixelprobe.inputs.planned import PlanError
from pixelprobe.masks import Segmentation
from pixelprobe.results.captions import count, percent
from pixelprobe.results.drawing import overlay, scale_for
from pixelprobe.results.gallery import PANEL_SIDE
from pixelprobe_services.common.files import write_text

GRABCUT = "grabcut"
SHEET, REVIEW, REVIEWED = "review.png", "review.toml", "reviewed"
RESULTS = "review.json"

_review = sectioned("Review")


class ReviewRecord(TypedDict):
    """The output of ``--json`` for each image; ``mask_path`` is None where it has no mask (yet)."""

    image: str
    verdict: str
    segmenter: str
    area_fraction: float
    needs_review: bool
    review_reason: str
    mask_path: str | None


@click.command("review", cls=SectionedCommand)
@click.argument("folder", type=PATH, metavar="DIR")
@_review(
    "--apply", "apply_file", is_flag=True, help=f"Take up what DIR/{REVIEW} says; masks go to DIR/{REVIEWED}."
)
@_review("--force", is_flag=True, help=f"Write DIR/{REVIEW} anew, and lose what it says.")
@json_option()
@segmentation_option()
def review(folder: Path, apply_file: bool, force: bool, as_json: bool, segmentation: str | None) -> None:
    """Review the masks that `segment --out DIR` made.

    Without --apply: writes a contact sheet, DIR/review.png, and DIR/review.toml, in which you mark each
    image: accept, reject, or redo with a rectangle or strokes of your own.

    With --apply: reads that file, cuts again what is to be redone, and writes the masks that stand to
    DIR/reviewed, for `attack --mask`. A rejected image has none there.
    """
    if apply_file and force:
        raise click.UsageError("--apply and --force exclude each other")
    images = read_record(folder)
    if not images:
        raise PlanError(f"{folder}: has no {RECORD}; make masks first: pixelprobe segment IMAGE... --out DIR")
    records = _apply(folder, images, segmentation) if apply_file else _begin(folder, images, force=force)
    if as_json:
        click.echo(json.dumps(records, indent=2))
        return
    console = make_console()
    console.print(_table(records))
    found = Counter(record["verdict"] for record in records)
    console.print(", ".join(f"{number} {verdict}" for verdict, number in sorted(found.items())))
    if apply_file:
        console.print(f"Masks and a contact sheet are in {safe(str(folder / REVIEWED))}.")
    else:
        console.print(
            f"Look at {safe(str(folder / SHEET))}, mark {safe(str(folder / REVIEW))}, "
            f"then: pixelprobe segment review {safe(str(folder))} --apply"
        )


def _begin(folder: Path, images: Mapping[str, Segmented], *, force: bool) -> list[ReviewRecord]:
    path = folder / REVIEW
    if path.exists() and not force:
        raise PlanError(f"{path}: is there already; take it up with --apply, or start anew with --force")
    entries, records, ids = [], [], {}
    for name, each in images.items():
        image, mask = load_segmented(folder, name, each)
        ids[name] = mask_id(mask)
        entries.append(_entry(name, each, image, mask))
        verdict = Verdict.UNDECIDED if each.needs_review else Verdict.ACCEPT
        records.append(_record(each, verdict, mask_path(folder, name)))
    wanted = sum(each.needs_review for each in images.values())
    subtitle = f"{count(len(images), 'image')}, {wanted} to look at (red); verdicts go into {REVIEW}"
    save_png(folder / SHEET, review_sheet(str(folder), subtitle, entries))
    write_text(path, review_text(images, ids, SHEET))
    return records


def _apply(folder: Path, images: Mapping[str, Segmented], segmentation: str | None) -> list[ReviewRecord]:
    decisions = read_review(folder / REVIEW, images)
    # All files are read before anything is written, so that a bad one leaves the folder as it is.
    loaded = {name: load_segmented(folder, name, each) for name, each in images.items()}
    for name, (_, mask) in loaded.items():
        if decisions[name].mask_id != mask_id(mask):
            raise PlanError(
                f"{mask_path(folder, name)}: is not the mask that {folder / REVIEW} was written for; "
                "review the folder again with --force"
            )
    redone = _redo(decisions, {name: image for name, (image, _) in loaded.items()}, segmentation)
    out = folder / REVIEWED
    entries, records = [], []
    for name, each in images.items():
        verdict = decisions[name].verdict
        image, mask = loaded[name]
        result = each
        if name in redone:
            mask, result = redone[name].mask, _again(each, redone[name])
        stands = verdict in (Verdict.ACCEPT, Verdict.REDO)
        _write(out, name, image, mask if stands else None)
        entries.append(_decided_entry(name, verdict, result, image, mask if stands else None))
        records.append(_record(result, verdict, mask_path(out, name) if stands else None))
    standing = sum(record["mask_path"] is not None for record in records)
    subtitle = f"{count(len(records), 'image')}, {standing} with a mask that stands"
    save_png(out / SHEET, review_sheet(str(out), subtitle, entries))
    write_text(out / RESULTS, json.dumps(records, indent=2) + "\n")
    return records


def _redo(
    decisions: Mapping[str, Decision], images: Mapping[str, InputImage], segmentation: str | None
) -> dict[str, Segmentation]:
    """New masks of those that are to be cut again; the service is asked only where there are any."""
    wanted = {name: decision.hints for name, decision in decisions.items() if decision.hints is not None}
    if not wanted:
        return {}
    with open_client(segmentation=segmentation, service=SEGMENTATION) as client:
        return {name: client.segment(images[name].pixels, GRABCUT, hints) for name, hints in wanted.items()}


def _again(each: Segmented, answer: Segmentation) -> Segmented:
    return replace(
        each,
        segmenter=answer.segmenter,
        choice_reason="",
        area_fraction=answer.area_fraction,
        needs_review=answer.needs_review,
        review_reason=answer.review_reason,
    )


def _write(out: Path, name: str, image: InputImage, mask: NDArray[np.bool_] | None) -> None:
    """The mask that stands; where none does, none of an earlier --apply may stay."""
    if mask is None:
        mask_path(out, name).unlink(missing_ok=True)
        overlay_path(out, name).unlink(missing_ok=True)
        return
    save_png(mask_path(out, name), mask)
    drawn = overlay(image.pixels, mask, scale_for(image.pixels, PANEL_SIDE))
    save_png(overlay_path(out, name), drawn)


def _entry(name: str, each: Segmented, image: InputImage, mask: NDArray[np.bool_]) -> Entry:
    detail = f"{each.segmenter} · {percent(each.area_fraction)} foreground"
    if each.needs_review:
        detail = f"review: {each.review_reason}"
    return Entry(image.pixels, mask, name, detail, each.needs_review)


def _decided_entry(
    name: str, verdict: Verdict, each: Segmented, image: InputImage, mask: NDArray[np.bool_] | None
) -> Entry:
    detail = verdict.value
    if mask is not None:
        detail += f" · {each.segmenter} · {percent(each.area_fraction)} foreground"
    return Entry(image.pixels, mask, name, detail, mask is None)


def _record(each: Segmented, verdict: Verdict, path: Path | None) -> ReviewRecord:
    return ReviewRecord(
        image=each.image,
        verdict=verdict.value,
        segmenter=each.segmenter,
        area_fraction=each.area_fraction,
        needs_review=each.needs_review,
        review_reason=each.review_reason,
        mask_path=None if path is None else str(path),
    )


def _table(records: list[ReviewRecord]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("image", "verdict", "foreground", "remark", "mask"):
        table.add_column(heading, overflow="fold")
    for record in records:
        table.add_row(
            safe(Path(record["image"]).name),
            record["verdict"],
            percent(record["area_fraction"]),
            safe(record["review_reason"]),
            safe(record["mask_path"] or "none"),
        )
    return table
