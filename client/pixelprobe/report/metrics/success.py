"""Success rates and confidences: the numbers of table II, and the first two of table III.

All functions take the attacks of one condition that ran to an end; see :class:`Evaluation`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pixelprobe.model import Outcome
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, clustered_rate, mean, rate, rates


@dataclass(frozen=True)
class TargetedImage:
    """One image's targeted attacks, all that there are: one a class but the clean one's."""

    image_digest: str
    attacks: Sequence[AttackRow]

    @property
    def classes_reached(self) -> int:
        """How many of them succeeded."""
        return sum(row.succeeded for row in self.attacks)


@dataclass(frozen=True)
class TargetedImages:
    """The images of a condition that the targeted metrics are about, and how many are not complete."""

    complete: Sequence[TargetedImage]
    incomplete: int


def success_rate(rows: Sequence[AttackRow]) -> Estimate:
    """Untargeted1: untargeted successes / images attacked."""
    return rate(sum(row.succeeded for row in rows), len(rows))


def confidence(rows: Sequence[AttackRow]) -> Estimate:
    """Confidence_u and Confidence_t: mean probability of the predicted class over the successes.

    Several successes on one image (targeted) are taken together for the interval.
    """
    wins = [row for row in rows if row.succeeded]
    return mean(
        [row.best_top[0].probability for row in wins],
        [row.image_digest for row in wins],
        lowest=0.0,
        highest=1.0,
    )


def targeted_images(rows: Sequence[AttackRow], classes: int) -> TargetedImages:
    """The images with ``classes`` - 1 attacks, each at another class; the others are only counted."""
    by_image: dict[str, list[AttackRow]] = {}
    for row in rows:
        by_image.setdefault(row.image_digest, []).append(row)
    complete = [TargetedImage(digest, own) for digest, own in by_image.items() if len(own) == classes - 1]
    return TargetedImages(complete, len(by_image) - len(complete))


def any_target_rate(images: Sequence[TargetedImage]) -> Estimate:
    """Untargeted2: images with at least one successful targeted attack / images."""
    return rate(sum(image.classes_reached > 0 for image in images), len(images))


def targeted_rate(images: Sequence[TargetedImage]) -> Estimate:
    """Targeted: targeted successes / (9 n), or (K - 1) n for K classes."""
    return clustered_rate([(image.classes_reached, len(image.attacks)) for image in images])


def targeted_confidence(images: Sequence[TargetedImage]) -> Estimate:
    """Confidence_t of these images."""
    return confidence([row for image in images for row in image.attacks])


@dataclass(frozen=True)
class HowSoon:
    """When successes came, of searches that might have gone on to find later ones.

    Attributes:
        within: the share of the successes that took at most so many generations.
        at_start: the share that the start population had already; None where a search without early stop
            leaves open whether a success of generation 1 came in it or right after.
        cut_within: no search was allowed more than so many generations, so that all successes are early: both
            shares are over all searches then, else over those that were allowed more.
        allowed: the fewest and the most generations that a search was allowed; None without searches.
        spent: searches without success that a query budget ended within so many generations.
    """

    within: Estimate
    at_start: Estimate | None
    cut_within: bool
    allowed: tuple[int, int] | None
    spent: int


def mean_generations(rows: Sequence[AttackRow]) -> Estimate:
    """Table IV: the mean number of generations to success, over the successes.

    A success in the start population counts as one generation. The numbers are far from normal (most are 1),
    so the interval is rough where there are few successes.
    """
    return mean([float(row.generations) for row in rows if row.succeeded], lowest=1.0)


def success_within(rows: Sequence[AttackRow], generations: int) -> Estimate:
    """The share of the successes that took at most so many generations."""
    wins = [row for row in rows if row.succeeded]
    return rate(sum(row.generations <= generations for row in wins), len(wins))


def how_soon(rows: Sequence[AttackRow], generations: int) -> HowSoon:
    """See :class:`HowSoon`; ``rows`` ran to an end, of any conditions."""
    longer = [row for row in rows if row.generations_allowed > generations]
    judged = longer or rows
    starts = [_at_start(row) for row in judged if row.succeeded]
    known = [start for start in starts if start is not None]
    allowed = [row.generations_allowed for row in rows]
    return HowSoon(
        within=success_within(judged, generations),
        at_start=rate(sum(known), len(known)) if len(known) == len(starts) else None,
        cut_within=bool(rows) and not longer,
        allowed=(min(allowed), max(allowed)) if allowed else None,
        spent=sum(
            row.outcome is Outcome.BUDGET_EXHAUSTED and row.generations <= generations for row in longer
        ),
    )


def _at_start(row: AttackRow) -> bool | None:
    """Whether the start population had the success; None where that is not known.

    Early stop ends the history with the success, so that one value means the start population.
    """
    values = len(row.fitness_by_generation)
    if row.generations > 1:
        return False
    if values == 1:
        return True
    stopped_after_one = values == 2 and row.generations_allowed > 1
    return False if stopped_after_one else None


@dataclass(frozen=True)
class BudgetPoint:
    """The share of attacks that had succeeded by the time they had sent so many queries."""

    queries: int
    success: Estimate


@dataclass(frozen=True)
class BudgetCurve:
    """A step function that rises at each point.

    Attributes:
        points: by queries, ascending.
        certain_up_to: beyond so many queries the curve is a lower bound, as an attack without success was cut
            off there by its budget; None where no attack was.
    """

    points: Sequence[BudgetPoint]
    certain_up_to: int | None


def success_by_budget(rows: Sequence[AttackRow], budgets: Sequence[int] | None = None) -> BudgetCurve:
    """The curve of the attacks of one condition that ran to an end.

    Censored: an attack that never succeeded counts as a failure at every budget, so the last point is the
    success rate and nothing is gained by giving up early.

    Args:
        rows: one an image.
        budgets: where to look, ascending; by default wherever the curve rises, from 0 to the most
            that an attack sent.
    """
    costs = sorted(row.queries_to_success for row in rows if row.succeeded)
    if budgets is None:
        last = max((row.queries_sent for row in rows), default=0)
        budgets = sorted({0, *costs, last})
    shares = rates([bisect_right(costs, budget) for budget in budgets], len(rows))
    cut_off = [row.queries_sent for row in rows if row.outcome is Outcome.BUDGET_EXHAUSTED]
    points = [BudgetPoint(budget, share) for budget, share in zip(budgets, shares, strict=True)]
    return BudgetCurve(points, min(cut_off, default=None))
