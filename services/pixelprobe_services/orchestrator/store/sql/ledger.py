"""The query ledger: an attack's ``reserved`` never shrinks, and grows before anything is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.values import AttackState, Ledger
from pixelprobe_services.orchestrator.store.base import AttackId
from pixelprobe_services.orchestrator.store.errors import LeaseLostError
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.store.sql import quotas
from pixelprobe_services.orchestrator.store.sql.attacks import (
    LEDGER_COLUMNS,
    Lease,
    Settled,
    is_attack,
    ledger_of,
    settled_after,
    settled_values,
)
from pixelprobe_services.orchestrator.store.sql.events import read_campaign
from pixelprobe_services.orchestrator.store.sql.schema import attacks

# Built once: these two run with every request, and building a statement costs more than running it.
_OF_ATTACK = sa.and_(
    attacks.c.campaign_id == sa.bindparam("of_campaign"), attacks.c.number == sa.bindparam("of_number")
)
_RESERVE = (
    sa.update(attacks)
    .where(
        _OF_ATTACK,
        attacks.c.state == AttackState.RUNNING,
        attacks.c.owner == sa.bindparam("held_by"),
        attacks.c.claims == sa.bindparam("held_claims"),
    )
    .values(
        reserved=attacks.c.reserved + sa.bindparam("queries"),
        retries=attacks.c.retries + sa.bindparam("again"),
    )
)
_SETTLE = sa.update(attacks).where(_OF_ATTACK).values(settled_after(sa.bindparam))


@dataclass(frozen=True)
class Wanted:
    """Queries of one attack, whose campaign belongs to ``owner``; ``again`` of them were sent before."""

    lease: Lease
    queries: int
    owner: str
    again: int = 0


def reserve(
    connection: sa.Connection,
    wanted: Sequence[Wanted],
    settled: Settled,
    most_a_day: Mapping[str, int],
) -> None:
    """Count queries that are about to be sent, and record what became of earlier ones.

    Raises:
        LeaseLostError: some leases are lost; nothing is counted.
        DayUsedUpError: an owner had reached its limit of ``most_a_day``; nothing is counted.
    """
    settle(connection, settled)
    # Always in the same order, so that no two orchestrators wait for each other's rows.
    ordered = sorted(wanted, key=lambda one: (one.lease.attack.campaign_id, one.lease.attack.number))
    rows = [
        {**_key(one.lease.attack), **_lease(one.lease), "queries": one.queries, "again": one.again}
        for one in ordered
    ]
    if rows and connection.execute(_RESERVE, rows).rowcount != len(rows):
        raise LeaseLostError(one.lease.attack for one in ordered if not _is_held(connection, one.lease))
    _count_day(connection, ordered, most_a_day)


def _count_day(connection: sa.Connection, wanted: Sequence[Wanted], most_a_day: Mapping[str, int]) -> None:
    queries: Counter[str] = Counter()
    for one in wanted:
        if one.owner:
            queries[one.owner] += one.queries
    for owner, limit in quotas.count(connection, queries, most_a_day).items():
        raise DayUsedUpError(owner, limit, [one.lease.attack for one in wanted if one.owner == owner])


def settle(connection: sa.Connection, settled: Settled) -> None:
    """Record what became of reserved queries; never more are settled than were reserved."""
    ordered = sorted({attack for attack, _ in settled}, key=lambda one: (one.campaign_id, one.number))
    if ordered:
        connection.execute(_SETTLE, [{**_key(one), **settled_values(settled, one)} for one in ordered])


def _key(attack: AttackId) -> dict[str, Any]:
    return {"of_campaign": attack.campaign_id, "of_number": attack.number}


def _lease(lease: Lease) -> dict[str, Any]:
    return {"held_by": lease.owner, "held_claims": lease.claims}


def _is_held(connection: sa.Connection, lease: Lease) -> bool:
    return connection.scalar(sa.select(attacks.c.number).where(lease.holds)) is not None


def of_attack(connection: sa.Connection, attack: AttackId) -> Ledger:
    """Return the counts of one attack; zeros where it was never claimed. Raises NotFoundError."""
    row = connection.execute(sa.select(*LEDGER_COLUMNS).where(is_attack(attacks, attack))).one_or_none()
    if row is None:
        total = read_campaign(connection, attack.campaign_id).attacks_total
        if not 0 <= attack.number < total:
            raise NotFoundError(f"campaign {attack.campaign_id} has no attack {attack.number}")
    return ledger_of(row)
