from __future__ import annotations

import pytest

from pixelprobe.report.metrics.classes import confidence_decrease, original_first_in_top, original_top_in_top
from pixelprobe.report.statistics import Estimate, rate
from tests.unit.report.made import failed, made, scores

CLEAN = scores((0, 0.5), (1, 0.25), (2, 0.125), (3, 0.0625), (4, 0.03125))


def test_the_decrease_of_successes_is_of_the_clean_class() -> None:
    rows = [
        made("a", clean_top=CLEAN, best_probability_of_clean_top=(0.25, 0.5, 0.1, 0.1, 0.05)),
        made("b", clean_top=CLEAN, best_probability_of_clean_top=(0.375, 0.4, 0.1, 0.1, 0.02)),
        failed("c", clean_top=CLEAN, best_probability_of_clean_top=(0.49, 0.2, 0.1, 0.1, 0.1)),
    ]
    found = confidence_decrease(rows, 1, succeeded=True)
    assert found.value == pytest.approx((0.25 + 0.125) / 2)
    assert found.n == 2


def test_the_decrease_of_failures_is_the_mean_of_their_best_classes() -> None:
    rows = [
        # top 3: (0.25 + 0 - 0.125) / 3 = 1/24; top 5: that and 0 and 0 over 5 = 0.025.
        failed("a", clean_top=CLEAN, best_probability_of_clean_top=(0.25, 0.25, 0.25, 0.0625, 0.03125)),
        # top 3: nothing changed.
        failed("b", clean_top=CLEAN, best_probability_of_clean_top=(0.5, 0.25, 0.125, 0.0625, 0.03125)),
        made("c", clean_top=CLEAN, best_probability_of_clean_top=(0.0, 0.0, 0.0, 0.0, 0.0)),
    ]
    assert confidence_decrease(rows, 3, succeeded=False).value == pytest.approx(1 / 48)
    assert confidence_decrease(rows, 5, succeeded=False).value == pytest.approx(0.0125)


def test_a_probability_that_the_target_did_not_tell_is_looked_up_in_its_best_classes() -> None:
    looked_up = failed(
        "a",
        clean_top=CLEAN,
        best_probability_of_clean_top=(),
        best_top=scores((1, 0.4), (0, 0.375), (2, 0.1)),
    )
    # 0.5 - 0.375, 0.25 - 0.4, 0.125 - 0.1; classes 3 and 4 are unknown.
    found = confidence_decrease([looked_up], 3, succeeded=False)
    assert found.value == pytest.approx((0.125 - 0.15 + 0.025) / 3)
    assert found.n == 1
    assert confidence_decrease([looked_up], 5, succeeded=False) == Estimate(None, None, None, 0)


def test_where_a_success_leaves_its_clean_class() -> None:
    rows = [
        made("a", clean_top=CLEAN, best_top=scores((1, 0.4), (0, 0.3), (2, 0.1), (3, 0.1), (4, 0.05))),
        made("b", clean_top=CLEAN, best_top=scores((1, 0.4), (2, 0.3), (3, 0.1), (0, 0.1), (4, 0.05))),
        made("c", clean_top=CLEAN, best_top=scores((1, 0.4), (2, 0.3), (3, 0.1), (4, 0.1), (5, 0.05))),
        failed("d", clean_top=CLEAN, best_top=CLEAN),
    ]
    assert original_first_in_top(rows, 3) == rate(1, 3)
    assert original_first_in_top(rows, 5) == rate(2, 3)


def test_what_a_failure_leaves_of_its_best_classes_whatever_their_order() -> None:
    rows = [
        failed("a", clean_top=CLEAN, best_top=scores((0, 0.3), (3, 0.2), (2, 0.1), (1, 0.1), (4, 0.1))),
        failed("b", clean_top=CLEAN, best_top=scores((2, 0.3), (1, 0.2), (0, 0.1), (9, 0.1), (8, 0.1))),
        failed("unscored", clean_top=CLEAN, best_top=()),
        made("c", clean_top=CLEAN, best_top=scores((7, 0.3), (6, 0.2), (5, 0.1), (9, 0.1), (8, 0.1))),
    ]
    # Of the best three 2/3 and 3/3 are left, of the best five 5/5 and 3/5.
    three, five = original_top_in_top(rows, 3), original_top_in_top(rows, 5)
    assert three.value == pytest.approx(5 / 6)
    assert five.value == pytest.approx(0.8)
    assert (three.n, five.n) == (2, 2)


def test_no_attacks_no_numbers() -> None:
    assert confidence_decrease([], 1, succeeded=True).value is None
    assert original_first_in_top([], 3) == Estimate(None, None, None, 0, 0)
    assert original_top_in_top([], 5) == Estimate(None, None, None, 0)
