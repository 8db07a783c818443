"""The half of the durable store that needs no lease: images, masks, campaigns, events."""

from __future__ import annotations

import uuid
from collections.abc import Collection

import sqlalchemy as sa

from pixelprobe_services.common.errors import InvalidArgumentError, NotFoundError
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import CampaignState, Pixels
from pixelprobe_services.orchestrator.store.base import (
    AttackId,
    AttackRecord,
    CampaignProgress,
    CampaignRecord,
    Event,
    Store,
    StoredMask,
)
from pixelprobe_services.orchestrator.store.limits import NO_LIMITS, Limits
from pixelprobe_services.orchestrator.store.sql import attacks, campaigns, events, images, quotas
from pixelprobe_services.orchestrator.store.sql.campaigns import CampaignRow
from pixelprobe_services.orchestrator.store.sql.database import Database
from pixelprobe_services.orchestrator.store.sql.specs import SpecCache


class SqlCampaignStore(Store):
    """What any process may read and change at any time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._specs = SpecCache()
        self._owners: dict[str, str] = {}  # of campaigns that queries were reserved for; they never change

    async def put_image(self, digest: str, image: Pixels) -> None:
        await self._database.write(lambda c: images.put_image(c, digest, image))

    async def get_image(self, digest: str) -> Pixels:
        return await self._database.read(lambda c: images.get_image(c, digest))

    async def image_sizes(self, digests: Collection[str]) -> dict[str, tuple[int, int]]:
        return await self._database.read(lambda c: images.image_sizes(c, digests))

    async def put_mask(self, campaign_id: str, image_digest: str, mask: StoredMask) -> StoredMask:
        await self._spec(campaign_id)
        return await self._database.write(
            lambda c: images.put_campaign_mask(c, campaign_id, image_digest, mask)
        )

    async def get_mask(self, campaign_id: str, image_digest: str) -> StoredMask | None:
        await self._spec(campaign_id)
        return await self._database.read(lambda c: images.get_campaign_mask(c, campaign_id, image_digest))

    async def create_campaign(
        self, spec: CampaignSpec, request_id: str, *, owner: str = "", limits: Limits = NO_LIMITS
    ) -> tuple[CampaignRecord, bool]:
        if "\0" in request_id:
            raise InvalidArgumentError("request_id", "holds a NUL character")
        campaign_id = uuid.uuid4().hex[:12]

        def create(connection: sa.Connection) -> tuple[CampaignRow, bool]:
            return campaigns.create(connection, campaign_id, spec, request_id, owner, limits)

        try:
            row, is_new = await self._database.write(create)
        except sa.exc.IntegrityError:  # another orchestrator took the request id at this very moment
            row, is_new = await self._database.write(create)
        if is_new:
            self._specs.put(row.id, spec)
        return await self._with_spec(row), is_new

    async def get_campaign(self, campaign_id: str) -> CampaignRecord:
        _check_id(campaign_id)
        return await self._with_spec(await self._database.read(lambda c: campaigns.get(c, campaign_id)))

    async def list_campaigns(self, limit: int, after: str = "") -> list[CampaignRecord]:
        _check_id(after)
        rows = await self._database.read(lambda c: campaigns.newest(c, limit, after))
        return [await self._with_spec(row) for row in rows]

    async def campaigns_in(self, states: Collection[CampaignState]) -> list[str]:
        return await self._database.read(lambda c: campaigns.ids_in(c, states))

    async def count_campaigns(self) -> dict[CampaignState, int]:
        return await self._database.read(campaigns.count_by_state)

    async def change_campaign_state(
        self,
        campaign_id: str,
        new: CampaignState,
        *,
        expected: Collection[CampaignState],
        reason: str = "",
        limits: Limits = NO_LIMITS,
    ) -> CampaignRecord:
        _check_id(campaign_id)
        row = await self._database.write(
            lambda c: campaigns.change_state(c, campaign_id, new, expected, reason, limits)
        )
        return await self._with_spec(row)

    async def finish_campaign(self, campaign_id: str) -> bool:
        _check_id(campaign_id)
        return await self._database.write(lambda c: campaigns.finish(c, campaign_id))

    async def cancel_attacks(self, campaign_id: str) -> int:
        await self._spec(campaign_id)
        if not await self._database.read(lambda c: attacks.any_unfinished(c, campaign_id)):
            return 0
        return await self._database.write(lambda c: attacks.cancel_all(c, campaign_id))

    async def progress(self, campaign_id: str) -> CampaignProgress:
        _check_id(campaign_id)
        return await self._database.read(lambda c: campaigns.progress(c, campaign_id))

    async def queries_today(self, owner: str) -> int:
        return await self._database.read(lambda c: quotas.queries_today(c, owner))

    async def get_attack(self, attack: AttackId) -> AttackRecord:
        spec = await self._spec(attack.campaign_id)
        return await self._database.read(lambda c: attacks.get(c, attack, spec))

    async def list_attacks(
        self, campaign_id: str, *, start: int, limit: int, finished_only: bool
    ) -> list[AttackRecord]:
        spec = await self._spec(campaign_id)
        return await self._database.read(
            lambda c: attacks.page(
                c, campaign_id, spec, start=start, limit=limit, finished_only=finished_only
            )
        )

    async def events_after(self, campaign_id: str, sequence: int, limit: int) -> list[Event]:
        await self._spec(campaign_id)
        return await self._database.read(lambda c: events.after(c, campaign_id, sequence, limit))

    async def _spec(self, campaign_id: str) -> CampaignSpec:
        """The campaign's spec; raises NotFoundError where there is no such campaign."""
        _check_id(campaign_id)
        spec = self._specs.get(campaign_id)
        if spec is None:
            spec = await self._database.read(lambda c: campaigns.get_spec(c, campaign_id))
            self._specs.put(campaign_id, spec)
        return spec

    async def _whose(self, campaign_id: str) -> str:
        """The client that owns the campaign."""
        if campaign_id not in self._owners:
            row = await self._database.read(lambda c: campaigns.get(c, campaign_id))
            self._owners[campaign_id] = row.owner
        return self._owners[campaign_id]

    async def _with_spec(self, row: CampaignRow) -> CampaignRecord:
        return row.with_spec(await self._spec(row.id))


def _check_id(campaign_id: str) -> None:
    """PostgreSQL refuses a NUL in any text, and no campaign has one in its id."""
    if "\0" in campaign_id:
        raise NotFoundError(f"no campaign {campaign_id!r}", reason="CAMPAIGN_NOT_FOUND")
