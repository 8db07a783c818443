"""Creates campaigns of any number of images, in transactions of bounded size."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Sequence
from functools import partial

import sqlalchemy as sa

from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.wire import spec_to_bytes
from pixelprobe_services.orchestrator.store.errors import StoreError
from pixelprobe_services.orchestrator.store.limits import Limits
from pixelprobe_services.orchestrator.store.records import CampaignSummary
from pixelprobe_services.orchestrator.store.sql.campaigns import (
    CHUNK,
    add_images,
    find_request,
    publish,
    stage,
)
from pixelprobe_services.orchestrator.store.sql.database import Database
from pixelprobe_services.orchestrator.store.sql.deletion import delete_campaign
from pixelprobe_services.orchestrator.store.sql.specs import head_of

Created = tuple[CampaignSummary, bool]
"""A campaign, and whether it is new."""


async def create_campaign(
    database: Database, spec: CampaignSpec, request_id: str, owner: str, limits: Limits
) -> Created:
    """Store a campaign; see Store.create_campaign."""
    campaign_id = uuid.uuid4().hex[:12]
    head, data = head_of(spec), spec_to_bytes(spec)
    digests = list(dict.fromkeys(image.digest for image in spec.images))

    def put(connection: sa.Connection) -> None:
        stage(connection, campaign_id, owner, head, data, spec.attack_count)

    def create(connection: sa.Connection) -> Created:
        known = find_request(connection, owner, request_id)
        if known is not None:
            return known, known.id == campaign_id
        put(connection)
        size = add_images(connection, campaign_id, digests)
        return publish(connection, campaign_id, request_id, size, limits)

    if len(digests) <= CHUNK:
        return await _write_again(database, create)
    known = await database.read(lambda c: find_request(c, owner, request_id))
    if known is not None:
        return known, False
    is_new = False
    try:
        await database.write(put)
        size = await _add_all(database, campaign_id, digests)
        summary, is_new = await _write_again(
            database, lambda c: publish(c, campaign_id, request_id, size, limits)
        )
    finally:
        if not is_new:
            with contextlib.suppress(StoreError):  # a sweep removes it later
                await delete_campaign(database, campaign_id)
    return summary, is_new


async def _add_all(database: Database, campaign_id: str, digests: Sequence[str]) -> int:
    """Store which images the campaign uses. Returns their bytes."""

    def add(some: Sequence[str], connection: sa.Connection) -> int:
        return add_images(connection, campaign_id, some)

    size = 0
    for start in range(0, len(digests), CHUNK):
        size += await database.write(partial(add, digests[start : start + CHUNK]))
    return size


async def _write_again(database: Database, work: Callable[[sa.Connection], Created]) -> Created:
    """Run work that publishes a campaign; again where another orchestrator just used the request id."""
    try:
        return await database.write(work)
    except sa.exc.IntegrityError:
        return await database.write(work)
