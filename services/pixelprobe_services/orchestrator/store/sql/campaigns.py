"""Campaigns: creation with all their attacks, changes of state, progress."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from pixelprobe_services.common.errors import ConflictError, NotFoundError
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import (
    AttackState,
    CampaignState,
    Outcome,
    check_transition,
)
from pixelprobe_services.common.wire import spec_from_bytes, spec_to_bytes
from pixelprobe_services.orchestrator.store.base import CampaignProgress, CampaignRecord
from pixelprobe_services.orchestrator.store.limits import NO_LIMITS, Limits
from pixelprobe_services.orchestrator.store.sql import events, quotas
from pixelprobe_services.orchestrator.store.sql.attacks import LEDGER_COLUMNS, any_unfinished, ledger_of
from pixelprobe_services.orchestrator.store.sql.schema import attacks, campaigns, results

ENDED = (CampaignState.SUCCEEDED, CampaignState.CANCELLED)
_COLUMNS = [column for column in campaigns.c if column.name != "spec"]


@dataclass(frozen=True)
class CampaignRow:
    """A campaign without its spec, which may be large and never changes."""

    id: str
    request_id: str
    state: CampaignState
    state_reason: str
    create_time: datetime
    end_time: datetime | None
    owner: str

    def with_spec(self, spec: CampaignSpec) -> CampaignRecord:
        """The whole record."""
        return CampaignRecord(spec=spec, **vars(self))


def create(
    connection: sa.Connection,
    campaign_id: str,
    spec: CampaignSpec,
    request_id: str,
    owner: str,
    limits: Limits,
) -> tuple[CampaignRow, bool]:
    """Store a campaign under a fresh id with all its attacks, unless ``request_id`` is known.

    Done twice with the same id it stores one.

    Raises:
        sa.exc.IntegrityError: somebody used ``request_id`` just now.
        QuotaExceededError: it would be new, and ``owner`` has reached one of ``limits``.
    """
    known = campaigns.c.id == campaign_id
    if request_id:
        known |= campaigns.c.request_id == request_id
    row = connection.execute(sa.select(*_COLUMNS).where(known)).one_or_none()
    if row is not None:
        return _record(row), row.id == campaign_id
    quotas.admit(connection, owner, limits, campaign_id)
    connection.execute(
        sa.insert(campaigns).values(
            id=campaign_id,
            request_id=request_id or None,
            state=CampaignState.PENDING,
            state_reason="",
            create_time=time.time(),
            attacks_total=spec.attack_count,
            last_event=0,
            spec=spec_to_bytes(spec),
            owner=owner,
        )
    )
    connection.execute(_insert_attacks(campaign_id, spec.attack_count))
    events.append_state(connection, campaign_id, CampaignState.PENDING)
    return get(connection, campaign_id), True


def _insert_attacks(campaign_id: str, count: int) -> sa.Insert:
    """All rows by one statement: a million of them would take minutes one by one."""
    numbers = sa.select(sa.literal(0).label("number")).cte("numbers", recursive=True)
    numbers = numbers.union_all(sa.select(numbers.c.number + 1).where(numbers.c.number + 1 < count))
    state = sa.literal(AttackState.PENDING, attacks.c.state.type)
    return sa.insert(attacks).from_select(
        ["campaign_id", "number", "state"], sa.select(sa.literal(campaign_id), numbers.c.number, state)
    )


def get(connection: sa.Connection, campaign_id: str) -> CampaignRow:
    """One campaign."""
    row = connection.execute(sa.select(*_COLUMNS).where(campaigns.c.id == campaign_id)).one_or_none()
    if row is None:
        raise _not_found(campaign_id)
    return _record(row)


def get_spec(connection: sa.Connection, campaign_id: str) -> CampaignSpec:
    """A campaign's spec."""
    spec = connection.scalar(sa.select(campaigns.c.spec).where(campaigns.c.id == campaign_id))
    if spec is None:
        raise _not_found(campaign_id)
    return spec_from_bytes(spec)


def newest(connection: sa.Connection, limit: int, after: str) -> list[CampaignRow]:
    """At most ``limit`` campaigns, newest first, those older than ``after`` if that is given."""
    statement = sa.select(*_COLUMNS).order_by(campaigns.c.ordinal.desc()).limit(limit)
    if after:
        ordinal = connection.scalar(sa.select(campaigns.c.ordinal).where(campaigns.c.id == after))
        if ordinal is None:
            raise _not_found(after)
        statement = statement.where(campaigns.c.ordinal < ordinal)
    return [_record(row) for row in connection.execute(statement)]


