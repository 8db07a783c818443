"""What holds for any attacks: three classes, few images and regions, so that all cases meet often."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pixelprobe.model import Outcome
from pixelprobe.report.figure_data import budget_rows, comparison_rows, fitness_rows, pair_rows, reached_rows
from pixelprobe.report.metrics.classes import class_pairs, classes_reached
from pixelprobe.report.metrics.evaluation import Evaluation, left_out
from pixelprobe.report.metrics.regions import compare_regions
from pixelprobe.report.metrics.success import any_target_rate, success_rate, targeted_images, targeted_rate
from pixelprobe.report.reference import load_reference
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, clustered_rate, mean, paired_test, rate
from pixelprobe.report.tables import drop_table, soon_table, table_2, table_3, table_4
from tests.unit.report.made import made, scores

CLASSES = 3
CONDITION = ("allconv_cifar10", "whole", 1)


@st.composite
def attacks(draw: st.DrawFn) -> list[AttackRow]:
    """Different attacks, each ending in any way that its goal allows."""
    keys = draw(
        st.lists(
            st.tuples(
                st.sampled_from("abcdef"),
                st.sampled_from(["allconv_cifar10", "other"]),
                st.sampled_from(["whole", "foreground", "background", "control"]),
                st.sampled_from([1, 3]),
                st.sampled_from([None, 0, 1, 2]),
            ),
            unique=True,
            max_size=60,
        )
    )
    return [draw(one_attack(*key)) for key in keys]


@st.composite
def one_attack(
    draw: st.DrawFn, image: str, target: str, region: str, pixels: int, goal: int | None
) -> AttackRow:
    clean = "abcdef".index(image) % CLASSES
    outcome = Outcome.NOT_APPLICABLE if goal == clean else draw(st.sampled_from(Outcome))
    reached = goal if goal is not None else draw(st.sampled_from([c for c in range(CLASSES) if c != clean]))
    top = reached if outcome is Outcome.SUCCESS else clean
    probability = draw(st.floats(0.5, 1, width=32))
    sent = draw(st.integers(1, 1000))
    success = outcome is Outcome.SUCCESS
    return made(
        image,
        outcome,
        target=target,
        region=region,
        pixels=pixels,
        target_class=goal,
        clean_top=scores((clean, 0.8), ((clean + 1) % 3, 0.15), ((clean + 2) % 3, 0.05)),
        best_top=scores((top, probability), ((top + 1) % 3, 0.1), ((top + 2) % 3, 0.05)),
        queries_sent=sent,
        queries_to_success=draw(st.integers(1, sent)) if success else 0,
        generations=draw(st.integers(1, 100)),
        fitness_by_generation=draw(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=4)),
        region_area_fraction=draw(st.floats(0, 1)),
    )


@given(attacks(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_no_number_depends_on_the_order_of_the_attacks(rows: list[AttackRow], order: random.Random) -> None:
    shuffled = rows.copy()
    order.shuffle(shuffled)
    reference = load_reference()

    def everything(attacks: list[AttackRow]) -> list[object]:
        evaluation = Evaluation(attacks)
        return [
            table_2(evaluation, reference, CLASSES),
            table_3(evaluation, reference),
            table_4(evaluation, reference),
            drop_table(evaluation, reference, CLASSES),
            soon_table(evaluation),
            list(reached_rows(evaluation, CLASSES)),
            list(pair_rows(evaluation, CLASSES)),
            list(fitness_rows(evaluation)),
            list(budget_rows(evaluation)),
            list(comparison_rows(evaluation)),
            left_out(evaluation, CLASSES),
        ]

    assert everything(rows) == everything(shuffled)


@given(attacks())
@settings(deadline=None)
def test_every_number_lies_in_its_interval_and_in_its_range(rows: list[AttackRow]) -> None:
    evaluation = Evaluation(rows)
    reference = load_reference()
    for row in table_2(evaluation, reference, CLASSES) + table_3(evaluation, reference):
        if row.ours is None:
            assert row.n == 0
            assert (row.low, row.high, row.inside) == (None, None, None)
        else:
            least = -100 if "decrease" in row.metric else 0
            assert least <= row.ours <= 100 + 1e-9
            if row.low is not None and row.high is not None:
                assert least - 1e-9 <= row.low <= row.ours + 1e-9
                assert row.ours <= row.high + 1e-9 <= 100 + 1e-6


@given(attacks())
@settings(deadline=None)
def test_every_attack_is_counted_or_listed_as_left_out(rows: list[AttackRow]) -> None:
    evaluation = Evaluation(rows)
    counted = sum(
        len(evaluation.untargeted(*condition)) + len(evaluation.targeted(*condition))
        for condition in evaluation.conditions
    )
    listed = left_out(evaluation, CLASSES)
    dropped = sum(item.attacks for item in listed if item.outcome != "incomplete")
    own = sum(row.aims_at_own_class for row in rows)
    assert counted + dropped + own == len(rows)
    used = sum(
        targeted_rate(targeted_images(evaluation.targeted(*condition), CLASSES).complete).n
        for condition in evaluation.conditions
    )
    incomplete = sum(item.attacks for item in listed if item.outcome == "incomplete")
    assert used + incomplete == sum(len(evaluation.targeted(*c)) for c in evaluation.conditions)


@given(attacks())
@settings(deadline=None)
def test_figures_and_table_2_tell_the_same_story(rows: list[AttackRow]) -> None:
    evaluation = Evaluation(rows)
    untargeted = evaluation.untargeted(*CONDITION)
    assert sum(map(sum, class_pairs(untargeted, CLASSES))) == success_rate(untargeted).successes
    pairs = class_pairs(evaluation.targeted(*CONDITION), CLASSES)
    assert all(pairs[original][original] == 0 for original in range(CLASSES))

    images = targeted_images(evaluation.targeted(*CONDITION), CLASSES).complete
    shares = classes_reached(images, CLASSES)
    counts = [share.successes or 0 for share in shares]
    assert sum(counts) == len(images)
    assert sum(number * count for number, count in enumerate(counts)) == targeted_rate(images).successes
    assert len(images) - counts[0] == any_target_rate(images).successes

    curve = [row for row in budget_rows(evaluation) if (row.model, row.region, row.pixels) == CONDITION]
    if curve:
        assert [row.successes for row in curve] == sorted(row.successes for row in curve)
        assert curve[-1].successes == success_rate(untargeted).successes
        assert curve[0].successes == 0


@given(attacks())
@settings(deadline=None)
def test_a_comparison_the_other_way_round_is_the_same_test(rows: list[AttackRow]) -> None:
    evaluation = Evaluation(rows)
    there = compare_regions(evaluation, CONDITION[0], 1, "foreground", "background")
    back = compare_regions(evaluation, CONDITION[0], 1, "background", "foreground")
    assert there.test.p_value == back.test.p_value
    assert (there.test.only_first, there.test.only_second) == (back.test.only_second, back.test.only_first)
    assert there.first_success == back.second_success
    assert there.first_success.n == there.test.n
    assert there.first_success.successes == there.test.both + there.test.only_first


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@example((123, 123))  # statsmodels has 0.9999999999999999 for the upper end
def test_a_wilson_interval_mirrors_and_narrows(counts: tuple[int, int]) -> None:
    successes, n = counts
    found, mirrored, larger = rate(successes, n), rate(n - successes, n), rate(10 * successes, 10 * n)
    assert 0 <= interval(found)[0] <= successes / n <= interval(found)[1] <= 1
    assert interval(found)[0] == pytest.approx(1 - interval(mirrored)[1], abs=1e-9)
    assert width(larger) < width(found)


@given(st.lists(st.tuples(st.integers(0, 9), st.just(9)), min_size=1, max_size=40))
def test_attacks_on_few_images_are_never_surer_than_independent_ones(
    images: list[tuple[int, int]],
) -> None:
    found = clustered_rate(images)
    assert found.successes is not None
    assert width(found) >= width(rate(found.successes, found.n)) - 1e-9


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30), st.integers(2, 5))
def test_copies_of_a_value_make_a_mean_no_surer(values: list[float], copies: int) -> None:
    once = mean(values)
    repeated = mean(values * copies, list(range(len(values))) * copies)
    assert repeated.value == pytest.approx(once.value, abs=1e-9)
    assert interval(repeated) == pytest.approx(interval(once), abs=1e-9)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_a_p_value_is_a_probability_and_knows_no_order(outcomes: list[tuple[bool, bool]]) -> None:
    found = paired_test(outcomes)
    assert found.p_value is not None
    assert 0 < found.p_value <= 1
    assert found == paired_test(outcomes[::-1])
    assert found.n == len(outcomes)


def interval(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.high


def width(estimate: Estimate) -> float:
    low, high = interval(estimate)
    return high - low
