"""A store whose operations are timed, in front of any other store."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import TypeVar

from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import AttackResult, CampaignState, Fate, Ledger, MaskArray, Pixels
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.store.base import UNUSED_SECONDS, Store
from pixelprobe_services.orchestrator.store.errors import StoreError
from pixelprobe_services.orchestrator.store.limits import NO_LIMITS, UNLIMITED, Limits
from pixelprobe_services.orchestrator.store.records import (
    AttackId,
    AttackRecord,
    CampaignProgress,
    CampaignRecord,
    CampaignSummary,
    Checkpoint,
    Event,
    QueryCount,
    StoredMask,
    Swept,
)

OPERATIONS = tuple(sorted(Store.__abstractmethods__ - {"close"}))
"""The operations of a store that are measured."""

T = TypeVar("T")


class MeasuredStore(Store):
    """Passes every operation to ``store``, measures its time and counts failures (StoreError).

    Example::

        store = MeasuredStore(await open_store(location), metrics)
    """

    def __init__(self, store: Store, metrics: OrchestratorMetrics) -> None:
        self._store = store
        self._metrics = metrics
        for name in OPERATIONS:
            metrics.expect_store_operation(name)

    async def close(self) -> None:
        await self._store.close()

    async def _timed(self, name: str, operation: Awaitable[T]) -> T:
        with self._metrics.store_operation(name, StoreError):
            return await operation

    async def put_image(self, digest: str, image: Pixels) -> None:
        await self._timed("put_image", self._store.put_image(digest, image))

    async def get_image(self, digest: str) -> Pixels:
        return await self._timed("get_image", self._store.get_image(digest))

    async def image_sizes(self, digests: Collection[str]) -> dict[str, tuple[int, int]]:
        return await self._timed("image_sizes", self._store.image_sizes(digests))

    async def put_mask(self, campaign_id: str, image_digest: str, mask: StoredMask) -> StoredMask:
        return await self._timed("put_mask", self._store.put_mask(campaign_id, image_digest, mask))

    async def get_mask(self, campaign_id: str, image_digest: str) -> StoredMask | None:
        return await self._timed("get_mask", self._store.get_mask(campaign_id, image_digest))

    async def create_campaign(
        self, spec: CampaignSpec, request_id: str, *, owner: str = "", limits: Limits = NO_LIMITS
    ) -> tuple[CampaignRecord, bool]:
        return await self._timed(
            "create_campaign", self._store.create_campaign(spec, request_id, owner=owner, limits=limits)
        )

    async def get_campaign(self, campaign_id: str) -> CampaignRecord:
        return await self._timed("get_campaign", self._store.get_campaign(campaign_id))

    async def get_summary(self, campaign_id: str) -> CampaignSummary:
        return await self._timed("get_summary", self._store.get_summary(campaign_id))

    async def list_campaigns(
        self, limit: int, after: str = "", *, owner: str | None = None
    ) -> list[CampaignSummary]:
        return await self._timed("list_campaigns", self._store.list_campaigns(limit, after, owner=owner))

    async def campaigns_in(self, states: Collection[CampaignState]) -> list[str]:
        return await self._timed("campaigns_in", self._store.campaigns_in(states))

    async def count_campaigns(self) -> dict[CampaignState, int]:
        return await self._timed("count_campaigns", self._store.count_campaigns())

    async def change_campaign_state(
        self,
        campaign_id: str,
        new: CampaignState,
        *,
        expected: Collection[CampaignState],
        reason: str = "",
        limits: Limits = NO_LIMITS,
    ) -> CampaignRecord:
        return await self._timed(
            "change_campaign_state",
            self._store.change_campaign_state(
                campaign_id, new, expected=expected, reason=reason, limits=limits
            ),
        )

    async def finish_campaign(self, campaign_id: str) -> bool:
        return await self._timed("finish_campaign", self._store.finish_campaign(campaign_id))

    async def cancel_attacks(self, campaign_id: str) -> int:
        return await self._timed("cancel_attacks", self._store.cancel_attacks(campaign_id))

    async def delete_campaign(self, campaign_id: str) -> None:
        await self._timed("delete_campaign", self._store.delete_campaign(campaign_id))

    async def sweep(self, unused_seconds: float = UNUSED_SECONDS) -> Swept:
        return await self._timed("sweep", self._store.sweep(unused_seconds))

    async def progress(self, campaign_id: str) -> CampaignProgress:
        return await self._timed("progress", self._store.progress(campaign_id))

    async def progress_of(self, campaign_ids: Collection[str]) -> dict[str, CampaignProgress]:
        return await self._timed("progress_of", self._store.progress_of(campaign_ids))

    async def get_attack(self, attack: AttackId) -> AttackRecord:
        return await self._timed("get_attack", self._store.get_attack(attack))

    async def list_attacks(
        self, campaign_id: str, *, start: int, limit: int, finished_only: bool
    ) -> list[AttackRecord]:
        return await self._timed(
            "list_attacks",
            self._store.list_attacks(campaign_id, start=start, limit=limit, finished_only=finished_only),
        )

    async def claim_attack(self, campaign_id: str) -> AttackRecord | None:
        return await self._timed("claim_attack", self._store.claim_attack(campaign_id))

    async def release_attack(self, attack: AttackId) -> None:
        await self._timed("release_attack", self._store.release_attack(attack))

    async def finish_attack(
        self, attack: AttackId, result: AttackResult, mask: MaskArray | None
    ) -> AttackRecord:
        return await self._timed("finish_attack", self._store.finish_attack(attack, result, mask))

    async def save_checkpoint(self, attack: AttackId, checkpoint: Checkpoint) -> None:
        await self._timed("save_checkpoint", self._store.save_checkpoint(attack, checkpoint))

    async def load_checkpoint(self, attack: AttackId) -> Checkpoint | None:
        return await self._timed("load_checkpoint", self._store.load_checkpoint(attack))

    async def drop_checkpoint(self, attack: AttackId) -> None:
        await self._timed("drop_checkpoint", self._store.drop_checkpoint(attack))

    async def reserve_queries(
        self, counts: Sequence[QueryCount], most_a_day: Mapping[str, int] = UNLIMITED
    ) -> None:
        await self._timed("reserve_queries", self._store.reserve_queries(counts, most_a_day))

    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate = Fate.ANSWERED) -> None:
        await self._timed("settle_queries", self._store.settle_queries(counts, fate))

    async def ledger(self, attack: AttackId) -> Ledger:
        return await self._timed("ledger", self._store.ledger(attack))

    async def events_after(self, campaign_id: str, sequence: int, limit: int) -> list[Event]:
        return await self._timed("events_after", self._store.events_after(campaign_id, sequence, limit))

    async def check(self) -> None:
        await self._timed("check", self._store.check())

    async def queries_today(self, owner: str) -> int:
        return await self._timed("queries_today", self._store.queries_today(owner))

    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        await self._timed("spend_day", self._store.spend_day(subject, queries, most))
