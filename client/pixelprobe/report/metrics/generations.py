"""How soon attacks succeed, in generations: table IV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelprobe.model import Outcome
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, mean, rate


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
    told = [start for start in starts if start is not None]
    allowed = [row.generations_allowed for row in rows]
    return HowSoon(
        within=success_within(judged, generations),
        at_start=rate(sum(told), len(told)) if len(told) == len(starts) else None,
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
