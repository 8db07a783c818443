"""Whole campaigns made up for the report's tests, fooled about as often as in the paper."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterator, Sequence
from itertools import product

from pixelprobe.model import ClassScore, Outcome
from pixelprobe.report.reference import load_reference
from pixelprobe.report.rows import AttackRow

MODELS = ("allconv_cifar10", "nin_cifar10", "vgg16_cifar10")
REGIONS = ("whole", "foreground", "background")
CLASSES = 10
POPULATION = 400


def campaign(
    images: int = 500,
    *,
    models: Sequence[str] = MODELS,
    regions: Sequence[str] = REGIONS,
    pixel_counts: Sequence[int] = (1, 3, 5),
    targeted: int = 0,
    early_stop: bool = True,
    generations: int = 100,
    seed: int = 0,
) -> Iterator[AttackRow]:
    """Untargeted attacks on images, and one-pixel attacks at all classes on the first ``targeted``."""
    for number in range(images):
        # An image that falls in one region falls in others too, so that pairs resemble each other.
        ease = random.Random(f"{seed} {number}").random()
        for model, pixels, region in product(models, pixel_counts, regions):
            yield _attack(number, model, region, pixels, None, ease, early_stop, generations, seed)
        if number < targeted:
            for model, region, goal in product(models, regions, range(CLASSES)):
                yield _attack(number, model, region, 1, goal, ease, early_stop, generations, seed)


def _attack(
    number: int,
    model: str,
    region: str,
    pixels: int,
    goal: int | None,
    ease: float,
    early_stop: bool,
    generations: int,
    seed: int,
) -> AttackRow:
    draw = random.Random(f"{seed} {number} {model} {region} {pixels} {goal}")
    clean = number % CLASSES
    label = clean if draw.random() < 0.86 else (clean + 3) % CLASSES
    outcome, reason = _outcome(number, model, region, pixels, goal, ease, draw)
    if label != clean and outcome is not Outcome.NOT_APPLICABLE and number % 7 == 0:
        outcome, reason = Outcome.NOT_APPLICABLE, f"misclassified: taken for class {clean}"
    if goal == clean:
        outcome, reason = Outcome.NOT_APPLICABLE, "the goal is the image's own class"
    success = outcome is Outcome.SUCCESS
    start = draw.uniform(0.5, 1)
    reached = goal if goal is not None else (clean + draw.choice((1, 2, 2, 5, 7))) % CLASSES
    when = min(generations, int(draw.expovariate(0.9 if region != "background" else 0.3))) if success else 0
    length = 1 + (generations if not success or not early_stop else when)
    end = draw.uniform(0.05, 0.4) if success else draw.uniform(0.5, 1) * start
    fitness = array("f", (end + (start - end) * 0.7**step for step in range(length)))
    skipped = POPULATION * length * {"whole": 0.0, "foreground": 0.72, "background": 0.28}.get(region, 0.72)
    sent = 1 + max(1, round((POPULATION * length - skipped) * draw.uniform(0.6, 1)))
    best = ((reached, draw.uniform(0.5, 0.9)), (clean, 0.1)) if success else ((clean, end), (reached, 0.1))
    return AttackRow(
        image_digest=f"{seed:08x}{number:056x}",
        image_name=f"{number:06d}",
        label=label,
        target=model,
        region=region,
        pixels=pixels,
        target_class=goal,
        outcome=outcome,
        reason=reason,
        clean_top=_top((clean, start), ((clean + 1) % 10, 0.1)),
        best_top=_top(*best),
        best_probability_of_clean_top=(0.1 if success else end, 0.05, 0.04, 0.02, 0.01),
        queries_sent=sent,
        queries_skipped=round(skipped),
        queries_repeated=0,
        queries_to_success=max(2, round(sent * draw.uniform(0.05, 1) * (draw.random() ** 2)))
        if success
        else 0,
        generations=max(1, when) if success else generations,
        generations_allowed=generations,
        fitness_by_generation=fitness,
        region_area_fraction={"whole": 1.0, "background": 0.72}.get(region, 0.28),
        mask_area_fraction=None if region == "whole" else 0.28,
    )


def _outcome(
    number: int, model: str, region: str, pixels: int, goal: int | None, ease: float, draw: random.Random
) -> tuple[Outcome, str]:
    if region != "whole" and number % 23 == 0:
        return Outcome.NOT_APPLICABLE, "mask needs review: the foreground covers 1.2% of the image"
    if number % 211 == 7:
        return Outcome.ERROR, "target failed: the server closed the connection"
    metric = "untargeted1_success_percent" if goal is None else "targeted_success_percent"
    where = "foreground" if region == "control" else region
    percent = load_reference().value("II", model, metric, where, pixels) or 20.0
    share = percent / 100 * (0.75 if region == "control" else 1.0)
    fell = 0.7 * ease + 0.3 * draw.random() < _quantile(share)
    return (Outcome.SUCCESS if fell else Outcome.FAILURE), ""


def _quantile(share: float) -> float:
    """What 0.7 u + 0.3 v is under with probability ``share``, u and v uniform."""
    if share < 3 / 14:
        return math.sqrt(0.42 * share)
    return 0.7 * share + 0.15 if share < 11 / 14 else 1 - math.sqrt(0.42 * (1 - share))


def _top(*pairs: tuple[int, float]) -> tuple[ClassScore, ...]:
    known = {index for index, _ in pairs}
    others = [index for index in range(CLASSES) if index not in known][: 5 - len(pairs)]
    return tuple(ClassScore(i, p) for i, p in [*pairs, *((i, 0.02) for i in others)])
