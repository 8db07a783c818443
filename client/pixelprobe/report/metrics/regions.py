"""Region against region on the same images: areas, rates and the exact McNemar test.

The foreground is smaller than the background, so how often it falls must not be mistaken for what it means:
``control`` is a random region of the foreground's size, and is compared like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.metrics.success import success_rate
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, PairedTest, mean, paired_test


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