def count_by_state(connection: sa.Connection) -> dict[CampaignState, int]:
    """How many campaigns are in each state that any is in."""
    counts = sa.select(campaigns.c.state, sa.func.count()).group_by(campaigns.c.state)
    return {state: int(count) for state, count in connection.execute(counts)}


def ids_in(connection: sa.Connection, states: Collection[CampaignState]) -> list[str]:
    """Ids of all campaigns in one of ``states``, oldest first."""
    wanted = sa.select(campaigns.c.id).where(campaigns.c.state.in_(states))
    return list(connection.scalars(wanted.order_by(campaigns.c.ordinal)))


def change_state(
    connection: sa.Connection,
    campaign_id: str,
    new: CampaignState,
    expected: Collection[CampaignState],
    reason: str,
    limits: Limits = NO_LIMITS,
) -> CampaignRow:
    """Compare-and-set; back to RUNNING, cancelled attacks are pending again."""
    old, owner = _lock(connection, campaign_id, expected)
    check_transition(old, new)
    quotas.admit(connection, owner, limits, campaign_id)
    if new is CampaignState.RUNNING:
        _reopen_cancelled(connection, campaign_id)
    connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(state=new, state_reason=reason, end_time=time.time() if new in ENDED else None)
    )
    events.append_state(connection, campaign_id, new)
    return get(connection, campaign_id)


def finish(connection: sa.Connection, campaign_id: str) -> bool:
    """RUNNING becomes SUCCEEDED if no attack is unfinished."""
    running = {CampaignState.RUNNING, CampaignState.WAITING}
    _lock(connection, campaign_id, running)
    if any_unfinished(connection, campaign_id):
        return False
    change_state(connection, campaign_id, CampaignState.SUCCEEDED, running, "")
    return True


def progress(connection: sa.Connection, campaign_id: str) -> CampaignProgress:
    """Counts over the campaign's attacks."""
    total = connection.scalar(sa.select(campaigns.c.attacks_total).where(campaigns.c.id == campaign_id))
    if total is None:
        raise _not_found(campaign_id)
    sums = connection.execute(
        sa.select(
            sa.func.count(attacks.c.outcome).label("finished"),
            *(sa.func.sum(column).label(column.name) for column in LEDGER_COLUMNS),
        ).where(attacks.c.campaign_id == campaign_id)
    ).one()
    return CampaignProgress(total, sums.finished, ledger_of(sums))


def _lock(
    connection: sa.Connection, campaign_id: str, expected: Collection[CampaignState]
) -> tuple[CampaignState, str]:
    """Hold the campaign's row until the commit, if it is in one of ``expected``; else ConflictError.

    Returns its state and owner.
    """
    row = connection.execute(
        sa.select(campaigns.c.state, campaigns.c.owner).where(campaigns.c.id == campaign_id).with_for_update()
    ).one_or_none()
    if row is None:
        raise _not_found(campaign_id)
    if row.state not in expected:
        raise ConflictError(f"campaign {campaign_id} is {row.state.value}")
    return row.state, str(row.owner)


def _reopen_cancelled(connection: sa.Connection, campaign_id: str) -> None:
    reopened = connection.execute(
        sa.update(attacks)
        .where(attacks.c.campaign_id == campaign_id, attacks.c.outcome == Outcome.CANCELLED)
        .values(state=AttackState.PENDING, owner=None, outcome=None, skipped=0, repeated=0, end_time=None)
        .returning(attacks.c.number)
    )
    keys = [{"of_campaign": campaign_id, "of_number": number} for number in reopened.scalars()]
    if keys:
        connection.execute(
            sa.delete(results).where(
                results.c.campaign_id == sa.bindparam("of_campaign"),
                results.c.number == sa.bindparam("of_number"),
            ),
            keys,
        )


def _record(row: sa.Row[Any]) -> CampaignRow:
    return CampaignRow(
        id=row.id,
        request_id=row.request_id or "",
        state=row.state,
        state_reason=row.state_reason,
        create_time=datetime.fromtimestamp(row.create_time, UTC),
        end_time=None if row.end_time is None else datetime.fromtimestamp(row.end_time, UTC),
        owner=row.owner,
    )


def _not_found(campaign_id: str) -> NotFoundError:
    return NotFoundError(f"no campaign {campaign_id!r}", reason="CAMPAIGN_NOT_FOUND")
