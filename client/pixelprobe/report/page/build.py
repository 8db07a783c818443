"""Puts the page together: numbers as tables, charts and images as data URIs, words around them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

import jinja2

from pixelprobe.report.charts import Charts
from pixelprobe.report.figures.classes import MOST_CLASSES
from pixelprobe.report.figures.style import Chart, pixels_in_words
from pixelprobe.report.material import Material
from pixelprobe.report.numbers import Numbers
from pixelprobe.report.page import facts, tables
from pixelprobe.report.page.cells import Table
from pixelprobe.report.page.facts import cautions
from pixelprobe.report.page.shots import gallery_strips
from pixelprobe.report.reference import IMAGENET, SOURCE, dataset_of
from pixelprobe.report.shape import findings
from pixelprobe.report.statistics import CONFIDENCE
from pixelprobe.report.tables import SOON, OtherNumber, TableRow
from pixelprobe.results.captions import count

_NOT_ALL_CLASSES = "No image was attacked at all other classes, so there is nothing to count."

_NO_CHART = {
    "success": "No untargeted attack ran to an end.",
    "reached": _NOT_ALL_CLASSES,
    "untargeted_pairs": "No untargeted attack ran to an end.",
    "targeted_pairs": "No targeted attack ran to an end.",
    "fitness": "No image fell to one changed pixel in the whole image, in the foreground and in the "
    "background alike.",
    "budgets": "No untargeted attack ran to an end.",
}
"""Why a section has no chart."""

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("pixelprobe.report.page", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class EmbeddedChart:
    """A chart as the page shows it."""

    chart: Chart
    uri: str


def build_page(material: Material, numbers: Numbers, charts: Charts, made: datetime) -> str:
    """The page as HTML that needs nothing but itself.

    Args:
        material: what the numbers are from.
        numbers: what the page shows.
        charts: all that is drawn.
        made: when, aware.
    """
    style, script = (_static(name) for name in ("page.css", "page.js"))
    template = _ENVIRONMENT.get_template("page.html.j2")
    dataset = dataset_of(material.classes)
    return template.render(
        style=style,
        script=script,
        policy=_policy(style, script),
        dataset=dataset,
        imagenet=dataset is IMAGENET,
        **_head(material, numbers, made),
        tables=_tables(material, numbers),
        table_2=[] if dataset is IMAGENET else _table_2(numbers),
        others=list(dict.fromkeys(number.network for number in numbers.others)),
        many_classes=material.classes if material.classes > MOST_CLASSES else 0,
        charts={name: [_embedded(chart) for chart in own] for name, own in vars(charts).items()},
        no_chart=_NO_CHART,
        strips=gallery_strips(material),
        gallery=material.gallery,
        pixels_in_words=pixels_in_words,
        campaigns=[
            (each.campaign.display_name or each.campaign.name, facts.campaign_facts(each))
            for each in material.campaigns
        ],
        models=facts.model_facts(material),
        added=facts.added_facts(material.provenance),
        versions=facts.versions(material.orchestrator_version),
        padded=any(not row.known for row in numbers.fitness),
        lower_bound=any(row.lower_bound for row in numbers.budgets),
        tests=count(len(numbers.comparisons), "test is", "tests are"),
        confidence=f"{100 * CONFIDENCE:.0f}%",
        soon=SOON,
        source=SOURCE,
    )


def _head(material: Material, numbers: Numbers, made: datetime) -> dict[str, Any]:
    names = [each.campaign.display_name or each.campaign.name for each in material.campaigns]
    title = names[0] if len(names) == 1 else _common(names)
    judged = [row.inside for row in _all_rows(numbers) if row.inside is not None]
    attacked = sum(row.attacked for row in material.evaluation.rows)
    nothing_to_attack = sum(row.aims_at_own_class and not row.attacked for row in material.evaluation.rows)
    left_out = len(material.evaluation.rows) - attacked - nothing_to_attack
    return {
        "title": title,
        "made": facts.moment(made),
        "tiles": [
            _tile(len({row.image_digest for row in material.evaluation.rows}), "image"),
            _tile(len(material.evaluation.models), "model"),
            _tile(attacked, "attack", " that ran to an end"),
            _tile(left_out, "attack", " left out"),
            (f"{sum(each.campaign.queries_sent for each in material.campaigns):,}", "queries sent"),
        ],
        "findings": findings(numbers, material.evaluation, dataset_of(material.classes)),
        "cautions": cautions(material, numbers),
        "inside": sum(judged),
        "judged": len(judged),
    }


def _tile(number: int, noun: str, more: str = "") -> tuple[str, str]:
    figure, _, words = count(number, noun).partition(" ")
    return figure, words + more


def _common(names: Sequence[str]) -> str:
    """What several campaigns' names begin with, up to a whole word or the run's label; else all of them."""
    labels = {name.partition("/")[0] for name in names}
    return labels.pop() if len(labels) == 1 else ", ".join(names)


def _all_rows(numbers: Numbers) -> list[TableRow]:
    return [*numbers.table_1, *numbers.table_2, *numbers.table_3, *numbers.table_4, *numbers.drops]


def _table_2(numbers: Numbers) -> list[Table]:
    """A table for each metric."""
    reasons = {
        "untargeted1_success_percent": "No untargeted attack ran to an end.",
        "untargeted1_confidence_percent": "No untargeted attack succeeded.",
        "untargeted2_success_percent": _NOT_ALL_CLASSES,
        "targeted_success_percent": _NOT_ALL_CLASSES,
        "targeted_confidence_percent": "No image attacked at all other classes fell to a targeted attack.",
    }
    return [
        tables.region_table(
            tables.MEANINGS[metric],
            [row for row in numbers.table_2 if row.metric == metric],
            tables.MODEL,
            reason,
        )
        for metric, reason in reasons.items()
    ]


def _tables(material: Material, numbers: Numbers) -> dict[str, Table]:
    none = "No untargeted attack ran to an end."
    uncontrolled = "The control region was not attacked, so size and meaning cannot be separated here."
    table_3 = numbers.table_3 if dataset_of(material.classes) is IMAGENET else []

    def elsewhere(table: str) -> list[OtherNumber]:
        return [number for number in numbers.others if number.table == table]

    return {
        "table_1": tables.region_table(
            "Images of a test set classified correctly, %",
            numbers.table_1,
            tables.MODEL_ALONE,
            "No accuracies were given: add --accuracy FILE.",
        ),
        "table_3": tables.region_table(
            "Table III: what untargeted attacks do to the best classes",
            table_3,
            tables.METRIC,
            none
            if dataset_of(material.classes) is IMAGENET
            else f"Table III is about ImageNet's 1000 classes; these models know {material.classes}.",
            elsewhere("III"),
        ),
        "table_4": tables.region_table(
            "Table IV: mean generations to success, untargeted; the start population counts as one",
            numbers.table_4,
            tables.MODEL,
            "No untargeted attack succeeded.",
            elsewhere("IV"),
        ),
        "soon": tables.region_table(
            f"Successes within {SOON} generations, untargeted, %",
            numbers.soon,
            tables.MODEL,
            "No untargeted attack succeeded.",
        ),
        "drops": tables.region_table(
            "How much less often a region falls than the whole image, %",
            numbers.drops,
            tables.DROP,
            "No image was attacked both whole and in a region.",
            elsewhere("drop"),
        ),
        "pairs": tables.comparison_table(
            numbers.comparisons,
            "foreground",
            "background",
            "No image was attacked in both foreground and background.",
        ),
        "areas": tables.area_table("Mean area of each region", numbers.areas, none),
        "foreground_control": tables.comparison_table(
            numbers.comparisons, "foreground", "control", uncontrolled
        ),
        "background_control": tables.comparison_table(
            numbers.comparisons, "background", "control", uncontrolled
        ),
        "reasons": tables.reason_table("What was left out, and why", numbers.left_out),
        "left_out": tables.left_out_table("The same by model, region and goal", numbers.left_out),
    }


def _embedded(chart: Chart) -> EmbeddedChart:
    return EmbeddedChart(chart, "data:image/svg+xml;base64," + base64.b64encode(chart.svg).decode())


def _static(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8").strip()


def _policy(style: str, script: str) -> str:
    """A content security policy: no network, and no style or script but these two."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
