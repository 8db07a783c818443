"""A report as a folder: the page, its figures as PNG and SVG, its tables as CSV, its provenance as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pixelprobe.inputs.images import save_png
from pixelprobe.model import Outcome
from pixelprobe.report.charts import Charts, draw_charts
from pixelprobe.report.figure_data import BudgetRow, ComparisonRow, FitnessRow, PairRow, ReachedRow
from pixelprobe.report.figures.style import pixels_in_words
from pixelprobe.report.material import GalleryImage, Material, Shot
from pixelprobe.report.metrics.evaluation import LeftOut
from pixelprobe.report.numbers import Numbers, work_out
from pixelprobe.report.page.build import build_page
from pixelprobe.report.page.facts import as_json
from pixelprobe.report.reference import dataset_of, load_reference
from pixelprobe.report.tables import TableRow
from pixelprobe.results.captions import percent
from pixelprobe.results.drawing import ARROW
from pixelprobe.results.gallery import Cell, clean_cell, contact_sheet, mask_cell, success_cell
from pixelprobe_services.common.files import write_bytes, write_text
from pixelprobe_services.common.text import csv_cell

PAGE = "report.html"
PROVENANCE = "provenance.json"


def write_report(material: Material, out: Path, made: datetime | None = None) -> Path:
    """Write everything into ``out``, made if need be; files of an earlier report there are overwritten.

    Args:
        material: what the report is about.
        out: a folder: ``report.html``, ``provenance.json``, ``figures/`` and ``tables/``.
        made: when the report says it was made; now by default.

    Returns:
        The page.

    Raises:
        OSError: a file cannot be written.
        InvalidArgumentError: an attack names a class beyond those of its model.
    """
    made = made or datetime.now(UTC)
    accuracies = {name: facts.accuracy for name, facts in material.models.items() if facts.accuracy}
    numbers = work_out(material.evaluation, load_reference(), accuracies, material.classes, material.fitness)
    charts = draw_charts(numbers, material.classes, material.labels)
    page = build_page(material, numbers, charts, made)
    write_numbers(out / "tables", numbers)
    _write_figures(material, charts, out / "figures")
    write_text(out / PROVENANCE, json.dumps(as_json(material, made), indent=2) + "\n")
    write_text(out / PAGE, page)
    return out / PAGE


def _write_figures(material: Material, charts: Charts, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for chart in charts.all:
        write_bytes(folder / f"{chart.name}.svg", chart.svg)
        write_bytes(folder / f"{chart.name}.png", chart.png)
    if material.gallery.images:
        name = f"figure_{dataset_of(material.classes).gallery}.png"
        save_png(folder / name, gallery_sheet(material))


if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def write_csv(path: Path, kind: type[DataclassInstance], rows: Iterable[DataclassInstance]) -> None:
    """Write rows of one kind; a file without rows has its header still.

    Raises:
        OSError: the file cannot be written; it is named.
    """
    text = io.StringIO(newline="")
    names = [field.name for field in fields(kind)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    write_text(path, text.getvalue())


def write_numbers(folder: Path, numbers: Numbers) -> list[Path]:
    """Write all tables and figures' data into ``folder``, made if need be.

    Returns:
        The files.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, tuple[type[DataclassInstance], Iterable[DataclassInstance]]] = {
        "table_1": (TableRow, numbers.table_1),
        "table_2": (TableRow, numbers.table_2),
        "table_3": (TableRow, numbers.table_3),
        "table_4": (TableRow, numbers.table_4),
        "relative_drops": (TableRow, numbers.drops),
        "success_within_generations": (TableRow, numbers.soon),
        "region_areas": (TableRow, numbers.areas),
        "figure_3": (ReachedRow, numbers.reached),
        "figures_4_and_5": (PairRow, numbers.pairs),
        "figure_6": (FitnessRow, numbers.fitness),
        "success_by_budget": (BudgetRow, numbers.budgets),
        "region_comparisons": (ComparisonRow, numbers.comparisons),
        "left_out": (LeftOut, numbers.left_out),
    }
    written = []
    for name, (kind, rows) in contents.items():
        written.append(folder / f"{name}.csv")
        write_csv(written[-1], kind, rows)
    return written


def _cell(value: object) -> object:
    """Floats to ten digits, so that 12.8 does not read 12.799999999999999."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else csv_cell(value)


_ENDED = {None: "not attacked", Outcome.FAILURE: "not fooled", Outcome.BUDGET_EXHAUSTED: "not fooled"}


def gallery_sheet(material: Material) -> Image.Image:
    """All images of the gallery, at least one."""
    images = material.gallery.images
    regions: dict[str, list[str]] = {}
    for shot in images[0].shots:
        regions.setdefault(shot.target, []).append(shot.region)
    rows = [
        [
            _clean(image, material),
            _mask(image),
            *(_shot_cell(image, shot, material) for shot in image.shots),
        ]
        for image in images
    ]
    return contact_sheet(
        f"Fooled by {pixels_in_words(material.gallery.pixels)}",
        "the images that fell most often, of as many classes as there are",
        [("image", ["original", "mask"]), *regions.items()],
        rows,
        f"Rings: changed pixels. a% {ARROW} b%: probability of the old class before, of the new one after.",
    )


def _clean(image: GalleryImage, material: Material) -> Cell:
    label = material.class_name(image.shots[0].target, image.label) if image.label is not None else ""
    return clean_cell(image.pixels, label or image.name, image.name if label else "")


def _mask(image: GalleryImage) -> Cell:
    return Cell(None, "no mask") if image.mask is None else mask_cell(image.pixels, image.mask)


def _shot_cell(image: GalleryImage, shot: Shot, material: Material) -> Cell:
    if shot.after is None or shot.before is None:
        return Cell(None, _ENDED.get(shot.outcome, "left out"))
    change = f"{percent(shot.before.probability)} {ARROW} {percent(shot.after.probability)}"
    return success_cell(
        image.pixels, shot.edits, material.class_name(shot.target, shot.after.class_index), change
    )
