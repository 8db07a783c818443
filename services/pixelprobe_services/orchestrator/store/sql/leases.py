"""Who is at work: lease holders, alive until a moment of the database's own clock.

An attack's lease is its owner's. So one row a holder is renewed, however many attacks it runs.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from pixelprobe_services.orchestrator.store.sql.schema import lease_holders


class now_seconds(FunctionElement[float]):  # noqa: N801 - reads like the SQL function it is
    """Seconds since 1970 by the database's clock, at the moment of the statement."""

    inherit_cache = True
    type = sa.Double()


@compiles(now_seconds, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_seconds, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


def renew(connection: sa.Connection, holder: str, seconds: float | None) -> None:
    """Make ``holder`` alive for so long from now; None: until it leaves."""
    times = {"seen": now_seconds(), "expires": sa.null() if seconds is None else now_seconds() + seconds}
    renewed = connection.execute(sa.update(lease_holders).where(lease_holders.c.id == holder).values(times))
    if not renewed.rowcount:
        connection.execute(sa.insert(lease_holders).values(id=holder, **times))


def leave(connection: sa.Connection, holder: str) -> None:
    """What ``holder`` still runs may be claimed by others at once."""
    connection.execute(sa.delete(lease_holders).where(lease_holders.c.id == holder))


def leave_all(connection: sa.Connection) -> None:
    """For a database that is known to have no other user: whoever is listed is dead."""
    connection.execute(sa.delete(lease_holders))


def forget_the_dead(connection: sa.Connection) -> None:
    """Drop the rows of holders whose lease has ended; it changes nothing for their attacks."""
    connection.execute(sa.delete(lease_holders).where(lease_holders.c.expires <= now_seconds()))


def is_alive(owner: sa.ColumnElement[str | None]) -> sa.ColumnElement[bool]:
    """Whether ``owner`` holds a lease now."""
    return sa.exists().where(
        lease_holders.c.id == owner,
        sa.or_(lease_holders.c.expires.is_(None), lease_holders.c.expires > now_seconds()),
    )
