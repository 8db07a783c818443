"""Attacks: claimed under a lease, given back, finished, listed. Every change is compare-and-set."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import (
    AttackResult,
    AttackState,
    CampaignState,
    Fate,
    Ledger,
    MaskArray,
    Outcome,
)
from pixelprobe_services.orchestrator.store.base import AttackId, AttackRecord
from pixelprobe_services.orchestrator.store.errors import LeaseLostError
from pixelprobe_services.orchestrator.store.sql import events
from pixelprobe_services.orchestrator.store.sql.images import put_mask
from pixelprobe_services.orchestrator.store.sql.leases import is_alive
from pixelprobe_services.orchestrator.store.sql.payload import decode_mask, decode_result, encode_result
from pixelprobe_services.orchestrator.store.sql.schema import (
    attacks,
    campaigns,
    checkpoints,
    masks,
    results,
    scored,
)

CLAIMABLE = (CampaignState.PENDING, CampaignState.RUNNING, CampaignState.WAITING)
UNFINISHED = (AttackState.PENDING, AttackState.RUNNING)

LEDGER_COLUMNS = (
    attacks.c.reserved,
    attacks.c.skipped,
    attacks.c.repeated,
    attacks.c.answered,
    attacks.c.timed_out,
    attacks.c.rejected,
    attacks.c.retries,
)

Settled = Mapping[tuple[AttackId, Fate], int]
"""Queries whose fate is known, and not yet written."""


@dataclass(frozen=True)
class Lease:
    """The right to run an attack: its last owner, and how often it had been taken up by then."""

    attack: AttackId
    owner: str
    claims: int

    @property
    def holds(self) -> sa.ColumnElement[bool]:
        """True of the attack's row while nobody else took it and nothing ended it."""
        return sa.and_(
            is_attack(attacks, self.attack),
            attacks.c.state == AttackState.RUNNING,
            attacks.c.owner == self.owner,
            attacks.c.claims == self.claims,
        )


def is_attack(table: sa.Table, attack: AttackId) -> sa.ColumnElement[bool]:
    """True of the rows of that attack."""
    return sa.and_(table.c.campaign_id == attack.campaign_id, table.c.number == attack.number)


def claim(connection: sa.Connection, campaign_id: str, owner: str, held: Collection[int]) -> Lease | None:
    """Take the first attack that is pending or whose owner is dead.

    ``held`` are the numbers that ``owner`` knows it runs. Others that stand under its name were claimed
    when an answer got lost; they are taken when nothing else is left.
    """
    state = connection.scalar(sa.select(campaigns.c.state).where(campaigns.c.id == campaign_id))
    if state is None:
        raise NotFoundError(f"no campaign {campaign_id!r}", reason="CAMPAIGN_NOT_FOUND")
    if state not in CLAIMABLE:
        return None
    while found := _first_claimable(connection, campaign_id, owner, held):
        number, claims, seen = found
        taken = connection.execute(
            sa.update(attacks)
            .where(is_attack(attacks, AttackId(campaign_id, number)), attacks.c.claims == claims, seen)
            .values(state=AttackState.RUNNING, owner=owner, claims=claims + 1)
        )
        if taken.rowcount:
            return Lease(AttackId(campaign_id, number), owner, claims + 1)
    return None


def _first_claimable(
    connection: sa.Connection, campaign_id: str, owner: str, held: Collection[int]
) -> tuple[int, int, sa.ColumnElement[bool]] | None:
    """Its number, its claims, and the condition under which it was chosen."""
    of_campaign = sa.select(attacks.c.number, attacks.c.claims).where(attacks.c.campaign_id == campaign_id)
    in_order = of_campaign.order_by(attacks.c.number)
    is_pending = attacks.c.state == AttackState.PENDING
    is_running = attacks.c.state == AttackState.RUNNING
    orphaned = sa.and_(is_running, attacks.c.owner != owner, ~is_alive(attacks.c.owner))

    orphan = connection.execute(in_order.where(orphaned).limit(1)).one_or_none()
    pending = in_order.where(is_pending).limit(1).with_for_update(skip_locked=True)
    first = connection.execute(pending).one_or_none()
    while first is not None and first.number in held:  # its old run has not noticed yet that it was ended
        first = connection.execute(pending.where(attacks.c.number > first.number)).one_or_none()
    if orphan is not None and (first is None or orphan.number < first.number):
        return orphan.number, orphan.claims, orphaned
    if first is not None:
        return first.number, first.claims, is_pending
    for mine in connection.execute(in_order.where(is_running, attacks.c.owner == owner)):
        if mine.number not in held:
            return mine.number, mine.claims, is_running
    return None


def release(connection: sa.Connection, lease: Lease) -> None:
    """Pending again, for anybody."""
    released = connection.execute(
        sa.update(attacks).where(lease.holds).values(state=AttackState.PENDING, owner=None)
    )
    if not released.rowcount:
        raise LeaseLostError([lease.attack])


def require(connection: sa.Connection, lease: Lease) -> None:
    """Hold the attack's row until the commit, or raise LeaseLostError."""
    held = sa.select(attacks.c.number).where(lease.holds).with_for_update()
    if connection.execute(held).one_or_none() is None:
        raise LeaseLostError([lease.attack])


def settled_values(settled: Settled, attack: AttackId) -> dict[str, int]:
    """The counts of ``attack`` in ``settled``, by the names that :func:`settled_after` asks for."""
    fates = {fate: settled.get((attack, fate), 0) for fate in Fate}
    return {
        "queries": sum(fates.values()),
        "answered_now": fates[Fate.ANSWERED],
        "timed_out_now": fates[Fate.TIMED_OUT],
        "rejected_now": fates[Fate.REJECTED],
    }


