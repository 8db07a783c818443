"""Numbers worked out by hand, with z = 1.959964 and z^2 = 3.841459 for 95%."""

from __future__ import annotations

import math

import pytest

from pixelprobe.report.statistics import (
    Estimate,
    PairedTest,
    clustered_rate,
    mean,
    paired_test,
    rate,
    rates,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # No success: from 0 to z^2 / (n + z^2) = 3.841459 / 13.841459.
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
        # Half of 10: 1/2 -+ z / (1 + z^2/10) * sqrt(0.25/10 + z^2/400) = 1.416007 * 0.186021 = 0.263407.
        (5, 10, 0.236593, 0.763407),
        # The paper's 12.8% of 500: centre (0.128 + z^2/1000) / (1 + z^2/500) = 0.131841 / 1.007683,
        # reach 1.959964 / 1.007683 * sqrt(0.128*0.872/500 + z^2/10^6) = 1.945020 * 0.0150690 = 0.029310.
        (64, 500, 0.101527, 0.160146),
        (1, 1, 1 / 4.841459, 1.0),
    ],
)
def test_a_rate_has_its_wilson_interval(successes: int, n: int, low: float, high: float) -> None:
    found = rate(successes, n)
    assert found.value == successes / n
    assert (found.successes, found.n) == (successes, n)
    assert found.low == pytest.approx(low, abs=2e-6)
    assert found.high == pytest.approx(high, abs=2e-6)


def test_a_rate_of_nothing_has_no_value_and_no_interval() -> None:
    nothing = Estimate(None, None, None, 0, 0)
    assert rate(0, 0) == nothing
    assert clustered_rate([]) == nothing
    assert nothing.contains(0.5) is None


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (1, 0)])
def test_more_successes_than_attempts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="not all in 0 to"):
        rate(successes, n)


def test_many_rates_are_those_of_one_each() -> None:
    assert rates([0, 3, 7], 7) == [rate(0, 7), rate(3, 7), rate(7, 7)]


def test_an_interval_contains_its_ends_and_what_is_between() -> None:
    estimate = Estimate(0.3, 0.2, 0.4, 10)
    assert [estimate.contains(value) for value in (0.2, 0.3, 0.4, 0.19, 0.41)] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("images", "low", "high"),
    [
        # All or nothing on four images: residuals s - p m are +-1.5, the variance 4/3 * 9 / 12^2 = 1/12,
        # the binomial 0.25/12: a design effect of 4 and 12/4 = 3 attacks, fewer than four images: 2 of 4.
        # 1/2 -+ z / (1 + z^2/4) * sqrt(0.25/4 + z^2/64) = 0.999796 * 0.350033 = 0.349962.
        ([(3, 3), (3, 3), (0, 3), (0, 3)], 0.150038, 0.849962),
        # The same share on each: no variance between images, so all 8 attacks count: 4 of 8,
        # reach z / (1 + z^2/8) * sqrt(0.25/8 + z^2/256) = 1.324132 * 0.215072 = 0.284784.
        ([(1, 2), (1, 2), (1, 2), (1, 2)], 0.215216, 0.784784),
        # Residuals 1, 0, 0, -1: variance 4/3 * 2 / 8^2 = 1/24, binomial 1/32, design effect 4/3: 3 of 6,
        # reach z / (1 + z^2/6) * sqrt(0.25/6 + z^2/144) = 1.194923 * 0.261426 = 0.312384.
        ([(2, 2), (1, 2), (1, 2), (0, 2)], 0.187616, 0.812384),
        # Nothing at all, so nothing is known of the design effect: 0 of 2 images, up to z^2 / (2 + z^2).
        ([(0, 9), (0, 9)], 0.0, 0.657620),
        # One image: 2/3 of 1 attack. Centre (0.666667 + 1.920729) / 4.841459 = 0.534425,
        # reach 1.959964 / 4.841459 * sqrt(2/9 + 0.960365) = 0.404829 * 1.087468 = 0.440239.
        ([(2, 3)], 0.094186, 0.974664),
    ],
)
def test_attacks_on_the_same_image_count_for_less(
    images: list[tuple[int, int]], low: float, high: float
) -> None:
    found = clustered_rate(images)
    assert found.successes == sum(wins for wins, _ in images)
    assert found.n == sum(attacks for _, attacks in images)
    assert found.value == found.successes / found.n
    assert found.low == pytest.approx(low, abs=3e-6)
    assert found.high == pytest.approx(high, abs=3e-6)


def test_one_attack_a_image_is_the_plain_wilson_interval() -> None:
    assert clustered_rate([(1, 1)] * 3 + [(0, 1)] * 7).low == pytest.approx(rate(3, 10).low, abs=1e-12)


def test_a_mean_has_students_interval() -> None:
    # 1, 2, 3: s = 1, s / sqrt(3) = 0.577350, t(2 degrees) = 4.302653, reach 2.484138.
    found = mean([1.0, 2.0, 3.0])
    assert (found.value, found.n, found.successes) == (2.0, 3, None)
    assert found.low == pytest.approx(2 - 2.484138, abs=1e-5)
    assert found.high == pytest.approx(2 + 2.484138, abs=1e-5)


def test_a_means_interval_is_cut_at_what_is_possible() -> None:
    found = mean([1.0, 2.0, 3.0], lowest=1.0, highest=4.0)
    assert (found.low, found.high) == (1.0, 4.0)


def test_values_from_the_same_image_are_one_draw() -> None:
    # Images (1, 1), (0, 0) and (1, 0): mean 1/2, residuals 1, -1, 0; variance 3/2 * 2 / 6^2 = 1/12, its
    # root 0.288675, t(2 degrees) 4.302653, reach 1.242069.
    found = mean([1.0, 1.0, 0.0, 0.0, 1.0, 0.0], ["a", "a", "b", "b", "c", "c"])
    assert (found.value, found.n) == (0.5, 6)
    assert found.high == pytest.approx(0.5 + 1.242069, abs=1e-5)


def test_a_mean_of_one_image_has_a_value_and_no_interval() -> None:
    assert mean([0.25]) == Estimate(0.25, None, None, 1)
    assert mean([0.25, 0.75], ["a", "a"]) == Estimate(0.5, None, None, 2)
    assert mean([]) == Estimate(None, None, None, 0)


def test_a_mean_does_not_depend_on_the_order() -> None:
    values = [0.1, 1e16, 0.3, -1e16, 0.7]
    assert mean(values).value == mean(sorted(values)).value == math.fsum([0.1, 0.3, 0.7]) / 5


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        # Two-sided binomial of the discordant pairs: 2 (C(7,0) + C(7,1)) / 2^7 = 16/128.
        (6, 1, 0.125),
        (1, 6, 0.125),
        # 2 / 2^10.
        (10, 0, 1 / 512),
        # 2 (1 + 10 + 45) / 2^10.
        (8, 2, 0.109375),
        (1, 0, 1.0),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar_is_exact(only_first: int, only_second: int, p_value: float) -> None:
    outcomes = [(True, True)] * 4 + [(False, False)] * 5
    outcomes += [(True, False)] * only_first + [(False, True)] * only_second
    found = paired_test(outcomes)
    assert (found.both, found.only_first, found.only_second, found.neither) == (
        4,
        only_first,
        only_second,
        5,
    )
    assert found.n == 9 + only_first + only_second
    assert found.p_value == pytest.approx(p_value, abs=1e-12)


def test_mcnemar_of_no_images_says_nothing() -> None:
    assert paired_test([]) == PairedTest(0, 0, 0, 0, None)
