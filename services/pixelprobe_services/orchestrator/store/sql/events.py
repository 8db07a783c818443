"""Lasting events, numbered from 1 without gaps: the campaign's row holds the last number, and its lock.

Whoever appends holds that row until the commit. Work that touches attacks as well appends first, so that no
two pieces of work wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.values import CampaignState
from pixelprobe_services.orchestrator.store.base import Event
from pixelprobe_services.orchestrator.store.sql.schema import campaigns, events


def append_state(connection: sa.Connection, campaign_id: str, state: CampaignState) -> None:
    """The campaign has a new state."""
    sequence = _advance(connection, campaign_id, 1)
    connection.execute(
        sa.insert(events).values(campaign_id=campaign_id, sequence=sequence, campaign_state=state)
    )


def append_finished(connection: sa.Connection, campaign_id: str, numbers: Sequence[int]) -> None:
    """These attacks have finished."""
    if not numbers:
        return
    first = _advance(connection, campaign_id, len(numbers)) - len(numbers) + 1
    connection.execute(
        sa.insert(events),
        [
            {"campaign_id": campaign_id, "sequence": first + place, "attack_number": number}
            for place, number in enumerate(numbers)
        ],
    )


def after(connection: sa.Connection, campaign_id: str, sequence: int, limit: int) -> list[Event]:
    """At most ``limit`` events with a higher sequence, in order."""
    rows = connection.execute(
        sa.select(events)
        .where(events.c.campaign_id == campaign_id, events.c.sequence > sequence)
        .order_by(events.c.sequence)
        .limit(limit)
    )
    return [Event(row.sequence, row.campaign_state, row.attack_number) for row in rows]


def _advance(connection: sa.Connection, campaign_id: str, count: int) -> int:
    last = connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(last_event=campaigns.c.last_event + count)
        .returning(campaigns.c.last_event)
    ).scalar_one_or_none()
    if last is None:
        raise NotFoundError(f"no campaign {campaign_id!r}", reason="CAMPAIGN_NOT_FOUND")
    return int(last)
