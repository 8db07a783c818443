"""Tables without counterpart in the paper: regions compared, areas, what was left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pixelprobe.model import Outcome
from pixelprobe.report.figure_data import ComparisonRow
from pixelprobe.report.figures.style import pixels_in_words
from pixelprobe.report.metrics.evaluation import LeftOut
from pixelprobe.report.page.cells import Cell, Column, Table, count, others, ours, p_value, paper, share, text
from pixelprobe.report.rows import REGIONS
from pixelprobe.report.tables import SOON, OtherNumber, TableRow
from pixelprobe.results.captions import OUTCOME_WORDS


def comparison_table(rows: Sequence[ComparisonRow], first: str, second: str, empty: str) -> Table:
    """Two regions on the same images, with the exact McNemar test."""
    columns = (
        Column("Model", number=False),
        Column("images"),
        Column(first, "fooled, %", first),
        Column(second, "fooled, %", second),
        Column(first, "mean area, %", first),
        Column(second, "mean area, %", second),
        Column("both", "images fooled in"),
        Column(f"{first} alone", "images fooled in", first),
        Column(f"{second} alone", "images fooled in", second),
        Column("p"),
    )
    body = tuple(
        (
            text(row.model, pixels_in_words(row.pixels), sort=f"{number:05d}"),
            count(row.n),
            share(row.first_share),
            share(row.second_share),
            share(row.first_area),
            share(row.second_area),
            count(row.both),
            count(row.only_first),
            count(row.only_second),
            p_value(row.p_value),
        )
        for number, row in enumerate(row for row in rows if (row.first, row.second) == (first, second))
    )
    caption = f"{first.capitalize()} against {second}: untargeted, the same images, exact McNemar test"
    return Table(caption, columns, body, empty if not body else "")


def area_table(caption: str, rows: Sequence[TableRow], empty: str) -> Table:
    """Mean area by region."""
    columns = (Column("Region", number=False), Column("images"), Column("mean area, %"))
    body = tuple(
        (text(row.region, sort=f"{number:05d}"), count(row.n), ours(row.ours, row.low, row.high))
        for number, row in enumerate(rows)
        if row.ours is not None
    )
    return Table(caption, columns, body, empty if not body else "")


def reason_table(caption: str, rows: Sequence[LeftOut]) -> Table:
    """What was left out, by how it ended and why."""
    columns = (
        Column("Outcome", number=False),
        Column("reason", number=False),
        Column("attacks"),
        Column("conditions"),
    )
    groups: dict[tuple[str, str], list[LeftOut]] = {}
    for row in rows:
        groups.setdefault((row.outcome, row.reason), []).append(row)
    ranked = sorted(groups.items(), key=lambda item: -sum(row.attacks for row in item[1]))
    body = tuple(
        (
            text(_outcome(outcome)),
            text(reason or "no reason given"),
            count(sum(row.attacks for row in own)),
            count(len(own)),
        )
        for (outcome, reason), own in ranked
    )
    return Table(caption, columns, body, "" if body else "Nothing was left out: every attack ran to an end.")


def left_out_table(caption: str, rows: Sequence[LeftOut]) -> Table:
    """The same by condition."""
    columns = (
        Column("Model", number=False),
        Column("region", number=False),
        Column("goal", number=False),
        Column("outcome", number=False),
        Column("reason", number=False),
        Column("attacks"),
        Column("images"),
    )
    body = tuple(
        (
            text(row.model, pixels_in_words(row.pixels), sort=f"{number:05d}"),
            text(row.region),
            text(row.goal),
            text(_outcome(row.outcome)),
            text(row.reason or "no reason given"),
            count(row.attacks),
            count(row.images),
        )
        for number, row in enumerate(rows)
    )
    return Table(caption, columns, body, "" if body else "Nothing was left out.")


def _outcome(outcome: str) -> str:
    return OUTCOME_WORDS.get(Outcome(outcome), outcome) if outcome in set(Outcome) else outcome


MEANINGS = {
    "untargeted1_success_percent": "Untargeted1: images fooled by an untargeted attack, %",
    "untargeted1_confidence_percent": "Confidence_u: mean probability of the class reached, successes, %",
    "untargeted2_success_percent": "Untargeted2: images brought to at least one target class, %",
    "targeted_success_percent": "Targeted: attacks that reached their target class, %",
    "targeted_confidence_percent": "Confidence_t: mean probability of the target class, successes, %",
    "untargeted_success_percent": "Images fooled, %",
    "untargeted_confidence_percent": "Confidence_u, %",
    "confidence_decrease_top1_success_percent": "Best class's probability falls by, successes, points",
    "confidence_decrease_top3_failure_percent": "Best 3 classes' probability falls by, failures, points",
    "confidence_decrease_top5_failure_percent": "Best 5 classes' probability falls by, failures, points",
    "original_top1_in_top3_success_percent": "Original class still in the best 3, successes, %",
    "original_top1_in_top5_success_percent": "Original class still in the best 5, successes, %",
    "original_top3_in_top3_failure_percent": "Original best 3 still in the best 3, failures, %",
    "original_top5_in_top5_failure_percent": "Original best 5 still in the best 5, failures, %",
    "mean_generations_success": "Mean generations to success, untargeted",
    f"success_within_{SOON}_generations_percent": f"Successes within {SOON} generations, %",
    "untargeted1_relative_drop_percent": "Untargeted",
    "targeted_relative_drop_percent": "Targeted",
}


@dataclass(frozen=True)
class Heading:
    """How the rows of a table are headed: by ``words`` over smaller ``details``."""

    column: str
    words: Callable[[TableRow], str]
    details: Callable[[TableRow], Sequence[str]]


def by_model(row: TableRow) -> str:
    """The model, or all of them."""
    return row.model or "mean of the models"


def by_pixels(row: TableRow) -> list[str]:
    """How many pixels."""
    return [pixels_in_words(row.pixels)] if row.pixels is not None else []


MODEL = Heading("Model", by_model, by_pixels)
MODEL_ALONE = Heading("Model", by_model, lambda _: ())
METRIC = Heading("Metric", lambda row: MEANINGS[row.metric], lambda row: (by_model(row), *by_pixels(row)))
DROP = Heading("Attacks", lambda row: MEANINGS[row.metric], lambda row: (by_model(row), *by_pixels(row)))


def region_table(
    caption: str,
    rows: Sequence[TableRow],
    heading: Heading,
    empty: str,
    elsewhere: Sequence[OtherNumber] = (),
) -> Table:
    """A line for each value of the heading, a pair of columns for each region: ours and the paper's.

    Regions of which the paper has no number have one column, or a second for its numbers on other networks.
    Lines without anything of ours are left out.

    Args:
        caption: above it.
        rows: our numbers.
        heading: of a line.
        empty: why there is nothing, where there is nothing.
        elsewhere: the paper's numbers on networks that none of the rows is about.
    """
    regions = sorted({row.region for row in rows}, key=lambda region: REGIONS.index(region) if region else -1)
    with_paper = {row.region for row in rows if row.paper is not None}
    with_others = {number.region for number in elsewhere} & set(regions)
    columns = [Column(heading.column, number=False)]
    for region in regions:
        columns.append(Column("ours", region, region))
        if region in with_paper:
            columns.append(Column("paper", region, region))
        if region in with_others:
            columns.append(Column("other networks", region, region))
    lines: dict[tuple[object, ...], dict[str, TableRow]] = {}
    for row in rows:
        lines.setdefault((row.metric, row.model, row.pixels), {})[row.region] = row
    body = []
    for number, line in enumerate(lines.values()):
        if not any(row.n for row in line.values()):
            continue
        first = next(iter(line.values()))
        cells = [text(heading.words(first), *heading.details(first), sort=f"{number:05d}")]
        for region in regions:
            cells.append(_ours(line.get(region)))
            if region in with_paper:
                cells.append(_paper(line.get(region)))
            if region in with_others:
                cells.append(_others(line.get(region), elsewhere))
        body.append(tuple(cells))
    return Table(caption, tuple(columns), tuple(body), empty if not body else "")


def _ours(row: TableRow | None) -> Cell:
    if row is None:
        return ours(None, None, None)
    return ours(row.ours, row.low, row.high, row.n, digits=2 if row.unit == "generations" else 1)


def _others(row: TableRow | None, elsewhere: Sequence[OtherNumber]) -> Cell:
    place = None if row is None else (row.table, row.metric, row.region, row.pixels)
    return others(
        (number.network, number.value)
        for number in elsewhere
        if (number.table, number.metric, number.region, number.pixels) == place
    )


def _paper(row: TableRow | None) -> Cell:
    if row is None or row.paper is None:
        return paper(None, None)
    # The drops are worked out from the paper's numbers, to more digits than make sense.
    return paper(round(row.paper, 2), row.inside)
