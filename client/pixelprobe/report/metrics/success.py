"""Success rates and confidences: the numbers of table II, and the first two of table III.

All functions take the attacks of one condition that ran to an end; see :class:`Evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, clustered_rate, mean, rate


@dataclass(frozen=True)
class TargetedPicture:
    """One picture's targeted attacks, all that there are: one a class but the clean one's."""

    image_digest: str
    attacks: Sequence[AttackRow]

    @property
    def classes_reached(self) -> int:
        """How many of them succeeded."""
        return sum(row.succeeded for row in self.attacks)


@dataclass(frozen=True)
class TargetedPictures:
    """The pictures of a condition that the targeted metrics are about, and how many are not complete."""

    complete: Sequence[TargetedPicture]
    incomplete: int


def success_rate(rows: Sequence[AttackRow]) -> Estimate:
    """Untargeted1: untargeted successes / pictures attacked."""
    return rate(sum(row.succeeded for row in rows), len(rows))


def confidence(rows: Sequence[AttackRow]) -> Estimate:
    """Confidence_u and Confidence_t: mean probability of the predicted class over the successes.

    Several successes on one picture (targeted) are taken together for the interval.
    """
    wins = [row for row in rows if row.succeeded]
    return mean(
        [row.best_top[0].probability for row in wins],
        [row.image_digest for row in wins],
        lowest=0.0,
        highest=1.0,
    )


def targeted_pictures(rows: Sequence[AttackRow], classes: int) -> TargetedPictures:
    """The pictures with ``classes`` - 1 attacks, each at another class; the others are only counted."""
    by_picture: dict[str, list[AttackRow]] = {}
    for row in rows:
        by_picture.setdefault(row.image_digest, []).append(row)
    complete = [TargetedPicture(digest, own) for digest, own in by_picture.items() if len(own) == classes - 1]
    return TargetedPictures(complete, len(by_picture) - len(complete))


def any_target_rate(pictures: Sequence[TargetedPicture]) -> Estimate:
    """Untargeted2: pictures with at least one successful targeted attack / pictures."""
    return rate(sum(picture.classes_reached > 0 for picture in pictures), len(pictures))


def targeted_rate(pictures: Sequence[TargetedPicture]) -> Estimate:
    """Targeted: targeted successes / (9 n), or (K - 1) n for K classes."""
    return clustered_rate([(picture.classes_reached, len(picture.attacks)) for picture in pictures])


def targeted_confidence(pictures: Sequence[TargetedPicture]) -> Estimate:
    """Confidence_t of these pictures."""
    return confidence([row for picture in pictures for row in picture.attacks])
