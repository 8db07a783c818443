"""Attacks: claimed under a lease, checkpointed, released, finished, cancelled; each by compare-and-set.

An attack gets its row when it is first claimed; those before it are numbered below the campaign's
``attacks_created``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from pixelprobe_services.common.errors import ConflictError
from pixelprobe_services.common.values import (
    AttackResult,
    AttackState,
    CampaignState,
    Fate,
    Ledger,
    MaskArray,
    Outcome,
)
from pixelprobe_services.orchestrator.store.base import AttackId, Checkpoint
from pixelprobe_services.orchestrator.store.errors import LeaseLostError
from pixelprobe_services.orchestrator.store.sql import events
from pixelprobe_services.orchestrator.store.sql.dialect import insert_or_replace
from pixelprobe_services.orchestrator.store.sql.events import lock_campaign
from pixelprobe_services.orchestrator.store.sql.images import put_mask
from pixelprobe_services.orchestrator.store.sql.leases import is_alive
from pixelprobe_services.orchestrator.store.sql.payload import encode_mask, encode_result
from pixelprobe_services.orchestrator.store.sql.schema import (
    attacks,
    campaigns,
    checkpoints,
    results,
    scored,
)

CLAIMABLE = (CampaignState.PENDING, CampaignState.RUNNING, CampaignState.WAITING)

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
    """The right to run an attack: its holder, and how often the attack had been claimed by then."""

    attack: AttackId
    owner: str
    claims: int

    @property
    def holds(self) -> sa.ColumnElement[bool]:
        """True of the attack's row until another holder claims it or something ends it."""
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
    """Take the first attack that is pending or whose holder's lease has ended.

    ``held`` are the numbers that ``owner`` knows it runs. Others under its name were claimed by a call whose
    answer was lost; they are taken when nothing else is left.

    Raises:
        NotFoundError: no such campaign.
    """
    campaign = lock_campaign(connection, campaign_id)
    if campaign.state not in CLAIMABLE:
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
    if campaign.attacks_created < campaign.attacks_total:
        return _claim_new(connection, campaign_id, owner, campaign.attacks_created)
    return _claim_lost(connection, campaign_id, owner, held)


def _first_claimable(
    connection: sa.Connection, campaign_id: str, owner: str, held: Collection[int]
) -> tuple[int, int, sa.ColumnElement[bool]] | None:
    """Return an attack's number, its claims, and the condition under which it was chosen."""
    of_campaign = sa.select(attacks.c.number, attacks.c.claims).where(attacks.c.campaign_id == campaign_id)
    in_order = of_campaign.order_by(attacks.c.number)
    is_pending = attacks.c.state == AttackState.PENDING
    is_running = attacks.c.state == AttackState.RUNNING
    orphaned = sa.and_(is_running, attacks.c.owner != owner, ~is_alive(attacks.c.owner))

    orphan = connection.execute(in_order.where(orphaned).limit(1)).one_or_none()
    pending = in_order.where(is_pending).limit(1)
    first = connection.execute(pending).one_or_none()
    while first is not None and first.number in held:  # its previous run here has not yet seen that it ended
        first = connection.execute(pending.where(attacks.c.number > first.number)).one_or_none()
    if orphan is not None and (first is None or orphan.number < first.number):
        return orphan.number, orphan.claims, orphaned
    if first is not None:
        return first.number, first.claims, is_pending
    return None


def _claim_new(connection: sa.Connection, campaign_id: str, owner: str, number: int) -> Lease:
    connection.execute(
        sa.insert(attacks).values(
            campaign_id=campaign_id, number=number, state=AttackState.RUNNING, owner=owner, claims=1
        )
    )
    connection.execute(
        sa.update(campaigns).where(campaigns.c.id == campaign_id).values(attacks_created=number + 1)
    )
    return Lease(AttackId(campaign_id, number), owner, 1)


