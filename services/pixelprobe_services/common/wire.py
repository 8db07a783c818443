"""Specs and shared values as protobuf messages (``pixelprobe.attack.v1``), in both directions.

Errors name the path of the field at fault, such as ``goals[1].target_class``.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pixelprobe_api.attack.v1 import campaign_pb2, result_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2
from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.images import mask_from_array, mask_to_array
from pixelprobe_services.common.spec import CampaignImage, CampaignSpec, MaskSettings
from pixelprobe_services.common.values import (
    AttackState,
    CampaignState,
    ClassScore,
    Edit,
    Goal,
    InvalidSpecError,
    Outcome,
    Region,
    RegionMode,
    SearchSettings,
    Strategy,
)

E = TypeVar("E", AttackState, CampaignState, Outcome, Region, RegionMode, Strategy)


class WireEnum(Generic[E]):
    """An enum and its protobuf counterpart, whose values are called PREFIX_NAME.

    Args:
        members: the Python enum.
        wire: the generated wrapper of the protobuf enum.
        prefix: of the protobuf names.
        default: what PREFIX_UNSPECIFIED means; None refuses it.

    Example::

        REGIONS = WireEnum(Region, campaign_pb2.Region, "REGION")
        REGIONS.to_pb(Region.WHOLE)  # campaign_pb2.REGION_WHOLE
    """

    # The generated wrappers have no common base that types Name and Value.
    def __init__(self, members: type[E], wire: Any, prefix: str, default: E | None = None) -> None:
        self._numbers: dict[E, Any] = {one: wire.Value(f"{prefix}_{one.name}") for one in members}
        self._members: dict[int, E] = {number: one for one, number in self._numbers.items()}
        if default is not None:
            self._members[wire.Value(f"{prefix}_UNSPECIFIED")] = default

    def to_pb(self, member: E) -> Any:
        """Return the protobuf number."""
        return self._numbers[member]

    def from_pb(self, number: int, field: str) -> E:
        """Return the member; InvalidArgumentError names ``field`` if the number is unspecified or unknown."""
        if number not in self._members:
            raise InvalidArgumentError(field, f"{number} is unspecified or unknown")
        return self._members[number]


REGIONS = WireEnum(Region, campaign_pb2.Region, "REGION")
STRATEGIES = WireEnum(Strategy, campaign_pb2.Strategy, "STRATEGY", Strategy.RAND1BIN)
REGION_MODES = WireEnum(RegionMode, campaign_pb2.RegionMode, "REGION_MODE", RegionMode.COMPOSITE)
CAMPAIGN_STATES = WireEnum(CampaignState, campaign_pb2.CampaignState, "CAMPAIGN_STATE")
ATTACK_STATES = WireEnum(AttackState, result_pb2.AttackState, "ATTACK_STATE")
OUTCOMES = WireEnum(Outcome, result_pb2.Outcome, "OUTCOME")


def spec_from_pb(spec: campaign_pb2.CampaignSpec) -> CampaignSpec:
    """Return the checked spec; unset search settings take their defaults.

    Raises:
        InvalidArgumentError, InvalidSpecError: a field is invalid; ``field`` is its path.
    """
    if not spec.images:
        raise InvalidSpecError("images", "at least one is needed")
    return CampaignSpec(
        images=tuple(_image(image, f"images[{index}]") for index, image in enumerate(spec.images)),
        targets=tuple(spec.targets),
        regions=tuple(
            REGIONS.from_pb(region, f"regions[{index}]") for index, region in enumerate(spec.regions)
        ),
        pixel_counts=tuple(spec.pixel_counts),
        goals=tuple(goal_from_pb(goal, f"goals[{index}]") for index, goal in enumerate(spec.goals)),
        search=_search(spec.search),
        budget=spec.budget_per_attack if spec.HasField("budget_per_attack") else None,
        seed=spec.seed,
        masks=_masks(spec.masks),
        attack_misclassified=spec.attack_misclassified,
        display_name=spec.display_name,
        image_preparation=spec.image_preparation,
        repeats=spec.repeats if spec.HasField("repeats") else None,
    )


def spec_to_pb(spec: CampaignSpec, *, with_images: bool = True) -> campaign_pb2.CampaignSpec:
    """Return the message, with all search settings filled in; :func:`spec_from_pb` is the inverse."""
    return campaign_pb2.CampaignSpec(
        display_name=spec.display_name,
        images=[_image_to_pb(image) for image in spec.images] if with_images else (),
        targets=spec.targets,
        regions=[REGIONS.to_pb(region) for region in spec.regions],
        pixel_counts=spec.pixel_counts,
        goals=[goal_to_pb(goal) for goal in spec.goals],
        search=campaign_pb2.SearchSettings(
            strategy=STRATEGIES.to_pb(spec.search.strategy),
            population=spec.search.population,
            generations=spec.search.generations,
            crossover_rate=spec.search.crossover_rate,
            mutation_low=spec.search.mutation_low,
            mutation_high=spec.search.mutation_high,
            region_mode=REGION_MODES.to_pb(spec.search.region_mode),
            no_early_stop=not spec.search.early_stop,
            stop_check_queries=spec.search.stop_check_queries,
        ),
        budget_per_attack=spec.budget,
        seed=spec.seed,
        masks=_masks_to_pb(spec.masks),
        attack_misclassified=spec.attack_misclassified,
        image_preparation=spec.image_preparation,
        repeats=spec.repeats,
    )


def spec_to_bytes(spec: CampaignSpec) -> bytes:
    """Return the serialised message for a store. Bytes stay readable when fields are added to the message."""
    return spec_to_pb(spec).SerializeToString(deterministic=True)


def spec_from_bytes(data: bytes) -> CampaignSpec:
    """Return the spec of :func:`spec_to_bytes`."""
    return spec_from_pb(campaign_pb2.CampaignSpec.FromString(data))


def checked_digest(digest: str, field: str) -> str:
    """Return the digest; InvalidArgumentError if it is not one."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidArgumentError(field, "is not a SHA-256 in lower-case hex")
    return digest


