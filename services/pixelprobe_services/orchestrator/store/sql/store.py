"""The durable store: SQLite for one orchestrator, PostgreSQL for several that share their campaigns.

This half keeps what belongs to the process: the leases it holds, and settlements not yet written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa

from pixelprobe_services.common.values import AttackResult, AttackState, Fate, Ledger, MaskArray
from pixelprobe_services.orchestrator.store.base import (
    AttackId,
    AttackRecord,
    Checkpoint,
    QueryCount,
)
from pixelprobe_services.orchestrator.store.errors import LeaseLostError, StoreError
from pixelprobe_services.orchestrator.store.limits import UNLIMITED, DayUsedUpError
from pixelprobe_services.orchestrator.store.location import StoreLocation
from pixelprobe_services.orchestrator.store.sql import attacks, checkpoints, leases, ledger, quotas
from pixelprobe_services.orchestrator.store.sql.attacks import Lease
from pixelprobe_services.orchestrator.store.sql.campaign_store import SqlCampaignStore
from pixelprobe_services.orchestrator.store.sql.connection import Connected, connect
from pixelprobe_services.orchestrator.store.sql.ledger import Wanted
from pixelprobe_services.orchestrator.store.sql.schema_version import configuration, prepare

log = logging.getLogger(__name__)

LEASE_SECONDS = 10.0
"""So long after its last sign of life others take over what an orchestrator runs."""

_BRIEF_SECONDS = 2.0
"""How long something is tried that can as well be left undone, or is done again soon."""


class SqlStore(SqlCampaignStore):
    """Use :meth:`open`."""

    def __init__(self, connected: Connected, lease_seconds: float) -> None:
        super().__init__(connected.database)
        self._connected = connected
        self._owner = uuid.uuid4().hex
        # Alone with its file, nobody can take an attack away; a laptop that slept must not lose its own.
        self._lease_seconds = None if connected.is_alone else lease_seconds
        self._held: dict[AttackId, Lease] = {}
        self._claiming = asyncio.Lock()
        self._settled: Counter[tuple[AttackId, Fate]] = Counter()
        self._heartbeat: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, location: StoreLocation, *, lease_seconds: float = LEASE_SECONDS) -> SqlStore:
        """Connect, see to the schema, and become a lease holder.

        Raises:
            StoreSetupError: another schema, or an SQLite file in use.
            StoreError: the database cannot be reached or written.
        """
        connected = await asyncio.to_thread(connect, location)
        try:
            store = cls(connected, lease_seconds)
            await connected.database.write(store._move_in)
        except BaseException:
            await connected.close()
            raise
        if store._lease_seconds is not None:
            store._heartbeat = asyncio.create_task(store._beat(store._lease_seconds), name="store-heartbeat")
        return store

    def _move_in(self, connection: sa.Connection) -> None:
        prepare(connection, configuration())
        if self._connected.is_alone:
            leases.leave_all(connection)
        leases.forget_the_dead(connection)
        leases.renew(connection, self._owner, self._lease_seconds)

    async def _beat(self, lease_seconds: float) -> None:
        while True:
            await asyncio.sleep(lease_seconds / 4)
            try:
                await self.check()
            except StoreError as error:
                log.warning("the lease was not renewed: %s", error.message)

    async def check(self) -> None:
        await self._database.write(
            lambda c: leases.renew(c, self._owner, self._lease_seconds), patience=_BRIEF_SECONDS
        )

    async def claim_attack(self, campaign_id: str) -> AttackRecord | None:
        spec = await self._spec(campaign_id)
        async with self._claiming:  # one after another, so that each knows what is held
            held = {attack.number for attack in self._held if attack.campaign_id == campaign_id}
            lease = await self._database.write(lambda c: attacks.claim(c, campaign_id, self._owner, held))
            if lease is None:
                return None
            self._held[lease.attack] = lease
        planned = spec.attack(lease.attack.number)
        return AttackRecord(lease.attack, planned.image_index, planned.key, AttackState.RUNNING)

    async def release_attack(self, attack: AttackId) -> None:
        lease = await self._lease(attack)
        del self._held[attack]
        await self._database.write(lambda c: attacks.release(c, lease), patience=_BRIEF_SECONDS)

    async def finish_attack(
        self, attack: AttackId, result: AttackResult, mask: MaskArray | None
    ) -> AttackRecord:
        lease = await self._lease(attack)
        planned = (await self._spec(attack.campaign_id)).attack(attack.number)
        settled = {(attack, fate): self._settled.pop((attack, fate), 0) for fate in Fate}
        with self._losing():
            end_time = await self._database.write(lambda c: attacks.finish(c, lease, result, mask, settled))
        self._held.pop(attack, None)
        return AttackRecord(
            attack, planned.image_index, planned.key, AttackState.FINISHED, result, mask, end_time
        )

    async def save_checkpoint(self, attack: AttackId, checkpoint: Checkpoint) -> None:
        lease = await self._lease(attack)
        with self._losing():
            await self._database.write(lambda c: checkpoints.save(c, lease, checkpoint))

    async def load_checkpoint(self, attack: AttackId) -> Checkpoint | None:
        return await self._database.read(lambda c: checkpoints.load(c, attack))

    async def drop_checkpoint(self, attack: AttackId) -> None:
        lease = await self._lease(attack)
        with self._losing():
            await self._database.write(lambda c: checkpoints.drop(c, lease))

    async def reserve_queries(
        self, counts: Sequence[QueryCount], most_a_day: Mapping[str, int] = UNLIMITED
    ) -> None:
        """One transaction, which also writes what was settled since the last one."""
        wanted = [
            Wanted(
                await self._lease(one.attack),
                one.queries,
                await self._whose(one.attack.campaign_id),
                again=one.queries if one.is_retry else 0,
            )
            for one in counts
        ]
        settled, self._settled = self._settled, Counter()
        with self._losing():
            try:
                await self._database.write(lambda c: ledger.reserve(c, wanted, settled, most_a_day))
            except Exception:
                self._settled.update(settled)
                raise

    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        def spend(connection: sa.Connection) -> None:
            if quotas.count(connection, {subject: queries}, {subject: most - queries + 1}):
                raise DayUsedUpError(subject, most)

        await self._database.write(spend)

    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate = Fate.ANSWERED) -> None:
        """Noted here and written later: until then, and if this process dies, they count as sent."""
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

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._heartbeat:
            self._heartbeat.cancel()
            await asyncio.gather(self._heartbeat, return_exceptions=True)
        try:
            await self._database.write(self._move_out, patience=_BRIEF_SECONDS)
        except StoreError as error:
            log.warning("left without a word: %s", error.message)
        await self._connected.close()

    def _move_out(self, connection: sa.Connection) -> None:
        ledger.settle(connection, self._settled)
        leases.leave(connection, self._owner)

    async def _lease(self, attack: AttackId) -> Lease:
        """The lease held on ``attack``; raises LeaseLostError without one, NotFoundError without attack."""
        lease = self._held.get(attack)
        if lease is None:
            await self.get_attack(attack)
            raise LeaseLostError([attack])
        return lease

    @contextlib.contextmanager
    def _losing(self) -> Iterator[None]:
        """Forget the leases that turn out to be lost."""
        try:
            yield
        except LeaseLostError as error:
            for attack in error.attacks:
                self._held.pop(attack, None)
            raise
