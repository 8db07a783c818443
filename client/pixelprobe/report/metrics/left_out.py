"""What is in no denominator, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.evaluation import Condition, Evaluation
from pixelprobe.report.metrics.success import targeted_images

_ADDRESS = re.compile(r"\S+:\d+")
"""HOST:PORT."""


@dataclass(frozen=True)
class LeftOut:
    """Attacks of one condition and goal that were left out for the same reason.

    Attributes:
        goal: "untargeted" or "targeted".
        outcome: how they ended; "incomplete" for images of which not all targeted attacks ran to an end.
        reason: the first part of what the attack says, up to a colon: what is the same for many. Of an error
            that begins with an address the two parts behind it.
        attacks: how many.
        images: on how many images.
    """

    model: str
    region: str
    pixels: int
    goal: str
    outcome: str
    reason: str
    attacks: int
    images: int


def left_out(evaluation: Evaluation, classes: int) -> list[LeftOut]:
    """Everything left out of the metrics, by condition, goal, outcome and reason.

    A targeted attack at the image's own class is no attack and is not listed: each image has one, and the
    targeted denominators do not ask for it.

    Args:
        evaluation: the attacks.
        classes: how many the models know.
    """
    groups: dict[tuple[Condition, str, Outcome, str], list[str]] = {}
    for row in evaluation.rows:
        if not row.attacked and not (row.aims_at_own_class and row.outcome is Outcome.NOT_APPLICABLE):
            condition = Condition(row.target, row.region, row.pixels)
            goal = "untargeted" if row.target_class is None else "targeted"
            key = (condition, goal, row.outcome, _reason(row.reason))
            groups.setdefault(key, []).append(row.image_digest)
    listed = [
        LeftOut(*condition, goal, outcome.value, reason, len(digests), len(set(digests)))
        for (condition, goal, outcome, reason), digests in groups.items()
    ]
    for condition in evaluation.conditions:
        attacks = evaluation.targeted(*condition)
        images = targeted_images(attacks, classes)
        if images.incomplete:
            unused = len(attacks) - sum(len(image.attacks) for image in images.complete)
            reason = f"fewer than {classes - 1} target classes attacked"
            listed.append(LeftOut(*condition, "targeted", "incomplete", reason, unused, images.incomplete))
    return listed


def _reason(told: str) -> str:
    first, *more = (part.strip() for part in told.split(": "))
    return ": ".join(more[:2]) if more and _ADDRESS.fullmatch(first) else first