def goal_to_pb(goal: Goal) -> campaign_pb2.Goal:
    """Return the message."""
    if goal.target_class is None:
        return campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted())
    return campaign_pb2.Goal(target_class=goal.target_class)


def goal_from_pb(goal: campaign_pb2.Goal, field: str = "goal") -> Goal:
    """Return the goal; InvalidArgumentError if the message holds none."""
    match goal.WhichOneof("kind"):
        case "untargeted":
            return Goal()
        case "target_class":
            return Goal(goal.target_class)
    raise InvalidArgumentError(field, "is neither untargeted nor a target_class")


def edit_to_pb(edit: Edit) -> result_pb2.Edit:
    """Return the message."""
    return result_pb2.Edit(x=edit.x, y=edit.y, red=edit.red, green=edit.green, blue=edit.blue)


def edit_from_pb(edit: result_pb2.Edit) -> Edit:
    """Return the edit."""
    return Edit(edit.x, edit.y, edit.red, edit.green, edit.blue)


def score_to_pb(score: ClassScore) -> result_pb2.ClassScore:
    """Return the message; the probability becomes a 32-bit float."""
    return result_pb2.ClassScore(class_index=score.class_index, probability=score.probability)


def score_from_pb(score: result_pb2.ClassScore) -> ClassScore:
    """Return the score."""
    return ClassScore(score.class_index, score.probability)


def _image(image: campaign_pb2.CampaignImage, field: str) -> CampaignImage:
    return CampaignImage(
        digest=checked_digest(image.digest, f"{field}.digest"),
        display_name=image.display_name,
        label=image.label if image.HasField("label") else None,
        mask=mask_to_array(image.mask, field=f"{field}.mask") if image.HasField("mask") else None,
    )


def _image_to_pb(image: CampaignImage) -> campaign_pb2.CampaignImage:
    return campaign_pb2.CampaignImage(
        digest=image.digest,
        display_name=image.display_name,
        label=image.label,
        mask=None if image.mask is None else mask_from_array(image.mask),
    )


def _search(settings: campaign_pb2.SearchSettings) -> SearchSettings:
    default = SearchSettings()

    def given(name: str, otherwise: float) -> float:
        return float(getattr(settings, name)) if settings.HasField(name) else otherwise  # type: ignore[arg-type]

    return SearchSettings(
        strategy=STRATEGIES.from_pb(settings.strategy, "search.strategy"),
        population=settings.population or default.population,
        generations=settings.generations or default.generations,
        crossover_rate=given("crossover_rate", default.crossover_rate),
        mutation_low=given("mutation_low", default.mutation_low),
        mutation_high=given("mutation_high", default.mutation_high),
        region_mode=REGION_MODES.from_pb(settings.region_mode, "search.region_mode"),
        early_stop=not settings.no_early_stop,
        stop_check_queries=settings.stop_check_queries or default.stop_check_queries,
    )


def _masks(settings: campaign_pb2.MaskSettings) -> MaskSettings:
    """Keep the options as bytes: only the segmentation service checks them."""
    hints = segmentation_service_pb2.SegmentRequest()
    match settings.WhichOneof("options"):
        case "grabcut":
            hints.grabcut.CopyFrom(settings.grabcut)
        case "salient":
            hints.salient.CopyFrom(settings.salient)
    return MaskSettings(
        settings.segmenter, hints.SerializeToString(deterministic=True), settings.accept_unreviewed
    )


def _masks_to_pb(settings: MaskSettings) -> campaign_pb2.MaskSettings:
    hints = segmentation_service_pb2.SegmentRequest.FromString(settings.hints)
    message = campaign_pb2.MaskSettings(
        segmenter=settings.segmenter, accept_unreviewed=settings.accept_unreviewed
    )
    match hints.WhichOneof("options"):
        case "grabcut":
            message.grabcut.CopyFrom(hints.grabcut)
        case "salient":
            message.salient.CopyFrom(hints.salient)
    return message
