"""Lasting events, numbered from 1 without gaps, and the lock on a campaign's row that numbers them.

A campaign's row holds the number of its last event. Work that changes a campaign, or appends an event, locks
that row first and attacks' rows after it, so that no two transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.values import CampaignState
from pixelprobe_services.orchestrator.store.base import Event
from pixelprobe_services.orchestrator.store.sql.schema import campaigns, events

EXISTS = campaigns.c.delete_time.is_(None)
"""True of campaigns that readers see."""

_SUMMARY = [column for column in campaigns.c if column.name != "head"]


def not_found(campaign_id: str) -> NotFoundError:
    """Return the error for a campaign that does not exist."""
    return NotFoundError(f"no campaign {campaign_id!r}", reason="CAMPAIGN_NOT_FOUND")


def lock_campaign(connection: sa.Connection, campaign_id: str) -> Any:
    """Lock a campaign's row until the commit, and return it without its head. Raises NotFoundError.

    Rows that refer to the campaign may be inserted meanwhile (FOR NO KEY UPDATE), so that work which does not
    lock it neither waits nor makes a deadlock.
    """
    wanted = sa.select(*_SUMMARY).where(campaigns.c.id == campaign_id, EXISTS)
    row = connection.execute(wanted.with_for_update(key_share=True)).one_or_none()
    if row is None:
        raise not_found(campaign_id)
    return row


def read_campaign(connection: sa.Connection, campaign_id: str) -> Any:
    """Return a campaign's row without its head. Raises NotFoundError."""
    row = connection.execute(sa.select(*_SUMMARY).where(campaigns.c.id == campaign_id, EXISTS)).one_or_none()
    if row is None:
        raise not_found(campaign_id)
    return row


def append_state(connection: sa.Connection, campaign_id: str, state: CampaignState) -> None:
    """Append the event that the campaign has a new state."""
    sequence = _advance(connection, campaign_id, 1, 0)
    connection.execute(
        sa.insert(events).values(campaign_id=campaign_id, sequence=sequence, campaign_state=state)
    )


def append_finished(
    connection: sa.Connection, campaign_id: str, numbers: Sequence[int], stored_bytes: int
) -> None:
    """Append the events that these attacks have finished, and count the bytes of their results."""
    if not numbers:
        return
    first = _advance(connection, campaign_id, len(numbers), stored_bytes) - len(numbers) + 1
    connection.execute(
        sa.insert(events),
        [
            {"campaign_id": campaign_id, "sequence": first + place, "attack_number": number}
            for place, number in enumerate(numbers)
        ],
    )


def after(connection: sa.Connection, campaign_id: str, sequence: int, limit: int) -> list[Event]:
    """Return at most ``limit`` events with a higher sequence, in order. Raises NotFoundError."""
    read_campaign(connection, campaign_id)
    rows = connection.execute(
        sa.select(events)
        .where(events.c.campaign_id == campaign_id, events.c.sequence > sequence)
        .order_by(events.c.sequence)
        .limit(limit)
    )
    return [Event(row.sequence, row.campaign_state, row.attack_number) for row in rows]


def _advance(connection: sa.Connection, campaign_id: str, count: int, stored_bytes: int) -> int:
    last = connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(
            last_event=campaigns.c.last_event + count,
            stored_bytes=campaigns.c.stored_bytes + stored_bytes,
        )
        .returning(campaigns.c.last_event)
    ).scalar_one_or_none()
    if last is None:
        raise not_found(campaign_id)
    return int(last)
