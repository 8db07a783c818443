"""The paper's tables with our numbers beside the paper's, as plain rows in the paper's units.

Metrics have the names that they have in ``reference.csv``; what the paper lacks has a name of the same kind
and no number of the paper's. Where nothing was attacked, ours is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pixelprobe.report.metrics import classes as ranking
from pixelprobe.report.metrics import success
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.metrics.regions import RelativeDrop, mean_area, targeted_drop, untargeted_drop
from pixelprobe.report.reference import IMAGENET, Dataset, Reference
from pixelprobe.report.statistics import Estimate, rate

SOON = 5
"""Generations: the paper's "most successes come within 1 to 5"."""


@dataclass(frozen=True)
class TableRow:
    """One number of ours with its 95% interval, and the paper's.

    Attributes:
        table: "I" to "IV" as in the paper, "drop", "soon" or "area".
        model: "" where the number is over all models.
        region: "" where there is none, as in table I.
        unit: "percent" or "generations", of the four numbers that follow.
        paper: None where the paper has no such number.
        low: of our interval; it says nothing about how sure the paper's number is.
        inside: whether the paper's number lies in our interval; None where one of them is missing.
        n: the denominator, or the number of values in a mean.
        successes: of a rate, the numerator.
    """

    table: str
    model: str
    metric: str
    region: str
    pixels: int | None
    unit: str
    paper: float | None
    ours: float | None
    low: float | None
    high: float | None
    inside: bool | None
    n: int
    successes: int | None


@dataclass(frozen=True)
class Accuracy:
    """Of a model on clean images: how many of a test set it gets right."""

    correct: int
    total: int


def table_1(accuracies: Mapping[str, Accuracy], reference: Reference) -> list[TableRow]:
    """Accuracy on clean images; ``accuracies`` by model."""
    metric = "top1_accuracy_percent"
    return [
        _row("I", model, metric, rate(of.correct, of.total), reference.value("I", model, metric))
        for model, of in sorted(accuracies.items())
    ]


def table_2(evaluation: Evaluation, reference: Reference, classes: int = 10) -> list[TableRow]:
    """Success rates and confidences, untargeted and targeted, of every condition.

    Args:
        evaluation: the attacks.
        reference: the paper's numbers.
        classes: how many the models know: an image counts as targeted if all but its own were aimed at.
    """
    rows = []
    for condition in evaluation.conditions:
        untargeted = evaluation.untargeted(*condition)
        images = success.targeted_images(evaluation.targeted(*condition), classes).complete
        estimates = {
            "untargeted1_success_percent": success.success_rate(untargeted),
            "untargeted1_confidence_percent": success.confidence(untargeted),
            "untargeted2_success_percent": success.any_target_rate(images),
            "targeted_success_percent": success.targeted_rate(images),
            "targeted_confidence_percent": success.targeted_confidence(images),
        }
        model, region, pixels = condition
        for metric, estimate in estimates.items():
            paper = reference.value("II", model, metric, region, pixels)
            rows.append(_row("II", model, metric, estimate, paper, region, pixels))
    return rows


def table_3(evaluation: Evaluation, reference: Reference) -> list[TableRow]:
    """What untargeted attacks do to the best classes' probabilities and order, of every condition."""
    rows = []
    for model, region, pixels in evaluation.conditions:
        attacks = evaluation.untargeted(model, region, pixels)
        estimates = {
            "untargeted_success_percent": success.success_rate(attacks),
            "untargeted_confidence_percent": success.confidence(attacks),
            "confidence_decrease_top1_success_percent": ranking.confidence_decrease(
                attacks, 1, succeeded=True
            ),
            "confidence_decrease_top3_failure_percent": ranking.confidence_decrease(
                attacks, 3, succeeded=False
            ),
            "confidence_decrease_top5_failure_percent": ranking.confidence_decrease(
                attacks, 5, succeeded=False
            ),
            "original_top1_in_top3_success_percent": ranking.original_first_in_top(attacks, 3),
            "original_top1_in_top5_success_percent": ranking.original_first_in_top(attacks, 5),
            "original_top3_in_top3_failure_percent": ranking.original_top_in_top(attacks, 3),
            "original_top5_in_top5_failure_percent": ranking.original_top_in_top(attacks, 5),
        }
        for metric, estimate in estimates.items():
            paper = reference.value("III", model, metric, region, pixels)
            rows.append(_row("III", model, metric, estimate, paper, region, pixels))
    return rows


def table_4(evaluation: Evaluation, reference: Reference) -> list[TableRow]:
    """Mean generations to success, untargeted, of every condition; the paper has one pixel only."""
    metric = "mean_generations_success"
    rows = []
    for model, region, pixels in evaluation.conditions:
        estimate = success.mean_generations(evaluation.untargeted(model, region, pixels))
        paper = reference.value("IV", model, metric, region, pixels)
        rows.append(_row("IV", model, metric, estimate, paper, region, pixels))
    return rows


