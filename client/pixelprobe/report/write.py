"""A report as a folder: the page, its figures as PNG and SVG, its tables as CSV, its provenance as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from pixelprobe.inputs.images import save_png
from pixelprobe.report.charts import Charts, draw_charts
from pixelprobe.report.csv_files import write_numbers
from pixelprobe.report.dataset import dataset_of
from pixelprobe.report.gallery_sheet import gallery_sheet
from pixelprobe.report.material import Material
from pixelprobe.report.numbers import work_out
from pixelprobe.report.page.build import build_page
from pixelprobe.report.page.facts import as_json
from pixelprobe.report.reference import load_reference

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
    (out / PROVENANCE).write_text(json.dumps(as_json(material, made), indent=2) + "\n", encoding="utf-8")
    (out / PAGE).write_text(page, encoding="utf-8")
    return out / PAGE


def _write_figures(material: Material, charts: Charts, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for chart in charts.all:
        (folder / f"{chart.name}.svg").write_bytes(chart.svg)
        (folder / f"{chart.name}.png").write_bytes(chart.png)
    if material.gallery.images:
        name = f"figure_{dataset_of(material.classes).gallery}.png"
        save_png(folder / name, gallery_sheet(material))
