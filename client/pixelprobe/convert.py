"""Between :mod:`pixelprobe.model` and the protobuf messages of both services."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixelprobe import masks, model
from pixelprobe_api.attack.v1 import attack_service_pb2, campaign_pb2, result_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2
from pixelprobe_services.common.errors import InvalidArgumentError, ServiceError
from pixelprobe_services.common.images import from_array, mask_from_array, mask_to_array

AnyEnum = TypeVar("AnyEnum", bound=StrEnum)


def target(message: attack_service_pb2.Target) -> model.Target:
    """A target as the server describes it."""
    return model.Target(
        name=message.name,
        available=message.available,
        unavailable_reason=message.unavailable_reason,
        width=message.width,
        height=message.height,
        classes=message.classes,
        labels=tuple(message.labels),
        sparse_queries=message.sparse_queries,
        weights_sha256=message.weights_sha256,
    )


def campaign_spec(spec: model.CampaignSpec) -> campaign_pb2.CampaignSpec:
    """The message for a spec."""
    search = spec.search
    message = campaign_pb2.CampaignSpec(
        display_name=spec.display_name,
        images=[_campaign_image(image) for image in spec.images],
        targets=spec.targets,
        regions=[_to_wire(region, campaign_pb2.Region, "REGION") for region in spec.regions],
        pixel_counts=spec.pixel_counts,
        goals=[_goal(goal) for goal in spec.goals],
        search=campaign_pb2.SearchSettings(
            strategy=_to_wire(search.strategy, campaign_pb2.Strategy, "STRATEGY"),
            population=search.population,
            generations=search.generations,
            crossover_rate=search.crossover_rate,
            mutation_low=search.mutation_low,
            mutation_high=search.mutation_high,
            region_mode=_to_wire(search.region_mode, campaign_pb2.RegionMode, "REGION_MODE"),
            no_early_stop=not search.early_stop,
        ),
        seed=spec.seed,
        masks=campaign_pb2.MaskSettings(segmenter=spec.segmenter, accept_unreviewed=spec.accept_unreviewed),
        attack_misclassified=spec.attack_misclassified,
        image_preparation=spec.image_preparation,
    )
    if spec.budget is not None:
        message.budget_per_attack = spec.budget
    return message


def spec_of(message: campaign_pb2.CampaignSpec) -> model.CampaignSpec:
    """The inverse of :func:`campaign_spec`, for a spec that the server tells with its defaults filled in."""
    search = message.search
    return model.CampaignSpec(
        images=tuple(_image_of(image) for image in message.images),
        targets=tuple(message.targets),
        regions=tuple(_from_wire(r, campaign_pb2.Region, "REGION", model.Region) for r in message.regions),
        pixel_counts=tuple(message.pixel_counts),
        goals=tuple(_target_class(goal) for goal in message.goals),
        search=model.SearchOptions(
            strategy=_from_wire(search.strategy, campaign_pb2.Strategy, "STRATEGY", model.Strategy),
            population=search.population,
            generations=search.generations,
            crossover_rate=search.crossover_rate,
            mutation_low=search.mutation_low,
            mutation_high=search.mutation_high,
            region_mode=_from_wire(
                search.region_mode, campaign_pb2.RegionMode, "REGION_MODE", model.RegionMode
            ),
            early_stop=not search.no_early_stop,
        ),
        budget=message.budget_per_attack if message.HasField("budget_per_attack") else None,
        seed=message.seed,
        display_name=message.display_name,
        segmenter=message.masks.segmenter,
        accept_unreviewed=message.masks.accept_unreviewed,
        attack_misclassified=message.attack_misclassified,
        image_preparation=message.image_preparation,
    )


def spec_digest(spec: model.CampaignSpec) -> str:
    """SHA-256 in hex over all that the spec asks for; fields added to the message later do not change it."""
    return hashlib.sha256(campaign_spec(spec).SerializeToString(deterministic=True)).hexdigest()


def campaign(message: campaign_pb2.Campaign) -> model.Campaign:
    """A campaign as the server tells it."""
    progress = message.progress
    return model.Campaign(
        name=message.name,
        display_name=message.spec.display_name,
        state=_from_wire(message.state, campaign_pb2.CampaignState, "CAMPAIGN_STATE", model.CampaignState),
        state_reason=message.state_reason,
        attacks_total=progress.attacks_total,
        attacks_finished=progress.attacks_finished,
        queries_sent=progress.queries_sent,
        queries_skipped=progress.queries_skipped,
        queries_repeated=progress.queries_repeated,
        create_time=_time(message, "create_time"),
        end_time=_time(message, "end_time"),
        waits=message.waits,
        owner=message.owner,
        attacks_cancelled=progress.attacks_cancelled,
        queries_answered=progress.queries_answered,
        queries_timed_out=progress.queries_timed_out,
        queries_rejected=progress.queries_rejected,
        retries=progress.retries,
    )


def attack(message: result_pb2.Attack) -> model.Attack:
    """An attack, with its result where it has one."""
    return model.Attack(
        name=message.name,
        image_index=message.image_index,
        target=message.target,
        region=_from_wire(message.region, campaign_pb2.Region, "REGION", model.Region),
        pixels=message.pixels,
        target_class=_target_class(message.goal),
        state=_from_wire(message.state, result_pb2.AttackState, "ATTACK_STATE", model.AttackState),
        result=_result(message.result) if message.HasField("result") else None,
    )


def event(message: attack_service_pb2.WatchCampaignResponse) -> model.Event | None:
    """An event; None for a kind that this client does not know yet."""
    kind = message.WhichOneof("event")
    if kind == "campaign":
        return model.CampaignChanged(message.sequence, campaign(message.campaign))
    if kind == "finished":
        return model.AttackFinished(message.sequence, attack(message.finished))
    if kind == "progress":
        progress = message.progress
        return model.AttackProgress(
            sequence=message.sequence,
            attack=progress.attack,
            generation=progress.generation,
            best_fitness=progress.best_fitness,
            queries_sent=progress.queries_sent,
            queries_answered=progress.queries_answered,
            queries_timed_out=progress.queries_timed_out,
            queries_rejected=progress.queries_rejected,
            retries=progress.retries,
        )
    return None


def segment_request(
    pixels: NDArray[np.uint8],
    segmenter: str,
    hints: masks.GrabCutHints | None,
    threshold: float | None = None,
    saliency: bool = False,
) -> segmentation_service_pb2.SegmentRequest:
    """The request for one image; ``hints`` are GrabCut's options, or ``threshold`` is U2-Net's."""
    request = segmentation_service_pb2.SegmentRequest(
        image=from_array(pixels), segmenter=segmenter, return_saliency=saliency
    )
    if threshold is not None:
        request.salient.threshold = threshold
    if hints is not None:
        request.grabcut.iterations = hints.iterations
        if hints.rectangle is not None:
            left, top, right, bottom = hints.rectangle
            request.grabcut.rectangle.CopyFrom(
                segmentation_service_pb2.Rectangle(left=left, top=top, right=right, bottom=bottom)
            )
        for stroke in hints.strokes:
            request.grabcut.strokes.add(
                kind=_to_wire(stroke.kind, segmentation_service_pb2.StrokeKind, "STROKE_KIND"),
                points=[segmentation_service_pb2.Point(x=x, y=y) for x, y in stroke.points],
                width=stroke.width,
            )
        request.grabcut.SetInParent()
    return request


def segmentation(message: segmentation_service_pb2.SegmentResponse) -> masks.Segmentation:
    """The answer for one image.

    Raises:
        InvalidArgumentError: the saliency's size is not the mask's.
    """
    mask = mask_to_array(message.mask)
    saliency = None
    if message.saliency:
        if len(message.saliency) != mask.size:
            raise InvalidArgumentError("saliency", f"{len(message.saliency)} bytes, expected {mask.size}")
        saliency = np.frombuffer(message.saliency, np.uint8).reshape(mask.shape)
    return masks.Segmentation(
        mask=mask,
        area_fraction=message.area_fraction,
        needs_review=message.needs_review,
        review_reason=message.review_reason,
        segmenter=message.segmenter,
        choice_reason=message.choice_reason,
        saliency=saliency,
    )


def segmenter(message: segmentation_service_pb2.Segmenter) -> masks.Segmenter:
    """A method as the server describes it."""
    return masks.Segmenter(
        id=message.id,
        description=message.description,
        available=message.available,
        unavailable_reason=message.unavailable_reason,
        interactive=message.interactive,
    )


def _campaign_image(image: model.CampaignImage) -> campaign_pb2.CampaignImage:
    message = campaign_pb2.CampaignImage(digest=image.digest, display_name=image.display_name)
    if image.label is not None:
        message.label = image.label
    if image.mask is not None:
        message.mask.CopyFrom(mask_from_array(image.mask))
    return message


def _image_of(message: campaign_pb2.CampaignImage) -> model.CampaignImage:
    return model.CampaignImage(
        digest=message.digest,
        display_name=message.display_name,
        label=message.label if message.HasField("label") else None,
        mask=mask_to_array(message.mask) if message.HasField("mask") else None,
    )


def _target_class(goal: campaign_pb2.Goal) -> int | None:
    return goal.target_class if goal.WhichOneof("kind") == "target_class" else None


def _time(message: campaign_pb2.Campaign, field: Literal["create_time", "end_time"]) -> datetime | None:
    return getattr(message, field).ToDatetime(UTC) if message.HasField(field) else None


def _goal(target_class: int | None) -> campaign_pb2.Goal:
    if target_class is None:
        return campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted())
    return campaign_pb2.Goal(target_class=target_class)


def _result(message: result_pb2.AttackResult) -> model.Result:
    return model.Result(
        outcome=_from_wire(message.outcome, result_pb2.Outcome, "OUTCOME", model.Outcome),
        reason=message.reason,
        clean_top=tuple(model.ClassScore(s.class_index, s.probability) for s in message.clean_top),
        best_top=tuple(model.ClassScore(s.class_index, s.probability) for s in message.best_top),
        best_probability_of_clean_top=tuple(message.best_probability_of_clean_top),
        edits=tuple(model.Edit(e.x, e.y, e.red, e.green, e.blue) for e in message.edits),
        queries_sent=message.queries_sent,
        queries_skipped=message.queries_skipped,
        queries_repeated=message.queries_repeated,
        generations=message.generations,
        queries_to_success=message.queries_to_success,
        fitness_by_generation=tuple(message.fitness_by_generation),
        mask=mask_to_array(message.mask) if message.HasField("mask") else None,
        region_area_fraction=message.region_area_fraction,
        queries_answered=message.queries_answered if message.HasField("queries_answered") else None,
        queries_timed_out=message.queries_timed_out,
        queries_rejected=message.queries_rejected,
        retries=message.retries,
        clean_held=_repeats(message.clean_held) if message.HasField("clean_held") else None,
        success_held=_repeats(message.success_held) if message.HasField("success_held") else None,
    )


def _repeats(message: result_pb2.Repeats) -> model.Repeats:
    return model.Repeats(message.held, message.asked)


# The generated enum wrappers have a stub class each and no common base that types Name and Value.
def _to_wire(value: StrEnum, wire: Any, prefix: str) -> Any:
    return wire.Value(f"{prefix}_{value.name}")


def _from_wire(number: int, wire: Any, prefix: str, enum: type[AnyEnum]) -> AnyEnum:
    known = {wire.Value(f"{prefix}_{member.name}"): member for member in enum}
    if number not in known:
        raise ServiceError(
            f"the server answered with {prefix} {number}, which this version of pixelprobe does not know",
            reason="UNKNOWN_ENUM_VALUE",
        )
    return known[number]
