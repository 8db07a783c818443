"""Where attacks can go on from: the last state, and what was scored so far, piece by piece."""

from __future__ import annotations

import sqlalchemy as sa

from pixelprobe_services.orchestrator.store.base import AttackId, Checkpoint
from pixelprobe_services.orchestrator.store.sql.attacks import Lease, is_attack, require
from pixelprobe_services.orchestrator.store.sql.schema import checkpoints, scored
from pixelprobe_services.orchestrator.store.sql.statements import insert_or_replace


def save(connection: sa.Connection, lease: Lease, checkpoint: Checkpoint) -> None:
    """Replace the state and append what was scored since. Raises LeaseLostError."""
    require(connection, lease)
    key = {"campaign_id": lease.attack.campaign_id, "number": lease.attack.number}
    insert_or_replace(connection, checkpoints, **key, state=checkpoint.state)
    if checkpoint.scored:
        connection.execute(sa.insert(scored), [{**key, "chunk": chunk} for chunk in checkpoint.scored])


def load(connection: sa.Connection, attack: AttackId) -> Checkpoint | None:
    """The last state with all that was scored, or None."""
    state = connection.scalar(sa.select(checkpoints.c.state).where(is_attack(checkpoints, attack)))
    if state is None:
        return None
    chunks = sa.select(scored.c.chunk).where(is_attack(scored, attack)).order_by(scored.c.place)
    return Checkpoint(state, tuple(connection.scalars(chunks)))


def drop(connection: sa.Connection, lease: Lease) -> None:
    """Forget it. Raises LeaseLostError."""
    require(connection, lease)
    for table in (checkpoints, scored):
        connection.execute(sa.delete(table).where(is_attack(table, lease.attack)))
