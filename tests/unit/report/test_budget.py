from __future__ import annotations

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.success import success_by_budget
from pixelprobe.report.statistics import Estimate, rate
from tests.unit.report.made import failed, made


def test_the_curve_rises_with_each_success_and_failures_stay_in_the_denominator() -> None:
    rows = [
        made("a", queries_to_success=101, queries_sent=101),
        made("b", queries_to_success=301, queries_sent=301),
        made("c", queries_to_success=101, queries_sent=150),
        failed("d", queries_sent=40000),
    ]
    curve = success_by_budget(rows)
    found = [(point.queries, point.success) for point in curve.points]
    assert found == [(0, rate(0, 4)), (101, rate(2, 4)), (301, rate(3, 4)), (40000, rate(3, 4))]
    assert curve.certain_up_to is None


def test_budgets_can_be_given() -> None:
    rows = [made("a", queries_to_success=100), made("b", queries_to_success=101), failed("c")]
    curve = success_by_budget(rows, [50, 100, 1000])
    assert [point.success for point in curve.points] == [rate(0, 3), rate(1, 3), rate(2, 3)]


def test_beyond_the_first_budget_that_ended_an_attack_the_curve_is_a_lower_bound() -> None:
    rows = [
        made("a", queries_to_success=900, queries_sent=900),
        made("b", Outcome.BUDGET_EXHAUSTED, queries_sent=500),
        made("c", Outcome.BUDGET_EXHAUSTED, queries_sent=600),
    ]
    curve = success_by_budget(rows)
    assert curve.certain_up_to == 500
    assert curve.points[-1].success == rate(1, 3)


def test_without_attacks_the_curve_has_no_shares() -> None:
    (point,) = success_by_budget([]).points
    assert point.success == Estimate(None, None, None, 0, 0)
