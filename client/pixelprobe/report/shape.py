"""Whether our numbers have the paper's shape: its four findings, each as a claim that may or may not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from pixelprobe.report.figure_data import ComparisonRow
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.metrics.success import HowSoon, how_soon
from pixelprobe.report.numbers import Numbers
from pixelprobe.report.reference import Dataset
from pixelprobe.report.statistics import paired_test
from pixelprobe.report.tables import SOON, TableRow
from pixelprobe.results.captions import count

MOST_DROP_PERCENT = 20.0
"""Foreground success is close to whole-image success if it is at most so much less, at least 0.8 of it
(ours; the paper: 7%)."""

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


def findings(numbers: Numbers, evaluation: Evaluation, dataset: Dataset) -> list[Finding]:
    """The paper's four findings, held against ours; untargeted attacks with the fewest pixels.

    Args:
        numbers: ours.
        evaluation: the attacks that they are from.
        dataset: what the paper's are from, where it has none for the same models.
    """
    counts = [
        row.pixels for row in numbers.table_2 if row.pixels is not None and row.metric == _RATE and row.n
    ]
    pixels = min(counts, default=1)
    return [
        _foreground(numbers.drops, pixels, dataset),
        _background(numbers.drops, numbers.comparisons, pixels, dataset),
        _soon(evaluation, pixels, dataset),
        _more_pixels(numbers.table_2, dataset),
    ]


def _foreground(drops: Sequence[TableRow], pixels: int, dataset: Dataset) -> Finding:
    row = _average(drops, "foreground", pixels)
    verdict = Verdict.OPEN
    if row is not None and row.low is not None and row.high is not None:
        if row.high <= MOST_DROP_PERCENT:
            verdict = Verdict.HOLDS
        elif row.low > MOST_DROP_PERCENT:
            verdict = Verdict.FAILS
    text = f"“almost” is taken as at least {_share(MOST_DROP_PERCENT):.1f} of it"
    if row is not None and row.ours is not None:
        interval = ""
        if row.low is not None and row.high is not None:
            interval = f" ({_share(row.high):.2f} to {_share(row.low):.2f})"
        text = f"foreground / whole is {_share(row.ours):.2f}{interval}; {text}"
    return Finding(
        "Searching the foreground alone succeeds almost as often as searching the whole image.",
        _paper_drop(row, "foreground", dataset),
        f"{_our_drop(row, 'foreground')}; {text}",
        verdict,
    )


def _share(drop: float) -> float:
    """What a drop in percent leaves, of 1."""
    return 1 - drop / 100


def _background(
    drops: Sequence[TableRow], tests: Sequence[ComparisonRow], pixels: int, dataset: Dataset
) -> Finding:
    row = _average(drops, "background", pixels)
    pairs = [t for t in tests if (t.pixels, t.first, t.second) == (pixels, "foreground", "background")]
    sure = [t for t in pairs if t.p_value is not None and t.p_value < SIGNIFICANT]
    lower = sum((t.second_share or 0) < (t.first_share or 0) for t in sure)
    verdict = Verdict.OPEN
    if pairs and lower == len(pairs):
        verdict = Verdict.HOLDS
    elif len(sure) > lower:
        verdict = Verdict.FAILS
    text = f"; beyond chance (p < {SIGNIFICANT:g}) less often than in the foreground for {lower} of "
    return Finding(
        "Searching the background alone succeeds far less often.",
        _paper_drop(row, "background", dataset),
        _our_drop(row, "background") + (text + count(len(pairs), "model") if pairs else ""),
        verdict,
    )


def _soon(evaluation: Evaluation, pixels: int, dataset: Dataset) -> Finding:
    """Open where searches were cut so early that no success could come late."""
    attacks = [
        row
        for model in evaluation.models
        for region in evaluation.regions
        if region != "control"
        for row in evaluation.untargeted(model, region, pixels)
    ]
    soon = how_soon(attacks, SOON)
    share = soon.within
    verdict = Verdict.OPEN
    if share.low is not None and share.high is not None and not (soon.cut_within or soon.spent):
        verdict = Verdict.HOLDS if share.low > 0.5 else Verdict.FAILS if share.high < 0.5 else Verdict.OPEN
    fewest, most = dataset.generations
    return Finding(
        f"Most successes come within {SOON} generations.",
        f"means of {fewest:.1f} to {most:.1f} generations on {dataset.name} (Table IV)",
        _when(soon),
        verdict,
    )


def _when(soon: HowSoon) -> str:
    if soon.within.value is None or soon.allowed is None:
        return "no success to judge from"
    text = f"{100 * soon.within.value:.0f}% of {count(soon.within.n, 'success', 'successes')}"
    if soon.at_start is not None and soon.at_start.value is not None:
        text += f", {100 * soon.at_start.value:.0f}% in the start population (counted as generation 1)"
    fewest, most = soon.allowed
    cut = f"searches were cut at {count(most, 'generation')}"
    if soon.cut_within:
        cut = f"but {cut}, so that no success could come later"
    elif fewest <= SOON:
        cut = f"of searches cut at up to {most} generations; those cut within {SOON} have no say"
    elif fewest < most:
        cut = f"searches were cut at {fewest} to {most} generations"
    elif most < 2 * SOON:
        cut += ", so that few successes could come later"
    if soon.spent:
        cut += f"; but a query budget cut {count(soon.spent, 'search', 'searches')} within {SOON}"
    return f"{text}; {cut}"


def _more_pixels(table_2: Sequence[TableRow], dataset: Dataset) -> Finding:
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
        dataset.more_pixels,
        f"up in {up}, down in {down} of {count(len(steps), 'step')}"
        if steps
        else "one number of pixels only",
        verdict,
    )


def _average(drops: Sequence[TableRow], region: str, pixels: int) -> TableRow | None:
    key = ("", _DROP, region, pixels)
    return next((row for row in drops if (row.model, row.metric, row.region, row.pixels) == key), None)


def _paper_drop(row: TableRow | None, region: str, dataset: Dataset) -> str:
    """Of the same models as ours where there are any, else what the paper states for its own."""
    if row is not None and row.paper is not None:
        return f"{row.paper:.1f}% less often"
    return f"{dataset.drops[region]:.1f}% less often, the mean of its networks on {dataset.name}"


def _our_drop(row: TableRow | None, region: str) -> str:
    if row is None:
        return f"no image was attacked both whole and in the {region}"
    if row.ours is None:
        return "no image fell whole, so that there is nothing to drop from"
    text = f"{abs(row.ours):.1f}% {'less' if row.ours >= 0 else 'more'} often"
    if row.low is None or row.high is None:
        return f"{text}, from too few successes for an interval"
    return f"{text} (95% interval of the drop: {_signed(row.low)} to {_signed(row.high)}%)"


def _signed(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")
