"""What each budget buys: known where it was measured, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelprobe.load.budgets import Course, at_budget, budget_tables, course_of, stopping_limit, wilson
from pixelprobe.model import Outcome
from tests.unit.client.values import make_attack, make_result


@pytest.mark.parametrize(
    ("course", "budget", "expected"),
    [
        (Course(100, 40, False), 39, (False, 39)),
        (Course(100, 40, False), 40, (True, 40)),
        (Course(100, 40, False), 1000, (True, 40)),
        (Course(100, None, True), 50, (False, 50)),
        (Course(100, None, True), 1000, (False, 100)),
        (Course(100, None, False), 100, (False, 100)),
        (Course(100, None, False), 101, None),
    ],
)
def test_a_budget_beyond_what_was_sent_is_known_of_complete_searches_only(
    course: Course, budget: int, expected: tuple[bool, int] | None
) -> None:
    assert at_budget(course, budget) == expected


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=60))
def test_the_limit_stops_nine_of_ten_and_the_next_does_not(places: list[int]) -> None:
    limit = stopping_limit(places)
    assert sum(place > limit for place in places) >= 0.9 * len(places) - 1e-9
    assert sum(place > limit + 1 for place in places) < 0.9 * len(places) - 1e-9 or limit + 1 < min(places)


def test_the_interval_is_wilsons() -> None:
    low, high = wilson(5, 20)
    assert (round(low, 4), round(high, 4)) == (0.1119, 0.4687)
    assert wilson(0, 10)[0] == 0.0


def test_tables_count_what_ran_and_price_it() -> None:
    attacks = [
        make_attack(make_result(queries_sent=90, first_success_query=40), 0),
        make_attack(make_result(Outcome.FAILURE, queries_sent=200), 1),
        make_attack(make_result(Outcome.BUDGET_EXHAUSTED, queries_sent=150), 2),
        make_attack(make_result(Outcome.ERROR, queries_sent=3), 3),
    ]
    (table,) = budget_tables(attacks, [1000, 30, 100], rate=2.0, cost_per_1000=10.0)
    assert (table.target, table.region, table.pixels, table.left_out) == ("net", "whole", 1, 1)
    assert [(row.budget, row.n, row.successes) for row in table.rows] == [
        (30, 3, 0),
        (100, 3, 1),
        (1000, 2, 1),
    ]
    hundred = table.rows[1]
    assert hundred.queries == pytest.approx((40 + 100 + 100) / 3)
    assert hundred.seconds == pytest.approx(40)
    assert hundred.cost == pytest.approx(0.8)
    assert hundred.fooled_a_day == pytest.approx(86_400 / 40 / 3)
    assert (table.median_success, table.stopping_limit) == (40, 39)


def test_what_did_not_run_has_no_course() -> None:
    assert course_of(make_attack(make_result(Outcome.NOT_APPLICABLE))) is None
