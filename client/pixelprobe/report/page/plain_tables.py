"""Tables without counterpart in the paper: regions compared, areas, what was left out."""

from __future__ import annotations

from collections.abc import Sequence

from pixelprobe.model import Outcome
from pixelprobe.report.figure_data import ComparisonRow
from pixelprobe.report.figures.style import pixels_in_words
from pixelprobe.report.metrics.left_out import LeftOut
from pixelprobe.report.page.cells import Column, Table, count, ours, p_value, share, text
from pixelprobe.report.tables import TableRow
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
