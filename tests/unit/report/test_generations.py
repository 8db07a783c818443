from __future__ import annotations

import pytest

from client.report.metrics.generations import mean_generations, success_within
from client.report.statistics import Estimate, rate
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
