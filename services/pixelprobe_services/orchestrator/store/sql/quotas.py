"""Owners' quotas: how many campaigns are open, and how many queries were reserved today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pixelprobe_services.common.values import CampaignState
from pixelprobe_services.orchestrator.store import limits as quotas
from pixelprobe_services.orchestrator.store.limits import NO_LIMITS, Limits, check_limits
from pixelprobe_services.orchestrator.store.sql.schema import campaigns, query_days

OPEN = (CampaignState.PENDING, CampaignState.RUNNING, CampaignState.WAITING, CampaignState.PAUSED)


def _count(insert: sqlite.Insert | postgresql.Insert) -> sa.Executable:
    values: dict[str, Any] = {name: sa.bindparam(f"of_{name}") for name in ("owner", "day", "queries")}
    added = insert.values(**values)
    return added.on_conflict_do_update(
        index_elements=["owner", "day"], set_={"queries": query_days.c.queries + added.excluded.queries}
    ).returning(query_days.c.queries)


# Built once: one of these runs with every request that has an owner.
_COUNT = {"sqlite": _count(sqlite.insert(query_days)), "postgresql": _count(postgresql.insert(query_days))}


def count(
    connection: sa.Connection, queries: Mapping[str, int], most_a_day: Mapping[str, int]
) -> dict[str, int]:
    """Count queries by owner as today's. Returns the owners that had reached their limit before, with it.

    The transaction must be rolled back if there are any.
    """
    statement, day = _COUNT[connection.dialect.name], quotas.today()
    used_up: dict[str, int] = {}
    for owner in sorted(queries):  # in order, so that no two orchestrators wait for each other's rows
        total = connection.execute(
            statement, {"of_owner": owner, "of_day": day, "of_queries": queries[owner]}
        ).scalar_one()
        limit = most_a_day.get(owner)
        if limit is not None and total - queries[owner] >= limit:
            used_up[owner] = limit
    return used_up


def queries_today(connection: sa.Connection, owner: str) -> int:
    """What ``owner`` has reserved today."""
    found = connection.scalar(
        sa.select(query_days.c.queries).where(query_days.c.owner == owner, query_days.c.day == quotas.today())
    )
    return int(found or 0)


def admit(connection: sa.Connection, owner: str, limits: Limits, campaign_id: str) -> None:
    """See that ``owner`` may have ``campaign_id`` open beside what it has; holds until the commit.

    Raises:
        QuotaExceededError: a limit is reached.
    """
    if limits == NO_LIMITS:
        return
    if connection.dialect.name == "postgresql":  # on SQLite there is one writer
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(owner))))
    others_open = connection.scalar(
        sa.select(sa.func.count())
        .select_from(campaigns)
        .where(campaigns.c.owner == owner, campaigns.c.state.in_(OPEN), campaigns.c.id != campaign_id)
    )
    check_limits(
        owner, limits, others_open=int(others_open or 0), queries_today=queries_today(connection, owner)
    )
