"""What each query budget buys: from attacks that ran once, to the largest budget.

An attack with a smaller budget sends the same queries in the same order and stops sooner, so that one run
answers for all budgets up to its own. Where an attack was cut off before a budget (by its own, smaller one),
nothing is known about that budget, and the attack is not counted there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from pixelprobe.model import Attack, Outcome
from pixelprobe.results.records import result_of

SECONDS_A_DAY = 86_400
STOPPED_SHARE = 0.9
_RAN = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.BUDGET_EXHAUSTED)
_Z = 1.959963984540054
"""Of the normal distribution, for 95% intervals."""


@dataclass(frozen=True)
class Course:
    """How one attack went, as far as budgets are concerned.

    Attributes:
        sent: queries that it sent in all.
        success_at: number of the query, from 1, that first met the goal; None without a success.
        complete: the search came to its end, so that no larger budget would have changed anything.
    """

    sent: int
    success_at: int | None
    complete: bool


@dataclass(frozen=True)
class BudgetRow:
    """One budget.

    Attributes:
        budget: most queries of an attack, the clean image included.
        n: attacks for which the outcome at this budget is known.
        successes: of them.
        share: successes / n with its Wilson 95% interval ``low`` to ``high``; None for no attacks.
        queries: mean of an attack; None for no attacks.
        seconds: the same at the given rate; None without one.
        cost: the same in the given currency; None without one.
        fooled_a_day: images that are fooled in a day at the given rate, one after another; None without one.
    """

    budget: int
    n: int
    successes: int
    share: float | None
    low: float | None
    high: float | None
    queries: float | None
    seconds: float | None = None
    cost: float | None = None
    fooled_a_day: float | None = None


@dataclass(frozen=True)
class BudgetTable:
    """All budgets of one condition.

    Attributes:
        target: the classifier.
        region: where pixels may change.
        pixels: how many.
        rows: by budget, ascending.
        median_success: number of the query of the first success, median over the successes; None for none.
        stopping_limit: the largest number of queries for each image at which at least 90% of the successes
            would have been stopped; None without successes.
        left_out: attacks that did not run (not applicable, errors, cancelled).
    """

    target: str
    region: str
    pixels: int
    rows: tuple[BudgetRow, ...]
    median_success: float | None
    stopping_limit: int | None
    left_out: int


def course_of(attack: Attack) -> Course | None:
    """How a finished attack went; None if it did not run."""
    result = result_of(attack)
    if result.outcome not in _RAN:
        return None
    met = result.outcome is Outcome.SUCCESS
    return Course(
        sent=result.queries_sent,
        success_at=(result.first_success_query or result.queries_to_success) if met else None,
        complete=result.outcome is Outcome.FAILURE,
    )


def budget_tables(
    attacks: Iterable[Attack],
    budgets: Sequence[int],
    rate: float | None = None,
    cost_per_1000: float | None = None,
) -> list[BudgetTable]:
    """A table for each target, region and number of pixels, in the order in which they first appear.

    Args:
        attacks: finished ones.
        budgets: most queries of an attack.
        rate: queries a second that the attacker may send.
        cost_per_1000: of a thousand queries, in any currency.
    """
    courses: dict[tuple[str, str, int], list[Course | None]] = {}
    for attack in attacks:
        key = (attack.target, attack.region.value, attack.pixels)
        courses.setdefault(key, []).append(course_of(attack))
    tables = []
    for (target, region, pixels), found in courses.items():
        ran = [course for course in found if course is not None]
        places = sorted(course.success_at for course in ran if course.success_at is not None)
        tables.append(
            BudgetTable(
                target,
                region,
                pixels,
                rows=tuple(_row(ran, budget, rate, cost_per_1000) for budget in sorted(set(budgets))),
                median_success=median(places) if places else None,
                stopping_limit=stopping_limit(places) if places else None,
                left_out=len(found) - len(ran),
            )
        )
    return tables


def stopping_limit(places: Sequence[int]) -> int:
    """The largest limit that stops at least 90% of the attacks whose first successes are at ``places``."""
    ordered = sorted(places)
    # So many may come through; the next one must be stopped.
    spared = math.floor((1 - STOPPED_SHARE) * len(ordered) + 1e-9)
    return ordered[spared] - 1


def at_budget(course: Course, budget: int) -> tuple[bool, int] | None:
    """Whether the attack succeeds within ``budget``, and what it sends; None where that is not known."""
    if course.success_at is not None and course.success_at <= budget:
        return True, course.success_at
    if course.success_at is not None or course.sent >= budget:
        return False, budget
    return (False, course.sent) if course.complete else None


def _row(
    courses: Iterable[Course], budget: int, rate: float | None, cost_per_1000: float | None
) -> BudgetRow:
    known = [ended for course in courses if (ended := at_budget(course, budget)) is not None]
    if not known:
        return BudgetRow(budget, 0, 0, None, None, None, None)
    successes = sum(met for met, _ in known)
    share, queries = successes / len(known), fmean(sent for _, sent in known)
    low, high = wilson(successes, len(known))
    seconds = queries / rate if rate else None
    return BudgetRow(
        budget,
        len(known),
        successes,
        share,
        low,
        high,
        queries,
        seconds=seconds,
        cost=queries / 1000 * cost_per_1000 if cost_per_1000 is not None else None,
        fooled_a_day=SECONDS_A_DAY / seconds * share if seconds else None,
    )


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share of ``n`` > 0 (E. B. Wilson, 1927)."""
    share = successes / n
    middle = share + _Z**2 / (2 * n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
