"""Attacks made up for the report's tests."""

from __future__ import annotations

from pixelprobe.model import ClassScore, Outcome
from pixelprobe.report.rows import AttackRow


def scores(*pairs: tuple[int, float]) -> tuple[ClassScore, ...]:
    return tuple(ClassScore(index, probability) for index, probability in pairs)


def made(image: str = "a", outcome: Outcome = Outcome.SUCCESS, **changes: object) -> AttackRow:
    """Untargeted, one pixel, the whole image; from class 0 (0.8) to class 1 (0.6) if it succeeds."""
    success = outcome is Outcome.SUCCESS
    values: dict[str, object] = {
        "image_digest": image,
        "image_name": f"image {image}",
        "label": 0,
        "target": "net",
        "region": "whole",
        "pixels": 1,
        "target_class": None,
        "outcome": outcome,
        "reason": "",
        "clean_top": scores((0, 0.8), (1, 0.15), (2, 0.05)),
        "best_top": scores((1, 0.6), (0, 0.3), (2, 0.1)) if success else scores((0, 0.7), (1, 0.2), (2, 0.1)),
        "best_probability_of_clean_top": (0.3, 0.6, 0.1) if success else (0.7, 0.2, 0.1),
        "queries_sent": 101,
        "queries_skipped": 0,
        "queries_repeated": 0,
        "queries_to_success": 101 if success else 0,
        "generations": 1,
        "generations_allowed": 100,
        "fitness_by_generation": (0.3 if success else 0.7,),
        "region_area_fraction": 1.0,
        "mask_area_fraction": None,
    }
    return AttackRow(**{**values, **changes})  # type: ignore[arg-type]


def failed(image: str = "a", **changes: object) -> AttackRow:
    return made(image, Outcome.FAILURE, **changes)


def targeted(image: str, target_class: int, outcome: Outcome, probability: float = 0.6) -> AttackRow:
    """An attack at ``target_class``, which a success reaches with ``probability``."""
    success = outcome is Outcome.SUCCESS
    best = scores((target_class, probability), (0, 0.1)) if success else scores((0, 0.7), (1, 0.2))
    return made(image, outcome, target_class=target_class, best_top=best)


def of_500(successes: int, target: str, region: str = "whole") -> list[AttackRow]:
    """500 images, the first ``successes`` of them fooled."""
    return [(made if i < successes else failed)(f"{i:03}", target=target, region=region) for i in range(500)]
