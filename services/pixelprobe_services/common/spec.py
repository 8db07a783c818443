"""A campaign's spec, and the attacks it stands for: images x targets x regions x pixels x goals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pixelprobe_services.common.values import (
    AttackKey,
    Goal,
    InvalidSpecError,
    MaskArray,
    Region,
    SearchSettings,
)

MAX_PIXELS = 64
MAX_IMAGES = 100_000
MAX_ATTACKS = 1_000_000


@dataclass(frozen=True, eq=False)
class CampaignImage:
    """An image to attack. ``mask`` is one made elsewhere; without it the segmentation service makes one."""

    digest: str
    display_name: str = ""
    label: int | None = None
    mask: MaskArray | None = None


@dataclass(frozen=True)
class MaskSettings:
    """How masks are made. ``hints`` is opaque here: the segmentation request's options, serialised."""

    segmenter: str = ""
    hints: bytes = b""
    accept_unreviewed: bool = False


@dataclass(frozen=True)
class PlannedAttack:
    """One attack of a spec; ``number`` is its place in the spec's order, from 0."""

    number: int
    image_index: int
    key: AttackKey


@dataclass(frozen=True)
class CampaignSpec:
    """What a client asked for. See ``campaign.proto`` for what each field means."""

    images: tuple[CampaignImage, ...]
    targets: tuple[str, ...]
    regions: tuple[Region, ...]
    pixel_counts: tuple[int, ...]
    goals: tuple[Goal, ...]
    search: SearchSettings = field(default_factory=SearchSettings)
    budget_per_attack: int | None = None
    seed: int = 0
    masks: MaskSettings = field(default_factory=MaskSettings)
    attack_misclassified: bool = False
    display_name: str = ""
    image_preparation: str = ""

    def __post_init__(self) -> None:
        for name, values in (
            ("images", self.images),
            ("targets", self.targets),
            ("regions", self.regions),
            ("pixel_counts", self.pixel_counts),
            ("goals", self.goals),
        ):
            if not values:
                raise InvalidSpecError(name, "at least one is needed")
            if name != "images" and len(set(values)) != len(values):
                raise InvalidSpecError(name, "a value stands there twice")
        if len(self.images) > MAX_IMAGES:
            raise InvalidSpecError("images", f"{len(self.images)} images are more than {MAX_IMAGES}")
        if self.attack_count > MAX_ATTACKS:
            raise InvalidSpecError("images", f"{self.attack_count} attacks are more than {MAX_ATTACKS}")
        for pixels in self.pixel_counts:
            if not 1 <= pixels <= MAX_PIXELS:
                raise InvalidSpecError("pixel_counts", f"{pixels} is not in 1 to {MAX_PIXELS}")
        for goal in self.goals:
            if goal.target_class is not None and goal.target_class < 0:
                raise InvalidSpecError("goals", f"class {goal.target_class} is negative")
        if self.budget_per_attack is not None and self.budget_per_attack < 1:
            raise InvalidSpecError("budget_per_attack", f"{self.budget_per_attack} is not positive")

    @property
    def attack_count(self) -> int:
        """How many attacks the spec stands for."""
        return (
            len(self.images)
            * len(self.targets)
            * len(self.regions)
            * len(self.pixel_counts)
            * len(self.goals)
        )

    def attacks(self) -> Iterator[PlannedAttack]:
        """All attacks in the spec's order: the last of the five lists varies fastest."""
        return map(self.attack, range(self.attack_count))

    def attack(self, number: int) -> PlannedAttack:
        """The attack with that number, from 0.

        Raises:
            IndexError: there is none.
        """
        if not 0 <= number < self.attack_count:
            raise IndexError(number)
        rest, goal = divmod(number, len(self.goals))
        rest, pixels = divmod(rest, len(self.pixel_counts))
        rest, region = divmod(rest, len(self.regions))
        image, target = divmod(rest, len(self.targets))
        key = AttackKey(
            self.images[image].digest,
            self.targets[target],
            self.regions[region],
            self.pixel_counts[pixels],
            self.goals[goal],
        )
        return PlannedAttack(number, image, key)
