"""Reads that change nothing: campaigns without their images, specs, progress, pages of attacks."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import AttackResult, AttackState, CampaignState, Outcome
from pixelprobe_services.orchestrator.store.records import (
    AttackId,
    AttackRecord,
    CampaignProgress,
    CampaignSummary,
)
from pixelprobe_services.orchestrator.store.sql.attacks import LEDGER_COLUMNS, ledger_of
from pixelprobe_services.orchestrator.store.sql.events import EXISTS, not_found, read_campaign
from pixelprobe_services.orchestrator.store.sql.payload import decode_mask, decode_result
from pixelprobe_services.orchestrator.store.sql.schema import attacks, campaigns, masks, results, specs


def get_summary(connection: sa.Connection, campaign_id: str) -> CampaignSummary:
    """Return a campaign without its images. Raises NotFoundError."""
    row = connection.execute(sa.select(campaigns).where(campaigns.c.id == campaign_id, EXISTS)).one_or_none()
    if row is None:
        raise not_found(campaign_id)
    return summary_of(row)


def get_spec(connection: sa.Connection, campaign_id: str) -> bytes:
    """Return the serialised spec. Raises NotFoundError."""
    data = connection.scalar(
        sa.select(specs.c.spec).join_from(specs, campaigns).where(campaigns.c.id == campaign_id, EXISTS)
    )
    if data is None:
        raise not_found(campaign_id)
    return bytes(data)


def newest(connection: sa.Connection, limit: int, after: str, owner: str | None) -> list[CampaignSummary]:
    """Return the newest campaigns, those older than ``after`` if that is given. Raises NotFoundError."""
    statement = sa.select(campaigns).where(EXISTS).order_by(campaigns.c.ordinal.desc()).limit(limit)
    if owner is not None:
        statement = statement.where(campaigns.c.owner == owner)
    if after:
        statement = statement.where(campaigns.c.ordinal < read_campaign(connection, after).ordinal)
    return [summary_of(row) for row in connection.execute(statement)]


def count_by_state(connection: sa.Connection) -> dict[CampaignState, int]:
    """Return how many campaigns are in each state that any is in."""
    counts = sa.select(campaigns.c.state, sa.func.count()).where(EXISTS).group_by(campaigns.c.state)
    return {state: int(count) for state, count in connection.execute(counts)}


def ids_in(connection: sa.Connection, states: Collection[CampaignState]) -> list[str]:
    """Return the ids of all campaigns in one of ``states``, oldest first."""
    wanted = sa.select(campaigns.c.id).where(campaigns.c.state.in_(states), EXISTS)
    return list(connection.scalars(wanted.order_by(campaigns.c.ordinal)))


def progress_of(connection: sa.Connection, campaign_ids: Collection[str]) -> dict[str, CampaignProgress]:
    """Return the counts over the attacks of each campaign that exists."""
    wanted = campaigns.c.id.in_(sorted(campaign_ids))
    sums = connection.execute(
        sa.select(
            campaigns.c.id,
            campaigns.c.state.label("campaign_state"),
            campaigns.c.attacks_total,
            sa.func.count(attacks.c.outcome).label("finished"),
            sa.func.count(sa.case((attacks.c.outcome == Outcome.CANCELLED, 1))).label("cancelled"),
            sa.func.count(sa.case((attacks.c.state == AttackState.RUNNING, 1))).label("running"),
            *(sa.func.sum(column).label(column.name) for column in LEDGER_COLUMNS),
        )
        .select_from(campaigns)
        .outerjoin(attacks, attacks.c.campaign_id == campaigns.c.id)
        .where(wanted, EXISTS)
        .group_by(campaigns.c.id, campaigns.c.state, campaigns.c.attacks_total)
    )
    return {row.id: _progress(row) for row in sums}


def _progress(row: Any) -> CampaignProgress:
    total, finished, cancelled = row.attacks_total, row.finished, row.cancelled
    if row.campaign_state is CampaignState.CANCELLED:
        cancelled += total - finished - row.running
        finished = total - row.running
    return CampaignProgress(total, finished, ledger_of(row), cancelled)


def get_attack(connection: sa.Connection, attack: AttackId, spec: CampaignSpec) -> AttackRecord:
    """Return one attack. Raises NotFoundError."""
    found = list_attacks(
        connection, attack.campaign_id, spec, start=attack.number, limit=1, finished_only=False
    )
    if not found or found[0].id != attack:
        raise NotFoundError(f"campaign {attack.campaign_id} has no attack {attack.number}")
    return found[0]


def list_attacks(
    connection: sa.Connection,
    campaign_id: str,
    spec: CampaignSpec,
    *,
    start: int,
    limit: int,
    finished_only: bool,
) -> list[AttackRecord]:
    """Return at most ``limit`` attacks from number ``start``, in order. Raises NotFoundError."""
    campaign = read_campaign(connection, campaign_id)
    cancelled = campaign.state is CampaignState.CANCELLED
    wanted = _RECORDS.where(attacks.c.campaign_id == campaign_id, attacks.c.number >= start)
    if finished_only and cancelled:
        wanted = wanted.where(attacks.c.state != AttackState.RUNNING)
    elif finished_only:
        wanted = wanted.where(attacks.c.state == AttackState.FINISHED)
    rows = connection.execute(wanted.order_by(attacks.c.number).limit(limit))
    found = [_record(row, campaign, spec) for row in rows]
    if cancelled or not finished_only:
        first = max(start, campaign.attacks_created)
        for number in range(first, min(campaign.attacks_total, first + limit - len(found))):
            found.append(_unfinished(AttackId(campaign_id, number), AttackState.PENDING, campaign, spec))
    return found


_RECORDS = (
    sa.select(
        attacks.c.campaign_id,
        attacks.c.number,
        attacks.c.state,
        attacks.c.outcome,
        attacks.c.end_time,
        *LEDGER_COLUMNS,
        results.c.payload,
        masks.c.height,
        masks.c.width,
        masks.c.bits,
    )
    .select_from(attacks)
    .outerjoin(results)
    .outerjoin(masks, masks.c.digest == results.c.mask_digest)
)


def _record(row: Any, campaign: Any, spec: CampaignSpec) -> AttackRecord:
    attack = AttackId(row.campaign_id, row.number)
    if row.payload is None:
        return _unfinished(attack, row.state, campaign, spec, row)
    planned = spec.attack(row.number)
    return AttackRecord(
        id=attack,
        image_index=planned.image_index,
        key=planned.key,
        state=row.state,
        result=decode_result(row.payload, row.outcome),
        mask=None if row.bits is None else decode_mask(row.bits, row.height, row.width),
        end_time=_moment(row.end_time),
    )


def _unfinished(
    attack: AttackId, state: AttackState, campaign: Any, spec: CampaignSpec, row: Any = None
) -> AttackRecord:
    """Return an attack without a stored result; where its campaign is cancelled, it counts as cancelled."""
    planned = spec.attack(attack.number)
    if state is AttackState.PENDING and campaign.state is CampaignState.CANCELLED:
        ledger = ledger_of(row)
        return AttackRecord(
            attack,
            planned.image_index,
            planned.key,
            AttackState.FINISHED,
            AttackResult(Outcome.CANCELLED, ledger=ledger),
            end_time=_moment(campaign.end_time),
        )
    return AttackRecord(attack, planned.image_index, planned.key, state)


def summary_of(row: Any) -> CampaignSummary:
    """Return a row of campaigns as a record."""
    created = _moment(row.create_time)
    assert created is not None
    return CampaignSummary(
        id=row.id,
        request_id=row.request_id or "",
        state=row.state,
        state_reason=row.state_reason,
        create_time=created,
        end_time=_moment(row.end_time),
        owner=row.owner,
        attacks_total=row.attacks_total,
        head=bytes(row.head),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
