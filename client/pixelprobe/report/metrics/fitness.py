"""How the fitness falls from generation to generation: figure 6."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.rows import AttackRow

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
