"""All attacks of an evaluation, sorted by condition: what every metric and table starts from."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.success import targeted_images
from pixelprobe.report.rows import REGIONS, AttackRow


class Condition(NamedTuple):
    """What a column of the paper's tables is: a model, a region, and how many pixels may change."""

    model: str
    region: str
    pixels: int


class Evaluation:
    """Finished attacks of one campaign or several, each kept once.

    Where the same attack (image, model, region, pixels and goal) is there again, the first one that ran to
    an end is kept.

    Attributes:
        conditions: those that have attacks, left out or not, by model, pixels and region.
        rows: all attacks, in an order that depends on nothing but themselves.
        repeated: attacks dropped because they were there already.
    """

    def __init__(self, rows: Iterable[AttackRow]) -> None:
        kept: dict[tuple[Condition, int | None, str], AttackRow] = {}
        self.repeated = 0
        for row in rows:
            key = (_condition(row), row.target_class, row.image_digest)
            earlier = kept.get(key)
            self.repeated += earlier is not None
            if earlier is None or (row.attacked and not earlier.attacked):
                kept[key] = row
        self.rows: Sequence[AttackRow] = tuple(sorted(kept.values(), key=_order))
        self.conditions: Sequence[Condition] = tuple(dict.fromkeys(_condition(row) for row in self.rows))
        self._untargeted = _by_condition(
            row for row in self.rows if row.attacked and row.target_class is None
        )
        self._targeted = _by_condition(
            row for row in self.rows if row.attacked and row.target_class is not None
        )

    @property
    def models(self) -> Sequence[str]:
        """The names of all models, sorted."""
        return tuple(dict.fromkeys(condition.model for condition in self.conditions))

    @property
    def regions(self) -> Sequence[str]:
        """All regions, in the order of REGIONS."""
        return tuple(sorted({condition.region for condition in self.conditions}, key=REGIONS.index))

    @property
    def pixel_counts(self) -> Sequence[int]:
        """All numbers of pixels, ascending."""
        return tuple(sorted({condition.pixels for condition in self.conditions}))

    def untargeted(self, model: str, region: str, pixels: int) -> Sequence[AttackRow]:
        """The untargeted attacks that ran to an end: one an image."""
        return self._untargeted.get(Condition(model, region, pixels), ())

    def targeted(self, model: str, region: str, pixels: int) -> Sequence[AttackRow]:
        """The targeted attacks that ran to an end: up to one an image and other class."""
        return self._targeted.get(Condition(model, region, pixels), ())


def _condition(row: AttackRow) -> Condition:
    return Condition(row.target, row.region, row.pixels)


def _order(row: AttackRow) -> tuple[str, int, int, str, int]:
    goal = -1 if row.target_class is None else row.target_class
    return row.target, row.pixels, REGIONS.index(row.region), row.image_digest, goal


def _by_condition(rows: Iterable[AttackRow]) -> Mapping[Condition, Sequence[AttackRow]]:
    groups: dict[Condition, list[AttackRow]] = {}
    for row in rows:
        groups.setdefault(_condition(row), []).append(row)
    return groups


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


def _reason(text: str) -> str:
    first, *more = (part.strip() for part in text.split(": "))
    return ": ".join(more[:2]) if more and _ADDRESS.fullmatch(first) else first


PAPER_REGIONS = ("whole", "foreground", "background")
PAPER_IMAGES = 15


@dataclass(frozen=True)
class FitnessCurve:
    """One attack's best fitness after the start population and each generation.

    Attributes:
        fitness: padded with its last value to the length of all curves in the figure.
        known: how many of these values were measured; an attack that stopped early has fewer than the others.
    """

    image_digest: str
    image_name: str
    fitness: Sequence[float]
    known: int


@dataclass(frozen=True)
class FitnessPanel:
    """One region's curves, of the same images in the same order as the other panels', and their mean."""

    region: str
    curves: Sequence[FitnessCurve]
    mean: Sequence[float]


def fitness_panels(
    evaluation: Evaluation,
    model: str,
    pixels: int = 1,
    *,
    regions: Sequence[str] = PAPER_REGIONS,
    limit: int = PAPER_IMAGES,
    seed: int = 0,
) -> Sequence[FitnessPanel]:
    """Fig. 6 for one model: untargeted attacks on images that fell in all ``regions``.

    Meant for attacks without early stop. Curves of attacks that stopped early are padded with their last
    value, which they would not have risen above.

    Args:
        evaluation: the attacks.
        model: whose.
        pixels: how many each attack changed.
        regions: the panels; an image must have been fooled in each.
        limit: at most so many images, drawn at random where there are more.
        seed: of that draw, which depends on nothing else but the images' digests.
    """
    fallen = [_fallen(evaluation, model, region, pixels) for region in regions]
    digests = sorted(set.intersection(*map(set, fallen))) if fallen else []
    if len(digests) > limit:
        digests = sorted(random.Random(seed).sample(digests, limit))  # noqa: S311 - a sample, no secret
    chosen = [[attacks[digest] for digest in digests] for attacks in fallen]
    length = max((len(row.fitness_by_generation) for rows in chosen for row in rows), default=0)
    panels = []
    for region, rows in zip(regions, chosen, strict=True):
        curves = [_padded(row, length) for row in rows]
        means = [math.fsum(values) / len(rows) for values in zip(*(c.fitness for c in curves), strict=True)]
        panels.append(FitnessPanel(region, curves, means))
    return panels


def _fallen(evaluation: Evaluation, model: str, region: str, pixels: int) -> Mapping[str, AttackRow]:
    attacks = evaluation.untargeted(model, region, pixels)
    return {row.image_digest: row for row in attacks if row.succeeded and len(row.fitness_by_generation)}


def _padded(row: AttackRow, length: int) -> FitnessCurve:
    known = list(row.fitness_by_generation)
    fitness = known + [known[-1]] * (length - len(known))
    return FitnessCurve(row.image_digest, row.image_name, fitness, len(known))
