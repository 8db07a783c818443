"""The spec of a campaign and its attacks: images x targets x regions x pixel counts x goals."""

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
MAX_REPEATS = 100
MAX_IMAGES = 100_000
MAX_ATTACKS = 1_000_000
MAX_SEED = 2**64 - 1


@dataclass(frozen=True, eq=False)
class CampaignImage:
    """An image to attack.

    Attributes:
        digest: of the uploaded image; see :func:`~pixelprobe_services.common.values.image_digest`.
        display_name: for people, such as a file name.
        label: true class, where known.
        mask: (height, width) bool; None lets the segmentation service make one if a region needs it.
    """

    digest: str
    display_name: str = ""
    label: int | None = None
    mask: MaskArray | None = None


@dataclass(frozen=True)
class MaskSettings:
    """How masks are made.

    Attributes:
        segmenter: id of the segmentation service's method; "" lets the service choose.
        hints: the segmentation request's options, serialised; opaque to the orchestrator.
        accept_unreviewed: use masks that need a person's review; otherwise their images are left out.
    """

    segmenter: str = ""
    hints: bytes = b""
    accept_unreviewed: bool = False


@dataclass(frozen=True)
class PlannedAttack:
    """One attack of a spec; ``number`` is its position in the spec's order, from 0."""

    number: int
    image_index: int
    key: AttackKey


@dataclass(frozen=True)
class CampaignSpec:
    """What a client asks for; ``campaign.proto`` documents each field.

    A spec without images is a template: it is complete once :func:`dataclasses.replace` adds them.

    Attributes:
        budget: most queries that an attack may send, the clean image included; None is no limit.
        image_preparation: how images were brought to the targets' size, for people.

    Raises:
        InvalidSpecError: a value is out of its range, missing or repeated.

    Example::

        CampaignSpec(
            images=(CampaignImage(digest),),
            targets=("vgg16_cifar10",),
            regions=(Region.WHOLE, Region.FOREGROUND),
            pixel_counts=(1, 3),
            goals=(Goal(), Goal(7)),
            budget=400,
        )
    """

    images: tuple[CampaignImage, ...]
    targets: tuple[str, ...]
    regions: tuple[Region, ...] = (Region.WHOLE,)
    pixel_counts: tuple[int, ...] = (1,)
    goals: tuple[Goal, ...] = (Goal(),)
    search: SearchSettings = field(default_factory=SearchSettings)
    budget: int | None = None
    seed: int = 0
    masks: MaskSettings = field(default_factory=MaskSettings)
    attack_misclassified: bool = False
    display_name: str = ""
    image_preparation: str = ""
    repeats: int | None = None

    def __post_init__(self) -> None:
        for name, values in (
            ("targets", self.targets),
            ("regions", self.regions),
            ("pixel_counts", self.pixel_counts),
            ("goals", self.goals),
        ):
            if not values:
                raise InvalidSpecError(name, "at least one is needed")
            if len(set(values)) != len(values):
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
        if self.budget is not None and self.budget < 1:
            raise InvalidSpecError("budget_per_attack", f"{self.budget} is not positive")
        if not 0 <= self.seed <= MAX_SEED:
            raise InvalidSpecError("seed", f"{self.seed} is not in 0 to {MAX_SEED}")
        if self.repeats is not None and not 1 <= self.repeats <= MAX_REPEATS:
            raise InvalidSpecError("repeats", f"{self.repeats} is not in 1 to {MAX_REPEATS}")

    @property
    def attack_count(self) -> int:
        """Number of attacks."""
        return (
            len(self.images)
            * len(self.targets)
            * len(self.regions)
            * len(self.pixel_counts)
            * len(self.goals)
        )

    def attacks(self) -> Iterator[PlannedAttack]:
        """Yield all attacks in the spec's order: the last of the five lists varies fastest."""
        return map(self.attack, range(self.attack_count))

    def attack(self, number: int) -> PlannedAttack:
        """Return the attack with that number, from 0.

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
