"""Orchestrators' leases, timed by the database's clock.

An attack's lease is its holder's, so that one row per orchestrator is renewed, however many attacks it runs.
"""

from __future__ import annotations

import sqlalchemy as sa

from pixelprobe_services.orchestrator.store.sql.dialect import now_seconds
from pixelprobe_services.orchestrator.store.sql.schema import lease_holders


def renew(connection: sa.Connection, holder: str, seconds: float | None) -> None:
    """Let the lease of ``holder`` end in so many seconds from now; None: when it is given up."""
    times = {"seen": now_seconds(), "expires": sa.null() if seconds is None else now_seconds() + seconds}
    renewed = connection.execute(sa.update(lease_holders).where(lease_holders.c.id == holder).values(times))
    if not renewed.rowcount:
        connection.execute(sa.insert(lease_holders).values(id=holder, **times))


def give_up(connection: sa.Connection, holder: str) -> None:
    """End the lease of ``holder``: others may claim what it still runs at once."""
    connection.execute(sa.delete(lease_holders).where(lease_holders.c.id == holder))


def end_all(connection: sa.Connection) -> None:
    """End all leases, in a database that is known to have no other user."""
    connection.execute(sa.delete(lease_holders))


def delete_ended(connection: sa.Connection) -> None:
    """Delete the rows of leases that have ended; for attacks this changes nothing."""
    connection.execute(sa.delete(lease_holders).where(lease_holders.c.expires <= now_seconds()))


def is_alive(owner: sa.ColumnElement[str | None]) -> sa.ColumnElement[bool]:
    """Return the condition that ``owner`` holds a lease now."""
    return sa.exists().where(
        lease_holders.c.id == owner,
        sa.or_(lease_holders.c.expires.is_(None), lease_holders.c.expires > now_seconds()),
    )
