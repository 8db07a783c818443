from __future__ import annotations

from pixelprobe.model import Outcome
from pixelprobe.report.figure_data import (
    BudgetRow,
    ComparisonRow,
    FitnessRow,
    PairRow,
    ReachedRow,
    budget_rows,
    comparison_rows,
    fitness_rows,
    pair_rows,
    reached_rows,
)
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.statistics import rate
from tests.unit.report.made import failed, made, targeted


def test_figure_3_lists_every_number_of_classes() -> None:
    rows = [targeted("a", 1, Outcome.SUCCESS), targeted("a", 2, Outcome.FAILURE)]
    half = rate(1, 1)
    none = rate(0, 1)
    assert list(reached_rows(Evaluation(rows), classes=3)) == [
        ReachedRow("net", "whole", 1, 0, 0, 1, 0.0, none.low, none.high),
        ReachedRow("net", "whole", 1, 1, 1, 1, 1.0, half.low, half.high),
        ReachedRow("net", "whole", 1, 2, 0, 1, 0.0, none.low, none.high),
    ]


def test_figures_4_and_5_list_every_pair_of_classes() -> None:
    rows = [made("a"), made("b"), targeted("a", 1, Outcome.SUCCESS)]
    found = list(pair_rows(Evaluation(rows), classes=2))
    assert found == [
        PairRow("net", "whole", 1, "untargeted", 0, 0, 0),
        PairRow("net", "whole", 1, "untargeted", 0, 1, 2),
        PairRow("net", "whole", 1, "untargeted", 1, 0, 0),
        PairRow("net", "whole", 1, "untargeted", 1, 1, 0),
        PairRow("net", "whole", 1, "targeted", 0, 0, 0),
        PairRow("net", "whole", 1, "targeted", 0, 1, 1),
        PairRow("net", "whole", 1, "targeted", 1, 0, 0),
        PairRow("net", "whole", 1, "targeted", 1, 1, 0),
    ]


def test_figure_6_lists_each_curve_and_the_mean() -> None:
    rows = [
        made("a", region="whole", fitness_by_generation=(0.5, 0.25)),
        made("a", region="foreground", fitness_by_generation=(0.75,)),
        made("a", region="background", fitness_by_generation=(0.5, 0.5)),
    ]
    found = list(fitness_rows(Evaluation(rows)))
    assert len(found) == 3 * (2 + 2)
    assert [row for row in found if row.region == "foreground"] == [
        FitnessRow("net", "foreground", 1, "a", "image a", 0, 0.75, True),
        FitnessRow("net", "foreground", 1, "a", "image a", 1, 0.75, False),
        FitnessRow("net", "foreground", 1, "", "", 0, 0.75, True),
        FitnessRow("net", "foreground", 1, "", "", 1, 0.75, False),
    ]


def test_a_mean_is_known_as_far_as_all_its_curves_are() -> None:
    rows = [
        made(image, region=region, fitness_by_generation=fitness)
        for image, fitness in (("a", (0.5,)), ("b", (0.5, 0.25)))
        for region in ("whole", "foreground", "background")
    ]
    means = [row for row in fitness_rows(Evaluation(rows)) if row.image_digest == ""]
    assert [(row.generation, row.fitness, row.known) for row in means] == [
        (0, 0.5, True),
        (1, 0.375, False),
    ] * 3


def test_budget_curves_say_where_they_are_a_lower_bound() -> None:
    rows = [
        made("a", queries_to_success=10, queries_sent=10),
        made("b", Outcome.BUDGET_EXHAUSTED, queries_sent=20),
        failed("c", queries_sent=30),
    ]
    none, one = rate(0, 3), rate(1, 3)
    assert list(budget_rows(Evaluation(rows))) == [
        BudgetRow("net", "whole", 1, 0, 0, 3, 0.0, none.low, none.high, False),
        BudgetRow("net", "whole", 1, 10, 1, 3, 1 / 3, one.low, one.high, False),
        BudgetRow("net", "whole", 1, 30, 1, 3, 1 / 3, one.low, one.high, True),
    ]


def test_comparisons_are_listed_where_there_is_something_to_compare() -> None:
    rows = [
        made("a", region="foreground", region_area_fraction=0.25),
        failed("a", region="background", region_area_fraction=0.75),
        made("b", region="foreground", pixels=3),
    ]
    (found,) = comparison_rows(Evaluation(rows))
    assert found == ComparisonRow(
        model="net",
        pixels=1,
        first="foreground",
        second="background",
        n=1,
        first_share=1.0,
        second_share=0.0,
        first_area=0.25,
        second_area=0.75,
        both=0,
        only_first=1,
        only_second=0,
        neither=0,
        p_value=1.0,
    )


def test_an_empty_evaluation_draws_nothing() -> None:
    evaluation = Evaluation([])
    for rows in (reached_rows, pair_rows, fitness_rows, budget_rows, comparison_rows):
        assert list(rows(evaluation)) == []
