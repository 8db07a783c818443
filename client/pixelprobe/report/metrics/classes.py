"""Which classes are reached from which: figures 3, 4 and 5."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from pixelprobe.report.metrics.success import TargetedImage
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, mean, rate, rates
from pixelprobe_services.common.errors import InvalidArgumentError

PairCounts = tuple[tuple[int, ...], ...]
"""Successes by [original class][class reached]."""


def classes_reached(images: Sequence[TargetedImage], classes: int) -> Sequence[Estimate]:
    """Fig. 3: the share of images by number of target classes reached, 0 to ``classes`` - 1."""
    counts = Counter(image.classes_reached for image in images)
    return rates([counts[reached] for reached in range(classes)], len(images))


def class_pairs(rows: Sequence[AttackRow], classes: int) -> PairCounts:
    """Fig. 4 (untargeted) and 5 (targeted): how many successes led from each class to each other.

    Args:
        rows: attacks that ran to an end.
        classes: how many the model knows.

    Raises:
        InvalidArgumentError: an attack names a class beyond these.
    """
    counts = [[0] * classes for _ in range(classes)]
    for row in rows:
        if row.succeeded:
            original, reached = row.clean_top[0].class_index, row.best_top[0].class_index
            if max(original, reached) >= classes:
                raise InvalidArgumentError(
                    "classes",
                    f"{row.target} answered class {max(original, reached)}, beyond {classes} classes",
                )
            counts[original][reached] += 1
    return tuple(map(tuple, counts))


def confidence_decrease(rows: Sequence[AttackRow], top: int, *, succeeded: bool) -> Estimate:
    """Conf.-Decrease-top1(succ), -top3(unsucc) and -top5(unsucc).

    The mean over attacks of the mean over the clean ``top`` classes of p_clean - p_adversarial (ours: per
    class, not summed).
    """
    decreases = []
    for row in rows:
        if row.succeeded is succeeded and len(row.clean_top) >= top:
            drops = [
                score.probability - after
                for place, score in enumerate(row.clean_top[:top])
                if (after := _adversarial_probability(row, place)) is not None
            ]
            if len(drops) == top:
                decreases.append(math.fsum(drops) / top)
    return mean(decreases, lowest=-1.0, highest=1.0)


def original_first_in_top(rows: Sequence[AttackRow], top: int) -> Estimate:
    """Ori-top1-in-top3(succ) and -top5(succ): successes whose clean class is still among the best ``top``."""
    wins = [row for row in rows if row.succeeded]
    kept = sum(row.clean_class in {score.class_index for score in row.best_top[:top]} for row in wins)
    return rate(kept, len(wins))


def original_top_in_top(rows: Sequence[AttackRow], top: int) -> Estimate:
    """Ori-top3-in-top3(unsucc) and -top5(unsucc).

    The mean over failures of the share of the clean best ``top`` classes that is still among the best ``top``
    (ours: the paper says "the probability that the original top classes are still in the top").
    """
    shares = []
    for row in rows:
        if not row.succeeded and len(row.clean_top) >= top <= len(row.best_top):
            before = {score.class_index for score in row.clean_top[:top]}
            after = {score.class_index for score in row.best_top[:top]}
            shares.append(len(before & after) / top)
    return mean(shares, lowest=0.0, highest=1.0)


def _adversarial_probability(row: AttackRow, place: int) -> float | None:
    """The best candidate's probability of the class in this place of clean_top; None if unknown."""
    if place < len(row.best_probability_of_clean_top):
        return row.best_probability_of_clean_top[place]
    wanted = row.clean_top[place].class_index
    return next((score.probability for score in row.best_top if score.class_index == wanted), None)
