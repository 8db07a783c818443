"""Region against region on the same images: areas, rates and the exact McNemar test.

The foreground is smaller than the background, so how often it falls must not be mistaken for what it means:
``control`` is a random region of the foreground's size, and is compared like any other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.metrics.success import success_rate, targeted_images
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import CONFIDENCE, Estimate, PairedTest, mean, paired_test


@dataclass(frozen=True)
class Comparison:
    """Untargeted attacks in two regions of the same images.

    Attributes:
        first_success: rates of these images alone, so not always table II's.
        first_area: mean share of the image that the region covers.
    """

    model: str
    pixels: int
    first: str
    second: str
    first_success: Estimate
    second_success: Estimate
    first_area: Estimate
    second_area: Estimate
    test: PairedTest


def compare_regions(evaluation: Evaluation, model: str, pixels: int, first: str, second: str) -> Comparison:
    """Compare two regions on the images attacked in both, untargeted."""
    firsts = {row.image_digest: row for row in evaluation.untargeted(model, first, pixels)}
    seconds = {row.image_digest: row for row in evaluation.untargeted(model, second, pixels)}
    pairs = [(firsts[digest], seconds[digest]) for digest in firsts if digest in seconds]
    one, other = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Comparison(
        model=model,
        pixels=pixels,
        first=first,
        second=second,
        first_success=success_rate(one),
        second_success=success_rate(other),
        first_area=_mean_area(one),
        second_area=_mean_area(other),
        test=paired_test((a.succeeded, b.succeeded) for a, b in pairs),
    )


def mean_area(evaluation: Evaluation, region: str) -> Estimate:
    """The mean share of the image that ``region`` covers, over the different images attacked in it."""
    attacked = (row for row in evaluation.rows if row.attacked and row.region == region)
    return _mean_area(list({row.image_digest: row for row in attacked}.values()))


def _mean_area(rows: Sequence[AttackRow]) -> Estimate:
    return mean([row.region_area_fraction for row in rows], lowest=0.0, highest=1.0)


RESAMPLES = 2000

Paired = Mapping[str, tuple[int, int]]
"""Successes in the whole image and in the region, by digest, of the images attacked in both."""


@dataclass(frozen=True)
class RelativeDrop:
    """How much lower the success rate is in a region than in the whole image: 1 - region / whole.

    Attributes:
        by_model: None for a model without success in the whole image; ``n`` is the images compared.
        average: over the models that have a drop, as the paper averages; ``n`` is the different images.
    """

    region: str
    pixels: int
    by_model: Mapping[str, Estimate]
    average: Estimate


def untargeted_drop(evaluation: Evaluation, region: str, pixels: int) -> RelativeDrop:
    """The drop of Untargeted1."""
    counts = {}
    for model in evaluation.models:
        whole = {r.image_digest: int(r.succeeded) for r in evaluation.untargeted(model, "whole", pixels)}
        there = {r.image_digest: int(r.succeeded) for r in evaluation.untargeted(model, region, pixels)}
        counts[model] = _paired(whole, there)
    return _relative_drop(region, pixels, counts)


def targeted_drop(evaluation: Evaluation, region: str, pixels: int, classes: int) -> RelativeDrop:
    """The drop of Targeted, over the images that are complete in both regions."""
    counts = {}
    for model in evaluation.models:
        whole = targeted_images(evaluation.targeted(model, "whole", pixels), classes).complete
        there = targeted_images(evaluation.targeted(model, region, pixels), classes).complete
        counts[model] = _paired(
            {image.image_digest: image.classes_reached for image in whole},
            {image.image_digest: image.classes_reached for image in there},
        )
    return _relative_drop(region, pixels, counts)


def _paired(whole: Mapping[str, int], there: Mapping[str, int]) -> Paired:
    return {digest: (wins, there[digest]) for digest, wins in whole.items() if digest in there}


def _relative_drop(region: str, pixels: int, counts: Mapping[str, Paired]) -> RelativeDrop:
    """Intervals are percentiles of a bootstrap that draws images, each with all its models' attacks."""
    digests = sorted({digest for paired in counts.values() for digest in paired})
    draws = _draws(len(digests))
    by_model: dict[str, Estimate] = {}
    defined, resampled = [], []
    for model, paired in counts.items():
        wins = np.array([paired.get(digest, (0, 0)) for digest in digests], dtype=np.int64).reshape(-1, 2)
        whole, there = wins.sum(axis=0).tolist()
        if whole == 0:
            by_model[model] = Estimate(None, None, None, len(paired))
            continue
        sums = draws @ wins
        # A draw without success in the whole image has no drop; NaN makes the interval None.
        drops = np.full(len(sums), np.nan)
        np.divide(sums[:, 1], sums[:, 0], out=drops, where=sums[:, 0] > 0)
        drops = 1 - drops
        value = 1 - there / whole
        by_model[model] = Estimate(value, *_percentiles(drops), len(paired))
        defined.append(value)
        resampled.append(drops)
    average = Estimate(None, None, None, len(digests))
    if defined:
        interval = _percentiles(np.mean(resampled, axis=0))
        average = Estimate(math.fsum(defined) / len(defined), *interval, len(digests))
    return RelativeDrop(region, pixels, by_model, average)


def _draws(images: int) -> NDArray[np.int64]:
    """(RESAMPLES, images): how often each image is drawn, with replacement; always the same draws."""
    if images == 0:
        return np.zeros((RESAMPLES, 0), dtype=np.int64)
    return np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=RESAMPLES)


def _percentiles(drops: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """None where some draw had no drop: there are too few successes to say."""
    if np.isnan(drops).any():
        return None, None
    low, high = np.quantile(drops, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
