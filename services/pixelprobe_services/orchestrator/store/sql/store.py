"""The durable store: SQLite for one orchestrator, PostgreSQL for several that share their campaigns."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa
from cachetools import LRUCache

from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import (
    AttackResult,
    AttackState,
    CampaignState,
    Fate,
    Ledger,
    MaskArray,
    Pixels,
)
from pixelprobe_services.common.wire import spec_from_bytes
from pixelprobe_services.orchestrator.store.base import UNUSED_SECONDS, Store
from pixelprobe_services.orchestrator.store.errors import LeaseLostError, StoreError
from pixelprobe_services.orchestrator.store.limits import NO_LIMITS, UNLIMITED, DayUsedUpError, Limits
from pixelprobe_services.orchestrator.store.location import StoreLocation
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
from pixelprobe_services.orchestrator.store.sql import (
    attacks,
    campaigns,
    deletion,
    events,
    images,
    leases,
    ledger,
    quotas,
    reading,
)
from pixelprobe_services.orchestrator.store.sql.attacks import Lease
from pixelprobe_services.orchestrator.store.sql.connection import Connected, connect
from pixelprobe_services.orchestrator.store.sql.creation import create_campaign
from pixelprobe_services.orchestrator.store.sql.ledger import Wanted
from pixelprobe_services.orchestrator.store.sql.schema_version import configuration, prepare
from pixelprobe_services.orchestrator.store.sql.specs import Plan, PlanCache, plan_from_bytes

log = logging.getLogger(__name__)

LEASE_SECONDS = 10.0
"""An orchestrator that has not renewed its lease for this long loses its attacks to others."""

SWEEP_SECONDS = 3600.0
"""Between two sweeps."""

_MOST_OWNERS = 10_000

_BRIEF_SECONDS = 2.0
"""How long something is repeated that may be left undone, or is done again soon."""


class SqlStore(Store):
    """A store in a database. Use :meth:`open`.

    The database has everything but two things of the process: the leases it holds, and settlements that the
    next reservation writes.
    """

    def __init__(self, connected: Connected, lease_seconds: float) -> None:
        self._connected = connected
        self._database = connected.database
        self._plans = PlanCache()
        self._owners: LRUCache[str, str] = LRUCache(_MOST_OWNERS)  # by campaign; they never change
        self._owner = uuid.uuid4().hex
        # Alone with its file, no other can take an attack away; a laptop that slept must not lose its own.
        self._lease_seconds = None if connected.is_alone else lease_seconds
        self._held: dict[AttackId, Lease] = {}
        self._claiming = asyncio.Lock()
        self._settled: Counter[tuple[AttackId, Fate]] = Counter()
        self._heartbeat: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._sweep_now = asyncio.Event()
        self._closed = False

    @classmethod
    async def open(cls, location: StoreLocation, *, lease_seconds: float = LEASE_SECONDS) -> SqlStore:
        """Connect, check or make the schema, and take a lease.

        Raises:
            StoreSetupError: another schema, or an SQLite file in use.
            StoreError: the database cannot be reached or written.
        """
        connected = await asyncio.to_thread(connect, location)
        try:
            store = cls(connected, lease_seconds)
            await connected.database.write(store._enter)
        except BaseException:
            await connected.close()
            raise
        if store._lease_seconds is not None:
            store._heartbeat = asyncio.create_task(store._beat(store._lease_seconds), name="store-heartbeat")
        store._sweeper = asyncio.create_task(store._sweep_on(), name="store-sweeper")
        return store

    # Images and masks.

    async def put_image(self, digest: str, image: Pixels) -> None:
        await self._database.write(lambda c: images.put_image(c, digest, image))

    async def get_image(self, digest: str) -> Pixels:
        return await self._database.read(lambda c: images.get_image(c, digest))

    async def image_sizes(self, digests: Collection[str]) -> dict[str, tuple[int, int]]:
        return await self._database.read(lambda c: images.image_sizes(c, digests))

    async def put_mask(self, campaign_id: str, image_digest: str, mask: StoredMask) -> StoredMask:
        _check_id(campaign_id)
        return await self._database.write(
            lambda c: images.put_campaign_mask(c, campaign_id, image_digest, mask)
        )

    async def get_mask(self, campaign_id: str, image_digest: str) -> StoredMask | None:
        _check_id(campaign_id)
        return await self._database.read(lambda c: images.get_campaign_mask(c, campaign_id, image_digest))

    # Campaigns.

    async def create_campaign(
        self, spec: CampaignSpec, request_id: str, *, owner: str = "", limits: Limits = NO_LIMITS
    ) -> tuple[CampaignRecord, bool]:
        if "\0" in request_id:
            raise InvalidArgumentError("request_id", "holds a NUL character")
        summary, is_new = await create_campaign(self._database, spec, request_id, owner, limits)
        if is_new:
            return _with_spec(summary, spec), True
        return await self.get_campaign(summary.id), False

    async def get_campaign(self, campaign_id: str) -> CampaignRecord:
        summary = await self.get_summary(campaign_id)
        plan = await self._plan(campaign_id)
        if not plan.has_masks:
            return _with_spec(summary, plan.spec)
        data = await self._database.read(lambda c: reading.get_spec(c, campaign_id))
        return _with_spec(summary, await asyncio.to_thread(spec_from_bytes, data))

    async def get_summary(self, campaign_id: str) -> CampaignSummary:
        _check_id(campaign_id)
        return await self._database.read(lambda c: reading.get_summary(c, campaign_id))

    async def list_campaigns(
        self, limit: int, after: str = "", *, owner: str | None = None
    ) -> list[CampaignSummary]:
        _check_id(after)
        return await self._database.read(lambda c: reading.newest(c, limit, after, owner))

    async def campaigns_in(self, states: Collection[CampaignState]) -> list[str]:
        return await self._database.read(lambda c: reading.ids_in(c, states))

    async def count_campaigns(self) -> dict[CampaignState, int]:
        return await self._database.read(reading.count_by_state)

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
        if new is CampaignState.RUNNING:
            while await self._database.write(lambda c: campaigns.reopen_chunk(c, campaign_id, expected)):
                pass
        await self._database.write(
            lambda c: campaigns.change_state(c, campaign_id, new, expected, reason, limits)
        )
        return await self.get_campaign(campaign_id)

    async def finish_campaign(self, campaign_id: str) -> bool:
        _check_id(campaign_id)
        return await self._database.write(lambda c: campaigns.finish(c, campaign_id))

    async def cancel_attacks(self, campaign_id: str) -> int:
        _check_id(campaign_id)
        total = 0
        while count := await self._database.write(
            lambda c: attacks.cancel_some(c, campaign_id, campaigns.CHUNK)
        ):
            total += count
        return total

    async def delete_campaign(self, campaign_id: str) -> None:
        _check_id(campaign_id)
        await self._database.write(lambda c: deletion.hide(c, campaign_id))
        self._plans.drop(campaign_id)
        self._sweep_now.set()

    async def sweep(self, unused_seconds: float = UNUSED_SECONDS) -> Swept:
        return await deletion.sweep(self._database, unused_seconds)

    async def progress(self, campaign_id: str) -> CampaignProgress:
        _check_id(campaign_id)
        found = await self.progress_of([campaign_id])
        if campaign_id not in found:
            raise events.not_found(campaign_id)
        return found[campaign_id]

    async def progress_of(self, campaign_ids: Collection[str]) -> dict[str, CampaignProgress]:
        return await self._database.read(lambda c: reading.progress_of(c, campaign_ids))

    async def queries_today(self, owner: str) -> int:
        return await self._database.read(lambda c: quotas.queries_today(c, owner))

    async def events_after(self, campaign_id: str, sequence: int, limit: int) -> list[Event]:
        _check_id(campaign_id)
        return await self._database.read(lambda c: events.after(c, campaign_id, sequence, limit))

    # Attacks.

    async def get_attack(self, attack: AttackId) -> AttackRecord:
        plan = await self._plan(attack.campaign_id)
        return await self._database.read(lambda c: reading.get_attack(c, attack, plan.spec))

    async def list_attacks(
        self, campaign_id: str, *, start: int, limit: int, finished_only: bool
    ) -> list[AttackRecord]:
        plan = await self._plan(campaign_id)
        return await self._database.read(
            lambda c: reading.list_attacks(
                c, campaign_id, plan.spec, start=start, limit=limit, finished_only=finished_only
            )
        )

    async def claim_attack(self, campaign_id: str) -> AttackRecord | None:
        plan = await self._plan(campaign_id)
        async with self._claiming:  # one after another, so that each knows what is held
            held = {attack.number for attack in self._held if attack.campaign_id == campaign_id}
            lease = await self._database.write(lambda c: attacks.claim(c, campaign_id, self._owner, held))
            if lease is None:
                return None
            self._held[lease.attack] = lease
        planned = plan.spec.attack(lease.attack.number)
        return AttackRecord(lease.attack, planned.image_index, planned.key, AttackState.RUNNING)

    async def release_attack(self, attack: AttackId) -> None:
        lease = await self._lease(attack)
        del self._held[attack]
        await self._database.write(lambda c: attacks.release(c, lease), patience=_BRIEF_SECONDS)

    async def finish_attack(
        self, attack: AttackId, result: AttackResult, mask: MaskArray | None
    ) -> AttackRecord:
        lease = await self._lease(attack)
        planned = (await self._plan(attack.campaign_id)).spec.attack(attack.number)
        settled = Counter({(attack, fate): self._settled.pop((attack, fate), 0) for fate in Fate})
        with self._forget_lost(), self._keep_unwritten(settled):
            end_time = await self._database.write(lambda c: attacks.finish(c, lease, result, mask, settled))
        self._held.pop(attack, None)
        if end_time is None:
            return AttackRecord(attack, planned.image_index, planned.key, AttackState.PENDING)
        return AttackRecord(
            attack, planned.image_index, planned.key, AttackState.FINISHED, result, mask, end_time
        )

    async def save_checkpoint(self, attack: AttackId, checkpoint: Checkpoint) -> None:
        lease = await self._lease(attack)
        with self._forget_lost():
            await self._database.write(lambda c: attacks.save_checkpoint(c, lease, checkpoint))

    async def load_checkpoint(self, attack: AttackId) -> Checkpoint | None:
        return await self._database.read(lambda c: attacks.load_checkpoint(c, attack))

    async def drop_checkpoint(self, attack: AttackId) -> None:
        lease = await self._lease(attack)
        with self._forget_lost():
            await self._database.write(lambda c: attacks.drop_checkpoint(c, lease))

    # The query ledger.

    async def reserve_queries(
        self, counts: Sequence[QueryCount], most_a_day: Mapping[str, int] = UNLIMITED
    ) -> None:
        """See Store. One transaction, which also writes what was settled since the last one."""
        wanted = [
            Wanted(
                await self._lease(one.attack),
                one.queries,
                await self._campaign_owner(one.attack.campaign_id),
                again=one.queries if one.is_retry else 0,
            )
            for one in counts
        ]
        settled, self._settled = self._settled, Counter()
        with self._forget_lost(), self._keep_unwritten(settled):
            await self._database.write(lambda c: ledger.reserve(c, wanted, settled, most_a_day))

    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        def spend(connection: sa.Connection) -> None:
            if quotas.count(connection, {subject: queries}, {subject: most - queries + 1}):
                raise DayUsedUpError(subject, most)

        await self._database.write(spend)

    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate = Fate.ANSWERED) -> None:
        """See Store. Kept here and written later: until then, and if the process dies, they count as sent."""
        for count in counts:
            self._settled[count.attack, fate] += count.queries

    async def ledger(self, attack: AttackId) -> Ledger:
        found = await self._database.read(lambda c: ledger.of_attack(c, attack))
        unwritten = {fate: self._settled[attack, fate] for fate in Fate}
        return replace(
            found,
            sent=found.sent - unwritten[Fate.REJECTED],
            answered=(found.answered or 0) + unwritten[Fate.ANSWERED],
            timed_out=found.timed_out + unwritten[Fate.TIMED_OUT],
            rejected=found.rejected + unwritten[Fate.REJECTED],
        )

    # The store itself.

    async def check(self) -> None:
        await self._database.write(
            lambda c: leases.renew(c, self._owner, self._lease_seconds), patience=_BRIEF_SECONDS
        )

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        tasks = [task for task in (self._heartbeat, self._sweeper) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._database.write(self._leave, patience=_BRIEF_SECONDS)
        except StoreError as error:
            log.warning("the lease was not given up: %s", error.message)
        await self._connected.close()

    def _enter(self, connection: sa.Connection) -> None:
        prepare(connection, configuration())
        if self._connected.is_alone:
            leases.end_all(connection)
        leases.delete_ended(connection)
        leases.renew(connection, self._owner, self._lease_seconds)

    def _leave(self, connection: sa.Connection) -> None:
        ledger.settle(connection, self._settled)
        leases.give_up(connection, self._owner)

    async def _beat(self, lease_seconds: float) -> None:
        while True:
            await asyncio.sleep(lease_seconds / 4)
            try:
                await self.check()
            except StoreError as error:
                log.warning("the lease was not renewed: %s", error.message)

    async def _sweep_on(self) -> None:
        """Sweep after each deletion, and every SWEEP_SECONDS."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._sweep_now.wait()
            self._sweep_now.clear()
            try:
                await self.sweep()
            except (StoreError, sa.exc.IntegrityError) as error:  # a mask found a new use: the next sweep's
                log.warning("space is freed later: %s", error)

    async def _plan(self, campaign_id: str) -> Plan:
        """Return the campaign's spec without masks; raises NotFoundError where there is no such campaign."""
        _check_id(campaign_id)
        plan = self._plans.get(campaign_id)
        if plan is None:
            data = await self._database.read(lambda c: reading.get_spec(c, campaign_id))
            plan = await asyncio.to_thread(plan_from_bytes, data)
            self._plans.put(campaign_id, plan)
        return plan

    async def _campaign_owner(self, campaign_id: str) -> str:
        """Return the client that owns the campaign."""
        owner = self._owners.get(campaign_id)
        if owner is None:
            owner = self._owners[campaign_id] = (await self.get_summary(campaign_id)).owner
        return owner

    async def _lease(self, attack: AttackId) -> Lease:
        """Return the lease held on ``attack``; raises LeaseLostError without, NotFoundError if no attack."""
        lease = self._held.get(attack)
        if lease is None:
            await self.get_attack(attack)
            raise LeaseLostError([attack])
        return lease

    @contextlib.contextmanager
    def _forget_lost(self) -> Iterator[None]:
        """Drop the leases that turn out to be lost."""
        try:
            yield
        except LeaseLostError as error:
            for attack in error.attacks:
                self._held.pop(attack, None)
            raise

    @contextlib.contextmanager
    def _keep_unwritten(self, settled: Counter[tuple[AttackId, Fate]]) -> Iterator[None]:
        """Keep settlements for the next write where this one fails."""
        try:
            yield
        except Exception:
            self._settled.update(settled)
            raise


def _with_spec(summary: CampaignSummary, spec: CampaignSpec) -> CampaignRecord:
    return CampaignRecord(
        summary.id,
        spec,
        summary.request_id,
        summary.state,
        summary.state_reason,
        summary.create_time,
        summary.end_time,
        summary.owner,
    )


def _check_id(campaign_id: str) -> None:
    """PostgreSQL refuses a NUL in any text, and no campaign has one in its id."""
    if "\0" in campaign_id:
        raise events.not_found(campaign_id)
