"""Campaigns: created, changed in state, finished. Every change locks the campaign's row first."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import sqlalchemy as sa

from pixelprobe_services.common.errors import ConflictError
from pixelprobe_services.common.values import AttackState, CampaignState, check_transition
from pixelprobe_services.orchestrator.store.errors import CancelUnderWayError
from pixelprobe_services.orchestrator.store.limits import NO_LIMITS, Limits
from pixelprobe_services.orchestrator.store.records import CampaignSummary
from pixelprobe_services.orchestrator.store.sql import attacks, events, quotas
from pixelprobe_services.orchestrator.store.sql.dialect import insert_or_keep, now_seconds
from pixelprobe_services.orchestrator.store.sql.events import EXISTS, lock_campaign
from pixelprobe_services.orchestrator.store.sql.reading import get_summary, summary_of
from pixelprobe_services.orchestrator.store.sql.schema import campaign_images, campaigns, images, specs

ENDED = frozenset({CampaignState.SUCCEEDED, CampaignState.CANCELLED})
ACTIVE = frozenset({CampaignState.RUNNING, CampaignState.WAITING})

CHUNK = 500
"""Attacks or images that one transaction changes at most, where a client chooses how many there are."""


def find_request(connection: sa.Connection, owner: str, request_id: str) -> CampaignSummary | None:
    """Return the campaign that ``owner`` created by ``request_id``, or None."""
    if not request_id:
        return None
    row = connection.execute(
        sa.select(campaigns).where(campaigns.c.owner == owner, campaigns.c.request_id == request_id, EXISTS)
    ).one_or_none()
    return None if row is None else summary_of(row)


def stage(
    connection: sa.Connection, campaign_id: str, owner: str, head: bytes, spec: bytes, attacks_total: int
) -> None:
    """Store a campaign that readers do not see yet. Repeating it is harmless."""
    insert_or_keep(
        connection,
        campaigns,
        [
            {
                "id": campaign_id,
                "state": CampaignState.PENDING,
                "state_reason": "",
                "create_time": time.time(),
                "attacks_total": attacks_total,
                "last_event": 0,
                "owner": owner,
                "head": head,
            }
        ],
    )
    # By the database's clock, by which a sweep sees that it was abandoned.
    hidden = sa.update(campaigns).where(campaigns.c.id == campaign_id, campaigns.c.last_event == 0)
    connection.execute(hidden.values(delete_time=now_seconds(), stored_bytes=len(spec)))
    insert_or_keep(connection, specs, [{"campaign_id": campaign_id, "spec": spec}])


def add_images(connection: sa.Connection, campaign_id: str, digests: Sequence[str]) -> int:
    """Store that the campaign uses these images, at most CHUNK. Returns the bytes of those stored."""
    rows = [{"campaign_id": campaign_id, "image_digest": digest} for digest in digests]
    insert_or_keep(connection, campaign_images, rows)
    size = sa.select(sa.func.sum(images.c.height * images.c.width * 3)).where(images.c.digest.in_(digests))
    return int(connection.scalar(size) or 0)


def publish(
    connection: sa.Connection, campaign_id: str, request_id: str, image_bytes: int, limits: Limits
) -> tuple[CampaignSummary, bool]:
    """Make a staged campaign visible, unless its owner's ``request_id`` is known.

    Returns:
        The campaign of that request, and whether it is the staged one. Repeated after a lost answer, it
        returns the same again.

    Raises:
        sa.exc.IntegrityError: another transaction used ``request_id`` just now.
        QuotaExceededError: the owner would exceed one of ``limits``.
    """
    row = connection.execute(
        sa.select(campaigns).where(campaigns.c.id == campaign_id).with_for_update()
    ).one()
    if row.delete_time is None:
        return summary_of(row), True
    known = find_request(connection, row.owner, request_id)
    if known is not None:
        return known, False
    stored_bytes = row.stored_bytes + image_bytes
    quotas.admit(
        connection, row.owner, limits, campaign_id, attacks=row.attacks_total, stored_bytes=stored_bytes
    )
    connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(request_id=request_id or None, delete_time=None, stored_bytes=stored_bytes)
    )
    events.append_state(connection, campaign_id, CampaignState.PENDING)
    return get_summary(connection, campaign_id), True


def change_state(
    connection: sa.Connection,
    campaign_id: str,
    new: CampaignState,
    expected: Collection[CampaignState],
    reason: str,
    limits: Limits = NO_LIMITS,
) -> CampaignSummary:
    """Set the state if it is one of ``expected``; see Store.change_campaign_state for what it raises."""
    row = lock_campaign(connection, campaign_id)
    if row.state not in expected:
        raise ConflictError(f"campaign {campaign_id} is {row.state.value}")
    check_transition(row.state, new)
    quotas.admit(
        connection,
        row.owner,
        limits,
        campaign_id,
        attacks=row.attacks_total,
        stored_bytes=row.stored_bytes,
    )
    if row.state is CampaignState.CANCELLED:
        _check_cancel_has_ended(connection, campaign_id)
        attacks.reopen_some(connection, campaign_id, CHUNK)
    connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(state=new, state_reason=reason, end_time=time.time() if new in ENDED else None)
    )
    events.append_state(connection, campaign_id, new)
    return get_summary(connection, campaign_id)


def reopen_chunk(connection: sa.Connection, campaign_id: str, expected: Collection[CampaignState]) -> bool:
    """Make a chunk of a CANCELLED campaign's attacks pending again, before it is resumed.

    Returns:
        Whether there may be more. False where the campaign is not CANCELLED, or is not expected to be.

    Raises:
        CancelUnderWayError: some of its attacks still run.
    """
    row = lock_campaign(connection, campaign_id)
    if row.state is not CampaignState.CANCELLED or row.state not in expected:
        return False
    _check_cancel_has_ended(connection, campaign_id)
    return attacks.reopen_some(connection, campaign_id, CHUNK) == CHUNK


def finish(connection: sa.Connection, campaign_id: str) -> bool:
    """Make the campaign SUCCEEDED if no attack is unfinished, nor cancelled. Raises ConflictError."""
    row = lock_campaign(connection, campaign_id)
    if row.state not in ACTIVE:
        raise ConflictError(f"campaign {campaign_id} is {row.state.value}")
    if row.attacks_created < row.attacks_total:
        return False
    if attacks.any_in(connection, campaign_id, AttackState.PENDING, AttackState.RUNNING):
        return False
    # Only databases of version 0002 and before can hold cancelled attacks of a campaign that runs.
    if attacks.reopen_some(connection, campaign_id, CHUNK):
        return False
    change_state(connection, campaign_id, CampaignState.SUCCEEDED, ACTIVE, "")
    return True


def _check_cancel_has_ended(connection: sa.Connection, campaign_id: str) -> None:
    if attacks.any_in(connection, campaign_id, AttackState.RUNNING):
        raise CancelUnderWayError(campaign_id)
