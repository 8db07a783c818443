"""Owners' usage: open campaigns, their attacks, stored bytes, and queries reserved today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from pixelprobe_services.common.values import CampaignState
from pixelprobe_services.orchestrator.store.limits import NO_LIMITS, Limits, Usage, check_limits
from pixelprobe_services.orchestrator.store.sql.dialect import today, upsert
from pixelprobe_services.orchestrator.store.sql.events import EXISTS
from pixelprobe_services.orchestrator.store.sql.schema import campaigns, query_days

OPEN = (CampaignState.PENDING, CampaignState.RUNNING, CampaignState.WAITING, CampaignState.PAUSED)


def _add_today(dialect: str) -> sa.Executable:
    insert = upsert(dialect, query_days).values(
        owner=sa.bindparam("of_owner"), day=today(), queries=sa.bindparam("of_queries")
    )
    return insert.on_conflict_do_update(
        index_elements=["owner", "day"], set_={"queries": query_days.c.queries + insert.excluded.queries}
    ).returning(query_days.c.queries)


# Built once: one of these runs with every request that has an owner.
_ADD_TODAY = {dialect: _add_today(dialect) for dialect in ("sqlite", "postgresql")}


def count(
    connection: sa.Connection, queries: Mapping[str, int], most_a_day: Mapping[str, int]
) -> dict[str, int]:
    """Add queries, by owner, to today's. Returns the owners that had reached their limit before, with it.

    The transaction must be rolled back if there are any.
    """
    statement = _ADD_TODAY[connection.dialect.name]
    used_up: dict[str, int] = {}
    for owner in sorted(queries):  # in order, so that no two orchestrators wait for each other's rows
        values: dict[str, Any] = {"of_owner": owner, "of_queries": queries[owner]}
        total = connection.execute(statement, values).scalar_one()
        limit = most_a_day.get(owner)
        if limit is not None and total - queries[owner] >= limit:
            used_up[owner] = limit
    return used_up


def queries_today(connection: sa.Connection, owner: str) -> int:
    """Return the queries that ``owner`` has reserved today."""
    found = connection.scalar(
        sa.select(query_days.c.queries).where(query_days.c.owner == owner, query_days.c.day == today())
    )
    return int(found or 0)


def admit(
    connection: sa.Connection,
    owner: str,
    limits: Limits,
    campaign_id: str,
    *,
    attacks: int,
    stored_bytes: int,
) -> None:
    """Check that ``owner`` may have ``campaign_id`` open beside its others; holds until the commit.

    ``attacks`` and ``stored_bytes`` are those of ``campaign_id``.

    Raises:
        QuotaExceededError: a limit would be exceeded.
    """
    if limits == NO_LIMITS:
        return
    if connection.dialect.name == "postgresql":  # on SQLite there is one writer
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(owner))))
    is_open = campaigns.c.state.in_(OPEN)
    others = connection.execute(
        sa.select(
            sa.func.count(sa.case((is_open, 1))).label("open"),
            sa.func.coalesce(sa.func.sum(sa.case((is_open, campaigns.c.attacks_total), else_=0)), 0).label(
                "attacks"
            ),
            sa.func.coalesce(sa.func.sum(campaigns.c.stored_bytes), 0).label("stored_bytes"),
        ).where(campaigns.c.owner == owner, EXISTS, campaigns.c.id != campaign_id)
    ).one()
    usage = Usage(
        others_open=int(others.open),
        attacks=int(others.attacks) + attacks,
        stored_bytes=int(others.stored_bytes) + stored_bytes,
        queries_today=queries_today(connection, owner),
    )
    check_limits(owner, limits, usage)
