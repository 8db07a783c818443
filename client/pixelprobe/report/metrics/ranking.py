"""What a change of few pixels does to the order of the classes: table III beyond the success rate.

All functions take the untargeted attacks of one condition that ran to an end. "Failures" are the attacks
without success; what they did is read off the best candidate found (ours: the paper does not say). An
attack of which a probability asked for is not known (a target with many classes tells the best five alone) is
left out of that metric, and its ``n`` says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, mean, rate


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
    """The best candidate's probability of the class in this place of clean_top; None if it was not told."""
    if place < len(row.best_probability_of_clean_top):
        return row.best_probability_of_clean_top[place]
    wanted = row.clean_top[place].class_index
    return next((score.probability for score in row.best_top if score.class_index == wanted), None)
