"""Whether our numbers have the paper's shape: its four findings, each as a claim that may or may not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from client.report.captions import count
from client.report.figure_data import ComparisonRow
from client.report.numbers import Numbers
from client.report.statistics import paired_test, rate
from client.report.tables import SOON, TableRow

MOST_DROP_PERCENT = 20.0
"""Foreground success is close to whole-image success if it is at most so much less (ours; the paper: 7%)."""

SIGNIFICANT = 0.05
_DROP = "untargeted1_relative_drop_percent"
_RATE = "untargeted1_success_percent"


class Verdict(StrEnum):
    """How a claim fares: it holds or fails beyond chance, or our numbers leave it open."""

    HOLDS = "holds"
    OPEN = "is open"
    FAILS = "does not hold"


@dataclass(frozen=True)
class Finding:
    """One claim of the paper.

    Attributes:
        claim: in words.
        paper: what it stands on.
        ours: the same of ours, or why there is nothing.
    """

    claim: str
    paper: str
    ours: str
    verdict: Verdict


def findings(numbers: Numbers) -> list[Finding]:
    """The paper's four findings, held against ours; untargeted attacks with the fewest pixels."""
    counts = [
        row.pixels for row in numbers.table_2 if row.pixels is not None and row.metric == _RATE and row.n
    ]
    pixels = min(counts, default=1)
    return [
        _foreground(numbers.drops, pixels),
        _background(numbers.drops, numbers.comparisons, pixels),
        _soon(numbers.soon, pixels),
        _more_pixels(numbers.table_2),
    ]


def _foreground(drops: Sequence[TableRow], pixels: int) -> Finding:
    row = _average(drops, "foreground", pixels)
    verdict = Verdict.OPEN
    if row is not None and row.low is not None and row.high is not None:
        if row.high <= MOST_DROP_PERCENT:
            verdict = Verdict.HOLDS
        elif row.low > MOST_DROP_PERCENT:
            verdict = Verdict.FAILS
    return Finding(
        "Searching the foreground alone succeeds almost as often as searching the whole picture.",
        _paper_drop(row, 6.84),
        f"{_our_drop(row, 'foreground')}; “almost” is taken as at most {MOST_DROP_PERCENT:g}%",
        verdict,
    )


def _background(drops: Sequence[TableRow], tests: Sequence[ComparisonRow], pixels: int) -> Finding:
    row = _average(drops, "background", pixels)
    pairs = [t for t in tests if (t.pixels, t.first, t.second) == (pixels, "foreground", "background")]
    sure = [t for t in pairs if t.p_value is not None and t.p_value < SIGNIFICANT]
    lower = sum((t.second_share or 0) < (t.first_share or 0) for t in sure)
    verdict = Verdict.OPEN
    if pairs and lower == len(pairs):
        verdict = Verdict.HOLDS
    elif len(sure) > lower:
        verdict = Verdict.FAILS
    told = f"; beyond chance (p < {SIGNIFICANT:g}) less often than in the foreground for {lower} of "
    return Finding(
        "Searching the background alone succeeds far less often.",
        _paper_drop(row, 54.32),
        _our_drop(row, "background") + (told + count(len(pairs), "model") if pairs else ""),
        verdict,
    )


def _soon(rows: Sequence[TableRow], pixels: int) -> Finding:
    own = [row for row in rows if row.pixels == pixels and row.region != "control"]
    share = rate(sum(row.successes or 0 for row in own), sum(row.n for row in own))
    verdict = Verdict.OPEN
    if share.low is not None and share.high is not None:
        verdict = Verdict.HOLDS if share.low > 0.5 else Verdict.FAILS if share.high < 0.5 else Verdict.OPEN
    told = "no success to tell from"
    if share.value is not None:
        told = f"{100 * share.value:.0f}% of {count(share.n, 'success', 'successes')}"
    return Finding(
        f"Most successes come within {SOON} generations.",
        "means of 1.4 to 4.7 generations on CIFAR-10 (Table IV)",
        told,
        verdict,
    )


def _more_pixels(table_2: Sequence[TableRow]) -> Finding:
    curves: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in table_2:
        if row.metric == _RATE and row.ours is not None and row.pixels is not None:
            curves.setdefault((row.model, row.region), []).append((row.pixels, row.ours))
    steps = [
        after - before for curve in curves.values() for (_, before), (_, after) in pairwise(sorted(curve))
    ]
    up, down = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
    # A sign test: McNemar's is one.
    p_value = paired_test([(True, False)] * up + [(False, True)] * down).p_value
    verdict = Verdict.OPEN
    if p_value is not None and p_value < SIGNIFICANT:
        verdict = Verdict.HOLDS if up > down else Verdict.FAILS
    return Finding(
        "More changed pixels, more success.",
        "from 1 to 3 pixels in every column, from 3 to 5 in most (Table II)",
        f"up in {up}, down in {down} of {count(len(steps), 'step')}"
        if steps
        else "one number of pixels only",
        verdict,
    )


def _average(drops: Sequence[TableRow], region: str, pixels: int) -> TableRow | None:
    key = ("", _DROP, region, pixels)
    return next((row for row in drops if (row.model, row.metric, row.region, row.pixels) == key), None)


def _paper_drop(row: TableRow | None, stated: float) -> str:
    """Of the same models as ours where there are any, else what the paper states for CIFAR-10."""
    return f"{row.paper if row and row.paper is not None else stated:.1f}% less often"


def _our_drop(row: TableRow | None, region: str) -> str:
    if row is None:
        return f"no picture was attacked both whole and in the {region}"
    if row.ours is None:
        return "no picture fell whole, so that there is nothing to drop from"
    told = f"{abs(row.ours):.1f}% {'less' if row.ours >= 0 else 'more'} often"
    if row.low is None or row.high is None:
        return f"{told}, from too few successes for an interval"
    return f"{told} (95% interval of the drop: {_signed(row.low)} to {_signed(row.high)}%)"


def _signed(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")
