"""Success by query budget: how many images fall for so many queries each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pixelprobe.model import Outcome
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, rates


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