def _claim_lost(
    connection: sa.Connection, campaign_id: str, owner: str, held: Collection[int]
) -> Lease | None:
    """Take an attack that runs under ``owner``'s name without its knowledge."""
    mine = sa.select(attacks.c.number).where(
        attacks.c.campaign_id == campaign_id,
        attacks.c.state == AttackState.RUNNING,
        attacks.c.owner == owner,
    )
    for number in connection.scalars(mine.order_by(attacks.c.number)):
        if number not in held:
            claims = connection.execute(
                sa.update(attacks)
                .where(is_attack(attacks, AttackId(campaign_id, number)))
                .values(claims=attacks.c.claims + 1)
                .returning(attacks.c.claims)
            ).scalar_one()
            return Lease(AttackId(campaign_id, number), owner, claims)
    return None


def release(connection: sa.Connection, lease: Lease) -> None:
    """Make the attack pending again. Raises LeaseLostError."""
    released = connection.execute(
        sa.update(attacks).where(lease.holds).values(state=AttackState.PENDING, owner=None)
    )
    if not released.rowcount:
        raise LeaseLostError([lease.attack])


def require(connection: sa.Connection, lease: Lease) -> None:
    """Lock the attack's row until the commit. Raises LeaseLostError."""
    held = sa.select(attacks.c.number).where(lease.holds).with_for_update()
    if connection.execute(held).one_or_none() is None:
        raise LeaseLostError([lease.attack])


def save_checkpoint(connection: sa.Connection, lease: Lease, checkpoint: Checkpoint) -> None:
    """Replace the state and append what was scored since. Raises LeaseLostError."""
    require(connection, lease)
    key = {"campaign_id": lease.attack.campaign_id, "number": lease.attack.number}
    insert_or_replace(connection, checkpoints, **key, state=checkpoint.state)
    if checkpoint.scored:
        connection.execute(sa.insert(scored), [{**key, "chunk": chunk} for chunk in checkpoint.scored])


def load_checkpoint(connection: sa.Connection, attack: AttackId) -> Checkpoint | None:
    """Return the last state with everything scored, or None."""
    state = connection.scalar(sa.select(checkpoints.c.state).where(is_attack(checkpoints, attack)))
    if state is None:
        return None
    chunks = sa.select(scored.c.chunk).where(is_attack(scored, attack)).order_by(scored.c.place)
    return Checkpoint(state, tuple(connection.scalars(chunks)))


def drop_checkpoint(connection: sa.Connection, lease: Lease) -> None:
    """Remove the checkpoint. Raises LeaseLostError."""
    require(connection, lease)
    _delete_checkpoint(connection, lease.attack)


def _delete_checkpoint(connection: sa.Connection, attack: AttackId) -> None:
    for table in (checkpoints, scored):
        connection.execute(sa.delete(table).where(is_attack(table, attack)))


def settled_values(settled: Settled, attack: AttackId) -> dict[str, int]:
    """Return the counts of ``attack`` in ``settled``, by the names that :func:`settled_after` asks for."""
    fates = {fate: settled.get((attack, fate), 0) for fate in Fate}
    return {
        "queries": sum(fates.values()),
        "answered_now": fates[Fate.ANSWERED],
        "timed_out_now": fates[Fate.TIMED_OUT],
        "rejected_now": fates[Fate.REJECTED],
    }


