"""Conversion of campaigns and attacks to ``pixelprobe.attack.v1``, and their resource names."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from pixelprobe_api.attack.v1 import attack_service_pb2, campaign_pb2, result_pb2
from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.images import mask_from_array
from pixelprobe_services.common.values import AttackResult, CampaignState, Held, MaskArray
from pixelprobe_services.common.wire import (
    ATTACK_STATES,
    CAMPAIGN_STATES,
    OUTCOMES,
    REGIONS,
    edit_to_pb,
    goal_to_pb,
    score_to_pb,
    spec_to_pb,
)
from pixelprobe_services.orchestrator.store.base import (
    AttackId,
    AttackRecord,
    CampaignProgress,
    CampaignRecord,
    CampaignSummary,
)
from pixelprobe_services.orchestrator.targets.base import TargetInfo
from pixelprobe_services.orchestrator.targets.checking import CheckReport

MAX_NAME = 100
"""Characters of a resource name."""


def campaign_name(campaign_id: str) -> str:
    """Return ``campaigns/{id}``."""
    return f"campaigns/{campaign_id}"


def attack_name(attack: AttackId) -> str:
    """Return ``campaigns/{campaign}/attacks/{number}``."""
    return f"{campaign_name(attack.campaign_id)}/attacks/{attack.number}"


def parse_campaign_name(name: str, field: str = "name") -> str:
    """Return the id in ``campaigns/{id}``.

    Raises:
        InvalidArgumentError: ``name`` has another form.
    """
    match _parts(name):
        case ["campaigns", campaign_id] if campaign_id:
            return campaign_id
    raise InvalidArgumentError(field, f"{name[:MAX_NAME]!r} is not of the form campaigns/ID")


def parse_attack_name(name: str) -> AttackId:
    """Return the campaign and number in ``campaigns/{campaign}/attacks/{number}``.

    Raises:
        InvalidArgumentError: ``name`` has another form.
    """
    match _parts(name):
        case ["campaigns", campaign_id, "attacks", number] if (
            campaign_id and number.isascii() and number.isdigit() and len(number) < 10
        ):
            return AttackId(campaign_id, int(number))
    raise InvalidArgumentError("name", f"{name[:MAX_NAME]!r} is not of the form campaigns/ID/attacks/NUMBER")


def _parts(name: str) -> list[str]:
    """Return the parts between slashes; none for a name longer than any of this service."""
    return name.split("/") if len(name) <= MAX_NAME else []


def campaign_to_pb(
    record: CampaignRecord | CampaignSummary, progress: CampaignProgress
) -> campaign_pb2.Campaign:
    """Return the campaign resource; the spec of a summary has no images."""
    if isinstance(record, CampaignSummary):
        spec = campaign_pb2.CampaignSpec.FromString(record.head)
    else:
        spec = spec_to_pb(record.spec)
    return campaign_pb2.Campaign(
        name=campaign_name(record.id),
        spec=spec,
        state=CAMPAIGN_STATES.to_pb(record.state),
        state_reason=record.state_reason,
        create_time=_timestamp(record.create_time),
        end_time=_timestamp(record.end_time),
        progress=campaign_pb2.CampaignProgress(
            attacks_total=progress.attacks_total,
            attacks_finished=progress.attacks_finished,
            attacks_cancelled=progress.attacks_cancelled,
            queries_sent=progress.ledger.sent,
            queries_skipped=progress.ledger.skipped,
            queries_repeated=progress.ledger.repeated,
            queries_answered=progress.ledger.answered or 0,
            queries_timed_out=progress.ledger.timed_out,
            queries_rejected=progress.ledger.rejected,
            retries=progress.ledger.retries,
        ),
        waits=record.state is CampaignState.WAITING,
        owner=record.owner,
    )


def attack_to_pb(record: AttackRecord) -> result_pb2.Attack:
    """Return the attack resource, with its result once it has finished."""
    message = result_pb2.Attack(
        name=attack_name(record.id),
        image_index=record.image_index,
        target=record.key.target,
        region=REGIONS.to_pb(record.key.region),
        pixels=record.key.pixels,
        goal=goal_to_pb(record.key.goal),
        state=ATTACK_STATES.to_pb(record.state),
    )
    if record.result is not None:
        message.result.CopyFrom(_result_to_pb(record.result, record.mask, record.end_time))
    return message


def _result_to_pb(
    result: AttackResult, mask: MaskArray | None, end_time: datetime | None
) -> result_pb2.AttackResult:
    return result_pb2.AttackResult(
        outcome=OUTCOMES.to_pb(result.outcome),
        reason=result.reason,
        clean_top=map(score_to_pb, result.clean_top),
        best_top=map(score_to_pb, result.best_top),
        best_probability_of_clean_top=result.best_probability_of_clean_top,
        edits=map(edit_to_pb, result.edits),
        queries_sent=result.ledger.sent,
        queries_skipped=result.ledger.skipped,
        queries_repeated=result.ledger.repeated,
        queries_answered=result.ledger.answered,
        queries_timed_out=result.ledger.timed_out,
        queries_rejected=result.ledger.rejected,
        retries=result.ledger.retries,
        clean_held=_repeats_to_pb(result.clean_held),
        success_held=_repeats_to_pb(result.success_held),
        generations=result.generations,
        fitness_by_generation=result.fitness_by_generation,
        queries_to_success=result.queries_to_success,
        first_success_query=result.first_success_query,
        answers=result.answers,
        mask=None if mask is None else mask_from_array(mask),
        region_area_fraction=result.region_area_fraction,
        started_over=result.started_over,
        end_time=_timestamp(end_time),
    )


def _repeats_to_pb(held: Held | None) -> result_pb2.Repeats | None:
    return None if held is None else result_pb2.Repeats(held=held.held, asked=held.asked)


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def target_to_pb(info: TargetInfo) -> attack_service_pb2.Target:
    """A target that answers."""
    return attack_service_pb2.Target(
        name=info.name,
        available=True,
        width=info.width,
        height=info.height,
        classes=info.classes,
        labels=info.labels,
        sparse_queries=info.sparse_queries,
        weights_sha256=info.weights_sha256,
        answers=info.answers,
    )


def check_to_pb(name: str, report: CheckReport) -> attack_service_pb2.CheckTargetResponse:
    """What ``targets check`` found out."""
    finding = attack_service_pb2.TargetFinding
    verdicts = {True: finding.VERDICT_GOOD, False: finding.VERDICT_BAD, None: finding.VERDICT_NONE}
    return attack_service_pb2.CheckTargetResponse(
        target=target_to_pb(report.info) if report.info else attack_service_pb2.Target(name=name),
        metadata=report.metadata,
        findings=[
            finding(name=one.name, verdict=verdicts[one.good], text=one.text) for one in report.findings
        ],
        top=[
            result_pb2.ClassScore(class_index=class_index, probability=score)
            for class_index, score in report.top
        ],
        proposed_table=report.proposal,
        queries_sent=report.queries,
    )
