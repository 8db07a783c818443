"""Frees the space of deleted campaigns and unused images, in transactions of bounded size.

The functions that take a connection delete up to CHUNK rows and return how many; they are repeated until they
return 0.
"""

from __future__ import annotations

import sqlalchemy as sa

from pixelprobe_services.common.errors import ConflictError, FailedPreconditionError
from pixelprobe_services.common.values import AttackState
from pixelprobe_services.orchestrator.store.records import Swept
from pixelprobe_services.orchestrator.store.sql.attacks import any_in
from pixelprobe_services.orchestrator.store.sql.campaigns import CHUNK, ENDED
from pixelprobe_services.orchestrator.store.sql.database import Database
from pixelprobe_services.orchestrator.store.sql.dialect import now_seconds
from pixelprobe_services.orchestrator.store.sql.events import lock_campaign
from pixelprobe_services.orchestrator.store.sql.schema import (
    attacks,
    campaign_images,
    campaign_masks,
    campaigns,
    checkpoints,
    events,
    images,
    masks,
    results,
    scored,
    specs,
)

ABANDONED_SECONDS = 3600.0
"""A campaign that was not published this long after its creation began is removed."""

_VACUUM_PAGES = 1000


async def sweep(database: Database, unused_seconds: float) -> Swept:
    """Free the space of what was deleted or is unused; see Store.sweep."""
    deleted = await database.read(hidden)
    for campaign_id in deleted:
        await delete_campaign(database, campaign_id)
    count = 0
    while some := await database.write(lambda c: delete_unused_images(c, unused_seconds)):
        count += some
    while await database.write(give_back_space):
        pass
    return Swept(len(deleted), count)


async def delete_campaign(database: Database, campaign_id: str) -> None:
    """Delete all of a campaign that readers do not see."""
    while await database.write(lambda c: delete_some(c, campaign_id)):
        pass


def hide(connection: sa.Connection, campaign_id: str) -> None:
    """Make an ended campaign vanish for readers, and free its request id.

    Raises:
        FailedPreconditionError: it has not ended.
        ConflictError: some of its attacks still run.
        NotFoundError: no such campaign.
    """
    row = lock_campaign(connection, campaign_id)
    if row.state not in ENDED:
        raise FailedPreconditionError(
            f"campaign {campaign_id} is {row.state.value}: cancel it before deleting it"
        )
    if any_in(connection, campaign_id, AttackState.RUNNING):
        raise ConflictError(f"campaign {campaign_id} is still being cancelled; try again in a moment")
    connection.execute(
        sa.update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(delete_time=now_seconds(), request_id=None)
    )


def hidden(connection: sa.Connection) -> list[str]:
    """Return the ids of deleted campaigns, and of those whose creation was abandoned."""
    was_published = campaigns.c.last_event > 0
    abandoned = campaigns.c.delete_time < now_seconds() - ABANDONED_SECONDS
    wanted = sa.select(campaigns.c.id).where(
        campaigns.c.delete_time.is_not(None), sa.or_(was_published, abandoned)
    )
    return list(connection.scalars(wanted.order_by(campaigns.c.ordinal)))


def delete_some(connection: sa.Connection, campaign_id: str) -> int:
    """Delete some of what belongs to a hidden campaign, at last the campaign itself."""
    numbers = list(
        connection.scalars(
            sa.select(attacks.c.number).where(attacks.c.campaign_id == campaign_id).limit(CHUNK)
        )
    )
    if numbers:
        return _delete_attacks(connection, campaign_id, numbers)
    for table, column in (
        (events, events.c.sequence),
        (campaign_masks, campaign_masks.c.image_digest),
        (campaign_images, campaign_images.c.image_digest),
    ):
        some = sa.select(column).where(table.c.campaign_id == campaign_id).limit(CHUNK).scalar_subquery()
        gone = sa.delete(table).where(table.c.campaign_id == campaign_id, column.in_(some))
        if table is campaign_masks:
            digests = set(connection.scalars(gone.returning(campaign_masks.c.mask_digest)))
            if digests:
                _delete_unused_masks(connection, digests)
                return len(digests)
        elif deleted := connection.execute(gone).rowcount:
            return deleted
    connection.execute(sa.delete(specs).where(specs.c.campaign_id == campaign_id))
    return connection.execute(sa.delete(campaigns).where(campaigns.c.id == campaign_id)).rowcount


def _delete_attacks(connection: sa.Connection, campaign_id: str, numbers: list[int]) -> int:
    for table in (scored, checkpoints):
        connection.execute(
            sa.delete(table).where(table.c.campaign_id == campaign_id, table.c.number.in_(numbers))
        )
    digests = set(
        connection.scalars(
            sa.delete(results)
            .where(results.c.campaign_id == campaign_id, results.c.number.in_(numbers))
            .returning(results.c.mask_digest)
        )
    )
    connection.execute(
        sa.delete(attacks).where(attacks.c.campaign_id == campaign_id, attacks.c.number.in_(numbers))
    )
    _delete_unused_masks(connection, digests - {None})
    return len(numbers)


def _delete_unused_masks(connection: sa.Connection, digests: set[str]) -> None:
    if digests:
        connection.execute(
            sa.delete(masks).where(
                masks.c.digest.in_(sorted(digests)),
                ~sa.exists().where(results.c.mask_digest == masks.c.digest),
                ~sa.exists().where(campaign_masks.c.mask_digest == masks.c.digest),
            )
        )


def delete_unused_images(connection: sa.Connection, unused_seconds: float) -> int:
    """Delete images that no campaign uses and that were last uploaded so long ago."""
    unused = sa.and_(
        images.c.used <= now_seconds() - unused_seconds,
        ~sa.exists().where(campaign_images.c.image_digest == images.c.digest),
    )
    some = sa.select(images.c.digest).where(unused).limit(CHUNK).scalar_subquery()
    return connection.execute(sa.delete(images).where(images.c.digest.in_(some), unused)).rowcount


def give_back_space(connection: sa.Connection) -> int:
    """Return free pages of an SQLite file to the file system; on PostgreSQL, autovacuum does its own way.

    Files made by schema 0003 and before have no list of free pages to return; ``migrate`` rebuilds them once.
    """
    if connection.dialect.name != "sqlite":
        return 0
    if connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() == 0:
        return 0
    free = int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
    if free:
        cursor = connection.connection.cursor()  # the driver's: it frees a page with each step, to the last
        cursor.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
    return free
