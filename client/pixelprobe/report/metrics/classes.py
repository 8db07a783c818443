"""Which classes are reached from which: figures 3, 4 and 5."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pixelprobe.report.metrics.success import TargetedImage
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, rates
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
                    f"{row.target} tells of class {max(original, reached)}, beyond {classes} classes",
                )
            counts[original][reached] += 1
    return tuple(map(tuple, counts))
