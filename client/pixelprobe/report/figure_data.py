"""The numbers behind the figures and the tests, as plain rows: what a chart draws and a CSV file holds.

Shares and their intervals are fractions, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pixelprobe.report.metrics.classes import class_pairs, classes_reached
from pixelprobe.report.metrics.evaluation import PAPER_IMAGES, PAPER_REGIONS, Evaluation, fitness_panels
from pixelprobe.report.metrics.regions import compare_regions
from pixelprobe.report.metrics.success import success_by_budget, targeted_images

ZEROS_LISTED = 100
"""Up to so many classes, pairs of classes without successes are listed too: of 1000 there are a million."""

COMPARED = (("foreground", "background"), ("foreground", "control"), ("background", "control"))


@dataclass(frozen=True)
class ReachedRow:
    """Fig. 3: ``images`` of ``n`` were brought to exactly so many target classes."""

    model: str
    region: str
    pixels: int
    classes_reached: int
    images: int
    n: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class PairRow:
    """Fig. 4 (goal "untargeted") and 5 ("targeted"): successes between two classes."""

    model: str
    region: str
    pixels: int
    goal: str
    original: int
    reached: int
    successes: int


@dataclass(frozen=True)
class FitnessRow:
    """Fig. 6: one curve's value; image "" is the panel's mean. ``known`` is False for padding."""

    model: str
    region: str
    pixels: int
    image_digest: str
    image_name: str
    generation: int
    fitness: float
    known: bool


@dataclass(frozen=True)
class BudgetRow:
    """The share of ``n`` attacks that had succeeded by the time they had sent so many queries.

    ``lower_bound``: some attack had been cut off by its budget before.
    """

    model: str
    region: str
    pixels: int
    queries: int
    successes: int
    n: int
    share: float | None
    low: float | None
    high: float | None
    lower_bound: bool


@dataclass(frozen=True)
class ComparisonRow:
    """Two regions on the same ``n`` images, untargeted: rates, mean areas and the exact McNemar test."""

    model: str
    pixels: int
    first: str
    second: str
    n: int
    first_share: float | None
    second_share: float | None
    first_area: float | None
    second_area: float | None
    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float | None


def reached_rows(evaluation: Evaluation, classes: int = 10) -> Iterator[ReachedRow]:
    """Fig. 3, of every condition that has complete targeted attacks."""
    for condition in evaluation.conditions:
        complete = targeted_images(evaluation.targeted(*condition), classes).complete
        if complete:
            for number, share in enumerate(classes_reached(complete, classes)):
                images = share.successes or 0
                yield ReachedRow(*condition, number, images, share.n, share.value, share.low, share.high)


def pair_rows(evaluation: Evaluation, classes: int = 10) -> Iterator[PairRow]:
    """Fig. 4 and 5, of every condition that has such attacks; zeros too, of up to ZEROS_LISTED classes."""
    for condition in evaluation.conditions:
        untargeted, targeted = evaluation.untargeted(*condition), evaluation.targeted(*condition)
        for goal, attacks in (("untargeted", untargeted), ("targeted", targeted)):
            if attacks:
                for original, counts in enumerate(class_pairs(attacks, classes)):
                    for reached, successes in enumerate(counts):
                        if successes or classes <= ZEROS_LISTED:
                            yield PairRow(*condition, goal, original, reached, successes)


def fitness_rows(
    evaluation: Evaluation, pixels: int = 1, limit: int = PAPER_IMAGES, seed: int = 0
) -> Iterator[FitnessRow]:
    """Fig. 6 of every model; see :func:`fitness_panels`."""
    for model in evaluation.models:
        panels = fitness_panels(evaluation, model, pixels, regions=PAPER_REGIONS, limit=limit, seed=seed)
        for panel in panels:
            for curve in panel.curves:
                image = (curve.image_digest, curve.image_name)
                for generation, value in enumerate(curve.fitness):
                    known = generation < curve.known
                    yield FitnessRow(model, panel.region, pixels, *image, generation, value, known)
            for generation, value in enumerate(panel.mean):
                known = all(generation < curve.known for curve in panel.curves)
                yield FitnessRow(model, panel.region, pixels, "", "", generation, value, known)


def budget_rows(evaluation: Evaluation) -> Iterator[BudgetRow]:
    """Untargeted success by query budget, of every condition that has such attacks."""
    for condition in evaluation.conditions:
        attacks = evaluation.untargeted(*condition)
        if attacks:
            curve = success_by_budget(attacks)
            for point in curve.points:
                share = point.success
                beyond = curve.certain_up_to is not None and point.queries > curve.certain_up_to
                yield BudgetRow(
                    *condition,
                    point.queries,
                    share.successes or 0,
                    share.n,
                    share.value,
                    share.low,
                    share.high,
                    beyond,
                )


def comparison_rows(evaluation: Evaluation) -> Iterator[ComparisonRow]:
    """The pairs of COMPARED, of every model and number of pixels that has images attacked in both."""
    for model in evaluation.models:
        for pixels in evaluation.pixel_counts:
            for first, second in COMPARED:
                found = compare_regions(evaluation, model, pixels, first, second)
                test = found.test
                if test.n:
                    yield ComparisonRow(
                        model=model,
                        pixels=pixels,
                        first=first,
                        second=second,
                        n=test.n,
                        first_share=found.first_success.value,
                        second_share=found.second_success.value,
                        first_area=found.first_area.value,
                        second_area=found.second_area.value,
                        both=test.both,
                        only_first=test.only_first,
                        only_second=test.only_second,
                        neither=test.neither,
                        p_value=test.p_value,
                    )
