"""How soon attacks succeed, in generations: table IV."""

from __future__ import annotations

from collections.abc import Sequence

from client.report.rows import AttackRow
from client.report.statistics import Estimate, mean, rate


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
