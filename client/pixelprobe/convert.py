"""Protobuf messages of both services as the client's values, and requests as messages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixelprobe import masks, model
from pixelprobe_api.attack.v1 import attack_service_pb2, campaign_pb2, result_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2
from pixelprobe_services.common.errors import InvalidArgumentError, ServiceError
from pixelprobe_services.common.images import from_array, mask_to_array
from pixelprobe_services.common.wire import (
    ATTACK_STATES,
    CAMPAIGN_STATES,
    OUTCOMES,
    REGIONS,
    edit_from_pb,
    goal_from_pb,
    score_from_pb,
    spec_from_pb,
    spec_to_pb,
)


def target(message: attack_service_pb2.Target) -> model.Target:
    """Return a target."""
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
        answers=message.answers,
    )


def target_check(message: attack_service_pb2.CheckTargetResponse) -> model.TargetCheck:
    """Return what a check of a target found."""
    verdicts = {
        attack_service_pb2.TargetFinding.VERDICT_GOOD: True,
        attack_service_pb2.TargetFinding.VERDICT_BAD: False,
    }
    return model.TargetCheck(
        target=target(message.target),
        metadata=tuple(message.metadata),
        findings=tuple(
            model.TargetFinding(one.name, verdicts.get(one.verdict), one.text) for one in message.findings
        ),
        top=tuple(model.ClassScore(one.class_index, one.probability) for one in message.top),
        proposed_table=message.proposed_table,
        queries_sent=message.queries_sent,
    )


def spec_of(message: campaign_pb2.CampaignSpec) -> model.CampaignSpec:
    """Return the spec of a campaign on the server.

    Raises:
        ServiceError: the server's version has values that this one does not know.
    """
    with _known_values():
        return spec_from_pb(message)


def spec_digest(spec: model.CampaignSpec) -> str:
    """Return the SHA-256 in hex over all that a spec asks for.

    It names runs, so it must not change from version to version: a search setting that was added later counts
    only where it differs from its default.
    """
    message = spec_to_pb(spec)
    if message.search.stop_check_queries == model.SearchSettings.stop_check_queries:
        message.search.ClearField("stop_check_queries")
    return hashlib.sha256(message.SerializeToString(deterministic=True)).hexdigest()


def campaign(message: campaign_pb2.Campaign) -> model.Campaign:
    """Return a campaign."""
    progress = message.progress
    with _known_values():
        state = CAMPAIGN_STATES.from_pb(message.state, "state")
    return model.Campaign(
        name=message.name,
        display_name=message.spec.display_name,
        state=state,
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
    """Return an attack, with its result where it has one."""
    with _known_values():
        return model.Attack(
            name=message.name,
            image_index=message.image_index,
            target=message.target,
            region=REGIONS.from_pb(message.region, "region"),
            pixels=message.pixels,
            target_class=goal_from_pb(message.goal).target_class,
            state=ATTACK_STATES.from_pb(message.state, "state"),
            result=_result(message.result) if message.HasField("result") else None,
        )


def event(message: attack_service_pb2.WatchCampaignResponse) -> model.Event | None:
    """Return an event; None for a kind that only a newer server sends."""
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
            waiting_for=progress.waiting_for,
        )
    return None


def segment_request(
    pixels: NDArray[np.uint8],
    segmenter: str,
    hints: masks.GrabCutOptions | None,
    threshold: float | None = None,
    saliency: bool = False,
) -> segmentation_service_pb2.SegmentRequest:
    """Return the request for one image, with GrabCut's ``hints`` or U2-Net's ``threshold``, if any."""
    request = segmentation_service_pb2.SegmentRequest(
        image=from_array(pixels), segmenter=segmenter, return_saliency=saliency
    )
    if threshold is not None:
        request.salient.threshold = threshold
    if hints is not None:
        request.grabcut.iterations = hints.iterations
        if hints.rectangle is not None:
            request.grabcut.rectangle.CopyFrom(segmentation_service_pb2.Rectangle(**asdict(hints.rectangle)))
        for stroke in hints.strokes:
            request.grabcut.strokes.add(
                kind=segmentation_service_pb2.STROKE_KIND_FOREGROUND
                if stroke.foreground
                else segmentation_service_pb2.STROKE_KIND_BACKGROUND,
                points=[segmentation_service_pb2.Point(x=x, y=y) for x, y in stroke.points],
                width=stroke.width,
            )
        request.grabcut.SetInParent()
    return request


def segmentation(message: segmentation_service_pb2.SegmentResponse) -> masks.Segmentation:
    """Return the segmentation of one image.

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
    """Return a segmentation method."""
    return masks.Segmenter(
        id=message.id,
        description=message.description,
        available=message.available,
        unavailable_reason=message.unavailable_reason,
        interactive=message.interactive,
    )


def _time(message: campaign_pb2.Campaign, field: Literal["create_time", "end_time"]) -> datetime | None:
    return getattr(message, field).ToDatetime(UTC) if message.HasField(field) else None


def _result(message: result_pb2.AttackResult) -> model.Result:
    return model.Result(
        outcome=OUTCOMES.from_pb(message.outcome, "result.outcome"),
        reason=message.reason,
        clean_top=tuple(map(score_from_pb, message.clean_top)),
        best_top=tuple(map(score_from_pb, message.best_top)),
        best_probability_of_clean_top=tuple(message.best_probability_of_clean_top),
        edits=tuple(map(edit_from_pb, message.edits)),
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
        clean_held=_held(message.clean_held) if message.HasField("clean_held") else None,
        success_held=_held(message.success_held) if message.HasField("success_held") else None,
        started_over=message.started_over,
        first_success_query=message.first_success_query,
        answers=message.answers,
    )


def _held(message: result_pb2.Repeats) -> model.Held:
    return model.Held(message.held, message.asked)


@contextmanager
def _known_values() -> Iterator[None]:
    """Report a value that only a newer server knows as a ServiceError, not as invalid input."""
    try:
        yield
    except (InvalidArgumentError, model.InvalidSpecError) as error:
        raise ServiceError(
            f"the server's answer has a value that this version of pixelprobe does not know: {error}",
            reason="UNKNOWN_ENUM_VALUE",
        ) from error
