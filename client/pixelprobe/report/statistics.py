"""Estimates with their 95% intervals, and a test for pairs: thin over statsmodels and SciPy.

Attacks on one image resemble each other, so they are no independent draws. Where several attacks on a
image enter one number (the targeted metrics), the intervals are made for whole images as the draws.
Sums are taken with ``math.fsum``, so that no number depends on the order of the attacks.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from scipy.stats import t as student_t
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A rate or a mean with its 95% interval.

    Attributes:
        value: None where there is nothing to estimate from.
        low: the interval's lower end; None where there is none (no value, or a mean of one image).
        high: its upper end.
        n: the denominator: attacks of a rate, values of a mean.
        successes: of a rate, the numerator.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    successes: int | None = None

    def contains(self, value: float) -> bool | None:
        """Whether the interval holds ``value``; None without an interval."""
        if self.low is None or self.high is None:
            return None
        rounding = 1e-9
        return self.low - rounding <= value <= self.high + rounding


@dataclass(frozen=True)
class PairedTest:
    """Exact McNemar test of two conditions on the same images.

    Attributes:
        both: images that fell under both conditions.
        only_first: under the first alone.
        only_second: under the second alone.
        neither: under none.
        p_value: two-sided; None for no images.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float | None

    @property
    def n(self) -> int:
        """Images compared."""
        return self.both + self.only_first + self.only_second + self.neither


def rate(successes: int, n: int) -> Estimate:
    """A share of independent attempts with its Wilson score interval.

    Raises:
        ValueError: not 0 <= successes <= n.
    """
    return rates([successes], n)[0]


def rates(successes: Sequence[int], n: int) -> list[Estimate]:
    """:func:`rate` of each number of successes in the same ``n`` attempts."""
    if any(not 0 <= count <= n for count in successes):
        raise ValueError(f"successes {list(successes)} are not all in 0 to {n}")
    if n == 0:
        return [Estimate(None, None, None, 0, 0) for _ in successes]
    intervals = _wilson([float(count) for count in successes], float(n))
    return [
        Estimate(count / n, low, high, n, count)
        for count, (low, high) in zip(successes, intervals, strict=True)
    ]


def clustered_rate(images: Sequence[tuple[int, int]]) -> Estimate:
    """A share of attacks where each image was attacked several times.

    The Wilson interval at the effective number of attacks, n divided by Kish's design effect (the variance of
    the share with images as draws, over the binomial one), kept between the number of images and of
    attacks. Where the design effect is unknown (one image; all or no attacks succeeded) it is
    the number of images.

    Args:
        images: (successes, attacks) of each image, attacks positive.
    """
    n = sum(attacks for _, attacks in images)
    if n == 0:
        return rate(0, 0)
    successes = sum(count for count, _ in images)
    value = successes / n
    effective = float(len(images))
    if len(images) > 1 and 0 < successes < n:
        design_effect = _variance([(float(s), m) for s, m in images], value) / (value * (1 - value) / n)
        effective = float(n) if design_effect <= 1 else max(effective, n / design_effect)
    ((low, high),) = _wilson([value * effective], effective)
    return Estimate(value, low, high, n, successes)


def mean(
    values: Sequence[float],
    images: Sequence[Hashable] | None = None,
    *,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Estimate:
    """A mean with its Student t interval, which takes at least two images.

    Args:
        values: what to average.
        images: which image each value is from; by default each is from another.
        lowest: the interval is cut at the least possible value,
        highest: and at the greatest.
    """
    if not values:
        return Estimate(None, None, None, 0)
    value = math.fsum(values) / len(values)
    clusters: dict[Hashable, list[float]] = {}
    for image, each in zip(images or range(len(values)), values, strict=True):
        clusters.setdefault(image, []).append(each)
    if len(clusters) < 2:
        return Estimate(value, None, None, len(values))
    error = math.sqrt(_variance([(math.fsum(own), len(own)) for own in clusters.values()], value))
    reach = error * float(student_t.ppf((1 + CONFIDENCE) / 2, len(clusters) - 1))
    return Estimate(value, max(lowest, value - reach), min(highest, value + reach), len(values))


def paired_test(outcomes: Iterable[tuple[bool, bool]]) -> PairedTest:
    """The exact McNemar test; ``outcomes`` says of each image whether it fell under either condition."""
    both = only_first = only_second = neither = 0
    for first, second in outcomes:
        both += first and second
        only_first += first and not second
        only_second += second and not first
        neither += not first and not second
    if both + only_first + only_second + neither == 0:
        return PairedTest(0, 0, 0, 0, None)
    table = [[both, only_first], [only_second, neither]]
    p_value = float(mcnemar(table, exact=True).pvalue)
    return PairedTest(both, only_first, only_second, neither, p_value)


def _wilson(successes: Sequence[float], n: float) -> list[tuple[float, float]]:
    lows, highs = proportion_confint(list(successes), [n] * len(successes), 1 - CONFIDENCE, method="wilson")
    # Of all or no attempts an end of the interval is the rate itself, but for rounding.
    return [
        (min(float(low), count / n), max(float(high), count / n))
        for count, low, high in zip(successes, lows, highs, strict=True)
    ]


def _variance(clusters: Sequence[tuple[float, int]], value: float) -> float:
    """Of the ratio ``value`` of sums over (sum, count) of clusters, by linearisation; needs two clusters.

    With one value a cluster it is the usual s^2 / n.
    """
    n = sum(count for _, count in clusters)
    squares = math.fsum((total - value * count) ** 2 for total, count in clusters)
    return len(clusters) / (len(clusters) - 1) * squares / n**2
