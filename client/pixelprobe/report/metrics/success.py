"""Success rates and confidences: the numbers of table II, and the first two of table III.

All functions take the attacks of one condition that ran to an end; see :class:`Evaluation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, clustered_rate, mean, rate


@dataclass(frozen=True)
class TargetedImage:
    """One image's targeted attacks, all that there are: one a class but the clean one's."""

    image_digest: str
    attacks: Sequence[AttackRow]

    @property
    def classes_reached(self) -> int:
        """How many of them succeeded."""
        return sum(row.succeeded for row in self.attacks)


@dataclass(frozen=True)
class TargetedImages:
    """The images of a condition that the targeted metrics are about, and how many are not complete."""

    complete: Sequence[TargetedImage]
    incomplete: int


def success_rate(rows: Sequence[AttackRow]) -> Estimate:
    """Untargeted1: untargeted successes / images attacked."""
    return rate(sum(row.succeeded for row in rows), len(rows))


def confidence(rows: Sequence[AttackRow]) -> Estimate:
    """Confidence_u and Confidence_t: mean probability of the predicted class over the successes.

    Several successes on one image (targeted) are taken together for the interval.
    """
    wins = [row for row in rows if row.succeeded]
    return mean(
        [row.best_top[0].probability for row in wins],
        [row.image_digest for row in wins],
        lowest=0.0,
        highest=1.0,
    )


def targeted_images(rows: Sequence[AttackRow], classes: int) -> TargetedImages:
    """The images with ``classes`` - 1 attacks, each at another class; the others are only counted."""
    by_image: dict[str, list[AttackRow]] = {}
    for row in rows:
        by_image.setdefault(row.image_digest, []).append(row)
    complete = [TargetedImage(digest, own) for digest, own in by_image.items() if len(own) == classes - 1]
    return TargetedImages(complete, len(by_image) - len(complete))


def any_target_rate(images: Sequence[TargetedImage]) -> Estimate:
    """Untargeted2: images with at least one successful targeted attack / images."""
    return rate(sum(image.classes_reached > 0 for image in images), len(images))


def targeted_rate(images: Sequence[TargetedImage]) -> Estimate:
    """Targeted: targeted successes / (9 n), or (K - 1) n for K classes."""
    return clustered_rate([(image.classes_reached, len(image.attacks)) for image in images])


def targeted_confidence(images: Sequence[TargetedImage]) -> Estimate:
    """Confidence_t of these images."""
    return confidence([row for image in images for row in image.attacks])