def soon_table(evaluation: Evaluation) -> list[TableRow]:
    """The share of untargeted successes within SOON generations, of every condition."""
    metric = f"success_within_{SOON}_generations_percent"
    rows = []
    for model, region, pixels in evaluation.conditions:
        estimate = success.success_within(evaluation.untargeted(model, region, pixels), SOON)
        rows.append(_row("soon", model, metric, estimate, None, region, pixels))
    return rows


def area_table(evaluation: Evaluation) -> list[TableRow]:
    """The mean share of the image that each region covers."""
    return [
        _row("area", "", "mean_area_percent", mean_area(evaluation, region), None, region)
        for region in evaluation.regions
    ]


def drop_table(evaluation: Evaluation, reference: Reference, classes: int = 10) -> list[TableRow]:
    """Relative drops of success against the whole image, by model and (model "") their average.

    The paper's are computed from its table II, or III for its ImageNet models, in the way that gives the
    averages it states; an average is over the same models as ours. Drops without images are not listed.
    """
    rows: list[TableRow] = []
    for region in evaluation.regions:
        if region == "whole":
            continue
        for pixels in evaluation.pixel_counts:
            drops = {
                "untargeted1_success_percent": untargeted_drop(evaluation, region, pixels),
                "targeted_success_percent": targeted_drop(evaluation, region, pixels, classes),
            }
            for metric, drop in drops.items():
                if drop.average.n:
                    rows += _drop_rows(metric, drop, reference)
    return rows


def paper_drop(
    models: Sequence[str], metric: str, region: str, pixels: int, reference: Reference
) -> float | None:
    """The paper's relative drop in percent, the mean of these models' drops; None where it lacks a rate."""
    rate_metric = metric.replace("relative_drop", "success")
    small = reference.relative_drop("II", models, rate_metric, region, pixels)
    if small is not None:
        return small
    rate_metric = rate_metric.replace("untargeted1", "untargeted")
    return reference.relative_drop("III", models, rate_metric, region, pixels, IMAGENET.images)


def _drop_rows(rate_metric: str, drop: RelativeDrop, reference: Reference) -> Iterator[TableRow]:
    metric = rate_metric.replace("success", "relative_drop")
    averaged = [model for model, estimate in drop.by_model.items() if estimate.value is not None]
    for model, estimate in drop.by_model.items():
        paper = paper_drop([model], metric, drop.region, drop.pixels, reference)
        yield _row("drop", model, metric, estimate, paper, drop.region, drop.pixels)
    paper = paper_drop(averaged, metric, drop.region, drop.pixels, reference)
    yield _row("drop", "", metric, drop.average, paper, drop.region, drop.pixels)


def _row(
    table: str,
    model: str,
    metric: str,
    estimate: Estimate,
    paper: float | None,
    region: str = "",
    pixels: int | None = None,
) -> TableRow:
    unit, scale = ("percent", 100.0) if metric.endswith("_percent") else ("generations", 1.0)
    return TableRow(
        table=table,
        model=model,
        metric=metric,
        region=region,
        pixels=pixels,
        unit=unit,
        paper=paper,
        ours=_scaled(estimate.value, scale),
        low=_scaled(estimate.low, scale),
        high=_scaled(estimate.high, scale),
        inside=None if paper is None else estimate.contains(paper / scale),
        n=estimate.n,
        successes=estimate.successes,
    )


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


@dataclass(frozen=True)
class OtherNumber:
    """What the paper has for a network that was not attacked here, in the place of one of our numbers.

    Attributes:
        network: as the paper calls it.
        table: of our row, as are ``metric``, ``region`` and ``pixels``.
        value: in that row's unit.
    """

    network: str
    table: str
    metric: str
    region: str
    pixels: int | None
    value: float


def other_networks(rows: Iterable[TableRow], reference: Reference, dataset: Dataset) -> list[OtherNumber]:
    """The paper's numbers for all its networks on ``dataset``, wherever ``rows`` have one of ours.

    None if one of its networks was attacked here: then its numbers stand beside ours already.
    """
    rows = list(rows)
    if any(row.model in dataset.networks for row in rows):
        return []
    return list(dict.fromkeys(number for row in rows for number in _of_each(row, reference, dataset)))


def _of_each(row: TableRow, reference: Reference, dataset: Dataset) -> Iterator[OtherNumber]:
    for model, network in dataset.networks.items():
        if row.table == "drop":
            value = paper_drop([model], row.metric, row.region, row.pixels or 0, reference)
        else:
            value = reference.value(row.table, model, row.metric, row.region, row.pixels)
        if value is not None:
            yield OtherNumber(network, row.table, row.metric, row.region, row.pixels, value)