def settled_after(count: Callable[[str], Any]) -> dict[str, Any]:
    """Return the new values of an attack's columns; ``count`` gives a number or a parameter by its name.

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
    """Return a row of LEDGER_COLUMNS, or of their sums, as a ledger; zeros where there is no row."""
    counts = {column.name: int(getattr(row, column.name, None) or 0) for column in LEDGER_COLUMNS}
    reserved = counts.pop("reserved")
    return Ledger(sent=reserved - counts["rejected"], **counts)


def finish(
    connection: sa.Connection, lease: Lease, result: AttackResult, mask: MaskArray | None, settled: Settled
) -> datetime | None:
    """Store the result and what else became of the attack's queries.

    Returns:
        The end time (UTC); None where a CANCELLED result released the attack, as its campaign is not, or no
        longer, cancelled.

    Raises:
        LeaseLostError: the attack is not running, or runs elsewhere.
    """
    attack, now = lease.attack, time.time()
    campaign = lock_campaign(connection, attack.campaign_id)
    counts = settled_after(settled_values(settled, attack).__getitem__)
    if result.outcome is Outcome.CANCELLED and campaign.state is not CampaignState.CANCELLED:
        _end_run(connection, lease, state=AttackState.PENDING, **counts)
        return None
    _end_run(
        connection,
        lease,
        state=AttackState.FINISHED,
        outcome=result.outcome,
        skipped=result.ledger.skipped,
        repeated=result.ledger.repeated,
        end_time=now,
        **counts,
    )
    payload = encode_result(result)
    connection.execute(
        sa.insert(results).values(
            campaign_id=attack.campaign_id,
            number=attack.number,
            mask_digest=None if mask is None else put_mask(connection, mask),
            payload=payload,
        )
    )
    stored_bytes = len(payload) + (0 if mask is None else len(encode_mask(mask)))
    events.append_finished(connection, attack.campaign_id, [attack.number], stored_bytes)
    if result.outcome is not Outcome.CANCELLED:
        _delete_checkpoint(connection, attack)
    return datetime.fromtimestamp(now, UTC)


def _end_run(connection: sa.Connection, lease: Lease, **values: Any) -> None:
    ended = connection.execute(sa.update(attacks).where(lease.holds).values(owner=None, **values))
    if not ended.rowcount:
        raise LeaseLostError([lease.attack])


def cancel_some(connection: sa.Connection, campaign_id: str, most: int) -> int:
    """Finish up to ``most`` running attacks of a CANCELLED campaign as CANCELLED. Returns how many.

    Raises:
        ConflictError: the campaign is not CANCELLED.
        NotFoundError: no such campaign.
    """
    campaign = lock_campaign(connection, campaign_id)
    if campaign.state is not CampaignState.CANCELLED:
        raise ConflictError(f"campaign {campaign_id} is {campaign.state.value}")
    some = _numbers(campaign_id, attacks.c.state == AttackState.RUNNING, most)
    ended = connection.execute(
        sa.update(attacks)
        .where(attacks.c.campaign_id == campaign_id, attacks.c.number.in_(some))
        .where(attacks.c.state == AttackState.RUNNING)
        .values(state=AttackState.FINISHED, owner=None, outcome=Outcome.CANCELLED, end_time=time.time())
        .returning(attacks.c.number, *LEDGER_COLUMNS)
    )
    payloads = {
        row.number: encode_result(AttackResult(Outcome.CANCELLED, ledger=ledger_of(row))) for row in ended
    }
    if payloads:
        rows = [
            {"campaign_id": campaign_id, "number": number, "payload": payloads[number]}
            for number in sorted(payloads)
        ]
        connection.execute(sa.insert(results), rows)
        stored_bytes = sum(len(payload) for payload in payloads.values())
        events.append_finished(connection, campaign_id, sorted(payloads), stored_bytes)
    return len(payloads)


def reopen_some(connection: sa.Connection, campaign_id: str, most: int) -> int:
    """Make up to ``most`` attacks that finished as CANCELLED pending again. Returns how many.

    The caller has locked the campaign's row.
    """
    some = _numbers(campaign_id, attacks.c.outcome == Outcome.CANCELLED, most)
    reopened = connection.scalars(
        sa.update(attacks)
        .where(attacks.c.campaign_id == campaign_id, attacks.c.number.in_(some))
        .values(state=AttackState.PENDING, owner=None, outcome=None, skipped=0, repeated=0, end_time=None)
        .returning(attacks.c.number)
    ).all()
    if reopened:
        connection.execute(
            sa.delete(results).where(
                results.c.campaign_id == campaign_id, results.c.number.in_(list(reopened))
            )
        )
    return len(reopened)


def any_in(connection: sa.Connection, campaign_id: str, *states: AttackState) -> bool:
    """Return whether some claimed attack of the campaign is in one of ``states``."""
    found = sa.and_(attacks.c.campaign_id == campaign_id, attacks.c.state.in_(states))
    return bool(connection.scalar(sa.select(sa.exists().where(found))))


def _numbers(campaign_id: str, condition: sa.ColumnElement[bool], most: int) -> sa.ScalarSelect[int]:
    return (
        sa.select(attacks.c.number)
        .where(attacks.c.campaign_id == campaign_id, condition)
        .order_by(attacks.c.number)
        .limit(most)
        .scalar_subquery()
    )
