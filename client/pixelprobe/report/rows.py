"""One finished attack as a plain record: all that the metrics need to know, and nothing that is large."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from pixelprobe.model import Attack, CampaignImage, ClassScore, Outcome
from pixelprobe.results.records import result_of
from pixelprobe_services.common.errors import InvalidArgumentError

REGIONS = ("whole", "foreground", "background", "control")
"""In the order of the tables. ``control``: a random region of the foreground's size, made for comparison."""

ATTACKED = frozenset({Outcome.SUCCESS, Outcome.FAILURE, Outcome.BUDGET_EXHAUSTED})
"""Outcomes that count in denominators; a spent budget is a failure. The others are left out, and counted."""


@dataclass(frozen=True, slots=True)
class AttackRow:
    """One image x one model x one region x k pixels x one goal, and what came of it.

    Attributes:
        image_digest: identifies the image, across campaigns too.
        image_name: for people.
        label: true class, where known.
        region: one of REGIONS; InvalidArgumentError otherwise.
        target_class: the class to reach; None is untargeted.
        reason: why it was left out, for people; empty for success and failure.
        clean_top: the clean image's best classes, best first; empty if it was never scored.
        best_top: the best candidate's, best first; the first is the class of a success.
        best_probability_of_clean_top: the best candidate's, of each class of clean_top, where known.
        queries_to_success: queries sent when the first success was seen; 0 without one.
        generations: of a success, the one that met the goal (the start population is 1); else those run.
        generations_allowed: after how many its search would have been cut, the start population not counted.
        fitness_by_generation: best fitness so far after the start population and each generation.
        region_area_fraction: share of the image that the region covers, 0 to 1.
        mask_area_fraction: share of the image that is foreground; None without a mask.
    """

    image_digest: str
    image_name: str
    label: int | None
    target: str
    region: str
    pixels: int
    target_class: int | None
    outcome: Outcome
    reason: str
    clean_top: tuple[ClassScore, ...]
    best_top: tuple[ClassScore, ...]
    best_probability_of_clean_top: tuple[float, ...]
    queries_sent: int
    queries_skipped: int
    queries_repeated: int
    queries_to_success: int
    generations: int
    generations_allowed: int
    fitness_by_generation: Sequence[float]
    region_area_fraction: float
    mask_area_fraction: float | None

    def __post_init__(self) -> None:
        if self.region not in REGIONS:
            raise InvalidArgumentError("region", f"{self.region!r} is none of {', '.join(REGIONS)}")

    @property
    def attacked(self) -> bool:
        """It ran, to success or failure, and so counts in denominators."""
        return self.outcome in ATTACKED

    @property
    def succeeded(self) -> bool:
        """It met its goal."""
        return self.outcome is Outcome.SUCCESS

    @property
    def clean_class(self) -> int | None:
        """The class that the model gives the clean image; None if it was never scored."""
        return self.clean_top[0].class_index if self.clean_top else None

    @property
    def aims_at_own_class(self) -> bool:
        """It is targeted at the class that the image is of already, so that there is nothing to attack."""
        return self.target_class is not None and self.target_class == self.clean_class


def attack_row(attack: Attack, image: CampaignImage, generations: int) -> AttackRow:
    """The row of a finished attack on ``image``, whose search was allowed so many generations.

    The fitness history is packed as float32, which it was on the wire: 4 bytes a generation, not 32.

    Raises:
        ServiceError: the attack has no result.
    """
    result = result_of(attack)
    return AttackRow(
        image_digest=image.digest,
        image_name=image.display_name or image.digest[:12],
        label=image.label,
        target=attack.target,
        region=attack.region.value,
        pixels=attack.pixels,
        target_class=attack.target_class,
        outcome=result.outcome,
        reason=result.reason,
        clean_top=result.clean_top,
        best_top=result.best_top,
        best_probability_of_clean_top=result.best_probability_of_clean_top,
        queries_sent=result.queries_sent,
        queries_skipped=result.queries_skipped,
        queries_repeated=result.queries_repeated,
        queries_to_success=result.queries_to_success,
        generations=result.generations,
        generations_allowed=generations,
        fitness_by_generation=array("f", result.fitness_by_generation),
        region_area_fraction=result.region_area_fraction,
        mask_area_fraction=float(result.mask.mean()) if result.mask is not None else None,
    )
