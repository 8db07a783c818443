from __future__ import annotations

import pytest

from pixelprobe.report.metrics.success import how_soon, mean_generations, success_within
from pixelprobe.report.statistics import Estimate, rate
from tests.unit.report.made import failed, made

ROWS = [
    made("a", generations=1),
    made("b", generations=2),
    made("c", generations=9),
    failed("d", generations=100),
]


def test_the_mean_is_over_successes_only() -> None:
    found = mean_generations(ROWS)
    assert (found.value, found.n) == (4.0, 3)
    assert found.low == 1.0  # no success takes less than one
    # Squares of -3, -2 and 5 are 38, s^2 = 19, s / sqrt(3) = 2.516611, times t(2 degrees) 4.302653.
    assert found.high == pytest.approx(4 + 10.828106, abs=1e-4)


def test_how_many_successes_come_soon() -> None:
    assert success_within(ROWS, 1) == rate(1, 3)
    assert success_within(ROWS, 5) == rate(2, 3)
    assert success_within(ROWS, 9) == rate(3, 3)


def test_no_success_no_generations() -> None:
    assert mean_generations([failed()]) == Estimate(None, None, None, 0)
    assert success_within([failed()], 5) == Estimate(None, None, None, 0, 0)


@pytest.mark.parametrize(
    ("generations", "values", "allowed", "at_start"),
    [
        (1, 1, 100, rate(1, 1)),
        (1, 2, 100, rate(0, 1)),
        (3, 4, 100, rate(0, 1)),
        # Without early stop the history goes on, and does not tell the start population from what followed.
        (1, 101, 100, None),
        (1, 2, 1, None),
        (3, 101, 100, rate(0, 1)),
        (1, 0, 100, None),
    ],
)
def test_the_history_tells_successes_of_the_start_population(
    generations: int, values: int, allowed: int, at_start: Estimate | None
) -> None:
    row = made(generations=generations, generations_allowed=allowed, fitness_by_generation=(0.3,) * values)
    assert how_soon([row], 0).at_start == at_start


def test_only_searches_that_might_go_on_have_a_say() -> None:
    short = [made("a", generations_allowed=5), failed("b", generations_allowed=5)]
    found = how_soon([*short, made("c", generations=9, generations_allowed=6)], 5)
    assert (found.within, found.cut_within, found.allowed) == (rate(0, 1), False, (5, 6))
    found = how_soon(short, 5)
    assert (found.within, found.cut_within, found.allowed) == (rate(1, 1), True, (5, 5))
    assert how_soon([], 5).allowed is None
