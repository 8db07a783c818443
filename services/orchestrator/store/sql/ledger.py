"""The query ledger: an attack's ``reserved`` only ever grows, and grows before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from services.common.errors import NotFoundError
from services.orchestrator.store.base import AttackId
from services.orchestrator.store.errors import LeaseLostError
from services.orchestrator.store.schema import attacks
from services.orchestrator.store.sql.attacks import Lease, is_attack, settled_after


def reserve(
    connection: sa.Connection, wanted: Sequence[tuple[Lease, int]], settled: Mapping[AttackId, int]
) -> None:
    """Count queries that are about to be sent, and note which earlier ones are known to have been.

    Raises:
        LeaseLostError: some leases are lost; nothing is counted.
    """
    settle(connection, settled)
    # Always in the same order, so that no two orchestrators wait for each other's rows.
    ordered = sorted(wanted, key=lambda one: (one[0].attack.campaign_id, one[0].attack.number))
    lost = [lease.attack for lease, queries in ordered if not _reserve(connection, lease, queries)]
    if lost:
        raise LeaseLostError(lost)


def _reserve(connection: sa.Connection, lease: Lease, queries: int) -> bool:
    reserved = connection.execute(
        sa.update(attacks).where(lease.holds).values(reserved=attacks.c.reserved + queries)
    )
    return reserved.rowcount > 0


def settle(connection: sa.Connection, settled: Mapping[AttackId, int]) -> None:
    """Note that so many reserved queries were sent; never more than were reserved."""
    for attack in sorted(settled, key=lambda one: (one.campaign_id, one.number)):
        connection.execute(
            sa.update(attacks)
            .where(is_attack(attacks, attack))
            .values(settled=settled_after(settled[attack]))
        )


def sent(connection: sa.Connection, attack: AttackId) -> int:
    """Every query that was reserved, whatever became of it."""
    reserved = connection.scalar(sa.select(attacks.c.reserved).where(is_attack(attacks, attack)))
    if reserved is None:
        raise NotFoundError(f"campaign {attack.campaign_id} has no attack {attack.number}")
    return int(reserved)
