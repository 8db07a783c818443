"""A campaign's spec between the wire (``campaign.proto``) and the domain; what is off names its field."""

from __future__ import annotations

from typing import TypeVar

from pixelprobe_api.attack.v1 import campaign_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2
from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.images import mask_from_array, mask_to_array
from pixelprobe_services.common.spec import CampaignImage, CampaignSpec, MaskSettings
from pixelprobe_services.common.values import Goal, Region, RegionMode, SearchSettings, Strategy

K = TypeVar("K", bound=int)
T = TypeVar("T")

REGIONS = {
    campaign_pb2.REGION_WHOLE: Region.WHOLE,
    campaign_pb2.REGION_FOREGROUND: Region.FOREGROUND,
    campaign_pb2.REGION_BACKGROUND: Region.BACKGROUND,
    campaign_pb2.REGION_CONTROL: Region.CONTROL,
}
STRATEGIES = {
    campaign_pb2.STRATEGY_UNSPECIFIED: Strategy.RAND1BIN,
    campaign_pb2.STRATEGY_RAND1BIN: Strategy.RAND1BIN,
    campaign_pb2.STRATEGY_BEST1BIN: Strategy.BEST1BIN,
}
REGION_MODES = {
    campaign_pb2.REGION_MODE_UNSPECIFIED: RegionMode.COMPOSITE,
    campaign_pb2.REGION_MODE_COMPOSITE: RegionMode.COMPOSITE,
    campaign_pb2.REGION_MODE_PROJECT: RegionMode.PROJECT,
}


def spec_from_pb(spec: campaign_pb2.CampaignSpec) -> CampaignSpec:
    """A checked spec.

    Raises:
        InvalidArgumentError, InvalidSpecError: with the path of the field that is off.
    """
    return CampaignSpec(
        images=tuple(_image(image, f"images[{index}]") for index, image in enumerate(spec.images)),
        targets=tuple(spec.targets),
        regions=tuple(
            _known(REGIONS, region, f"regions[{index}]") for index, region in enumerate(spec.regions)
        ),
        pixel_counts=tuple(spec.pixel_counts),
        goals=tuple(_goal(goal, f"goals[{index}]") for index, goal in enumerate(spec.goals)),
        search=_search(spec.search),
        budget_per_attack=spec.budget_per_attack if spec.HasField("budget_per_attack") else None,
        seed=spec.seed,
        masks=_masks(spec.masks),
        attack_misclassified=spec.attack_misclassified,
        display_name=spec.display_name,
        image_preparation=spec.image_preparation,
    )


def spec_to_pb(spec: CampaignSpec, *, with_images: bool = True) -> campaign_pb2.CampaignSpec:
    """The inverse of :func:`spec_from_pb`, defaults filled in."""
    return campaign_pb2.CampaignSpec(
        display_name=spec.display_name,
        images=[_image_to_pb(image) for image in spec.images] if with_images else (),
        targets=spec.targets,
        regions=[key_of(REGIONS, region) for region in spec.regions],
        pixel_counts=spec.pixel_counts,
        goals=[goal_to_pb(goal) for goal in spec.goals],
        search=campaign_pb2.SearchSettings(
            strategy=key_of(STRATEGIES, spec.search.strategy),
            population=spec.search.population,
            generations=spec.search.generations,
            crossover_rate=spec.search.crossover_rate,
            mutation_low=spec.search.mutation_low,
            mutation_high=spec.search.mutation_high,
            region_mode=key_of(REGION_MODES, spec.search.region_mode),
            no_early_stop=not spec.search.early_stop,
            stop_check_queries=spec.search.stop_check_queries,
        ),
        budget_per_attack=spec.budget_per_attack,
        seed=spec.seed,
        masks=_masks_to_pb(spec.masks),
        attack_misclassified=spec.attack_misclassified,
        image_preparation=spec.image_preparation,
    )


def spec_to_bytes(spec: CampaignSpec) -> bytes:
    """The serialised message, for a store to keep: fields may be added to it, and old bytes still read."""
    return spec_to_pb(spec).SerializeToString(deterministic=True)


def spec_from_bytes(data: bytes) -> CampaignSpec:
    """The inverse of :func:`spec_to_bytes`."""
    return spec_from_pb(campaign_pb2.CampaignSpec.FromString(data))


def checked_digest(digest: str, field: str) -> str:
    """The digest itself; raises InvalidArgumentError where it is none."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise InvalidArgumentError(field, "is not a SHA-256 in lower-case hex")
    return digest


def goal_to_pb(goal: Goal) -> campaign_pb2.Goal:
    """The goal message."""
    if goal.target_class is None:
        return campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted())
    return campaign_pb2.Goal(target_class=goal.target_class)


def _known(table: dict[K, T], value: K, field: str) -> T:
    if value not in table:
        raise InvalidArgumentError(field, f"{value} is unspecified or unknown")
    return table[value]


def key_of(table: dict[K, T], value: T) -> K:
    """The wire's number of a domain value; of several, the last, which is never UNSPECIFIED."""
    return next(key for key, known in reversed(table.items()) if known is value)


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


def _goal(goal: campaign_pb2.Goal, field: str) -> Goal:
    match goal.WhichOneof("kind"):
        case "untargeted":
            return Goal()
        case "target_class":
            return Goal(goal.target_class)
    raise InvalidArgumentError(field, "is neither untargeted nor a target_class")


def _search(settings: campaign_pb2.SearchSettings) -> SearchSettings:
    default = SearchSettings()
    population = settings.population or default.population

    def given(name: str, otherwise: float) -> float:
        return float(getattr(settings, name)) if settings.HasField(name) else otherwise  # type: ignore[arg-type]

    return SearchSettings(
        strategy=_known(STRATEGIES, settings.strategy, "search.strategy"),
        population=population,
        generations=settings.generations or default.generations,
        crossover_rate=given("crossover_rate", default.crossover_rate),
        mutation_low=given("mutation_low", default.mutation_low),
        mutation_high=given("mutation_high", default.mutation_high),
        region_mode=_known(REGION_MODES, settings.region_mode, "search.region_mode"),
        early_stop=not settings.no_early_stop,
        stop_check_queries=settings.stop_check_queries or default.stop_check_queries,
    )


def _masks(settings: campaign_pb2.MaskSettings) -> MaskSettings:
    """The options travel on to the segmentation service as they are; it alone judges them."""
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