def settled_after(count: Callable[[str], Any]) -> dict[str, Any]:
    """The new values of an attack's columns; ``count`` gives a number or a parameter by its name.

    ``settled`` never exceeds what was reserved.
    """
    total = attacks.c.settled + count("queries")
    return {
        "settled": sa.case((total > attacks.c.reserved, attacks.c.reserved), else_=total),
        "answered": attacks.c.answered + count("answered_now"),
        "timed_out": attacks.c.timed_out + count("timed_out_now"),
        "rejected": attacks.c.rejected + count("rejected_now"),
    }


def ledger_of(row: Any) -> Ledger:
    """A row of LEDGER_COLUMNS as a ledger."""
    return Ledger(
        sent=int(row.reserved) - int(row.rejected),
        skipped=int(row.skipped),
        repeated=int(row.repeated),
        answered=int(row.answered),
        timed_out=int(row.timed_out),
        rejected=int(row.rejected),
        retries=int(row.retries),
    )


def finish(
    connection: sa.Connection, lease: Lease, result: AttackResult, mask: MaskArray | None, settled: Settled
) -> datetime:
    """Store the result and what else became of its queries. Returns when."""
    attack, now = lease.attack, time.time()
    events.append_finished(connection, attack.campaign_id, [attack.number])
    finished = connection.execute(
        sa.update(attacks)
        .where(lease.holds)
        .values(
            state=AttackState.FINISHED,
            owner=None,
            outcome=result.outcome,
            skipped=result.ledger.skipped,
            repeated=result.ledger.repeated,
            **settled_after(settled_values(settled, attack).__getitem__),
            end_time=now,
        )
    )
    if not finished.rowcount:
        raise LeaseLostError([attack])
    connection.execute(
        sa.insert(results).values(
            campaign_id=attack.campaign_id,
            number=attack.number,
            mask_digest=None if mask is None else put_mask(connection, mask),
            payload=encode_result(result),
        )
    )
    if result.outcome is not Outcome.CANCELLED:
        for table in (checkpoints, scored):
            connection.execute(sa.delete(table).where(is_attack(table, attack)))
    return datetime.fromtimestamp(now, UTC)


def any_unfinished(connection: sa.Connection, campaign_id: str) -> bool:
    """Whether some attack is pending or running."""
    unfinished = sa.and_(attacks.c.campaign_id == campaign_id, attacks.c.state.in_(UNFINISHED))
    return bool(connection.scalar(sa.select(sa.exists().where(unfinished))))


def cancel_all(connection: sa.Connection, campaign_id: str) -> int:
    """Finish all unfinished attacks as CANCELLED. Returns how many there were."""
    locked = sa.select(campaigns.c.id).where(campaigns.c.id == campaign_id).with_for_update()
    if connection.scalar(locked) is None:
        raise NotFoundError(f"no campaign {campaign_id!r}", reason="CAMPAIGN_NOT_FOUND")
    ended = connection.execute(
        sa.update(attacks)
        .where(attacks.c.campaign_id == campaign_id, attacks.c.state.in_(UNFINISHED))
        .values(state=AttackState.FINISHED, owner=None, outcome=Outcome.CANCELLED, end_time=time.time())
        .returning(attacks.c.number, *LEDGER_COLUMNS)
    )
    ledgers = dict(sorted((row.number, ledger_of(row)) for row in ended))
    if not ledgers:
        return 0
    connection.execute(
        sa.insert(results),
        [
            {
                "campaign_id": campaign_id,
                "number": number,
                "payload": encode_result(AttackResult(Outcome.CANCELLED, ledger=ledger)),
            }
            for number, ledger in ledgers.items()
        ],
    )
    events.append_finished(connection, campaign_id, list(ledgers))
    return len(ledgers)


def get(connection: sa.Connection, attack: AttackId, spec: CampaignSpec) -> AttackRecord:
    """One attack."""
    row = connection.execute(_RECORDS.where(is_attack(attacks, attack))).one_or_none()
    if row is None:
        raise NotFoundError(f"campaign {attack.campaign_id} has no attack {attack.number}")
    return _record(row, spec)


def page(
    connection: sa.Connection,
    campaign_id: str,
    spec: CampaignSpec,
    *,
    start: int,
    limit: int,
    finished_only: bool,
) -> list[AttackRecord]:
    """At most ``limit`` attacks from number ``start``, in order."""
    wanted = _RECORDS.where(attacks.c.campaign_id == campaign_id, attacks.c.number >= start)
    if finished_only:
        wanted = wanted.where(attacks.c.state == AttackState.FINISHED)
    rows = connection.execute(wanted.order_by(attacks.c.number).limit(limit))
    return [_record(row, spec) for row in rows]


_RECORDS = (
    sa.select(
        attacks.c.campaign_id,
        attacks.c.number,
        attacks.c.state,
        attacks.c.outcome,
        attacks.c.end_time,
        results.c.payload,
        masks.c.height,
        masks.c.width,
        masks.c.bits,
    )
    .select_from(attacks)
    .outerjoin(results)
    .outerjoin(masks, masks.c.digest == results.c.mask_digest)
)


def _record(row: Any, spec: CampaignSpec) -> AttackRecord:
    planned = spec.attack(row.number)
    return AttackRecord(
        id=AttackId(row.campaign_id, row.number),
        image_index=planned.image_index,
        key=planned.key,
        state=row.state,
        result=None if row.payload is None else decode_result(row.payload, row.outcome),
        mask=None if row.bits is None else decode_mask(row.bits, row.height, row.width),
        end_time=None if row.end_time is None else datetime.fromtimestamp(row.end_time, UTC),
    )
