"""The life cycle of campaigns: create, run in the background, cancel, resume."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TypeVar
from weakref import WeakValueDictionary

from pixelprobe_services.common.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import CampaignState
from pixelprobe_services.orchestrator.attacks.resources import resources_named
from pixelprobe_services.orchestrator.campaigns.admission import check_spec, check_targets, same_request
from pixelprobe_services.orchestrator.campaigns.events import EventHub
from pixelprobe_services.orchestrator.campaigns.executor import LocalExecutor
from pixelprobe_services.orchestrator.campaigns.quotas import Quotas
from pixelprobe_services.orchestrator.campaigns.waiting import Patience, Waits
from pixelprobe_services.orchestrator.campaigns.watching import ENDED, Item, Shown, watch
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.pool import BatcherPool
from pixelprobe_services.orchestrator.store.base import CampaignRecord, CampaignSummary, Store
from pixelprobe_services.orchestrator.store.errors import StoreError
from pixelprobe_services.orchestrator.targets.base import TargetError
from pixelprobe_services.orchestrator.timing import Timing
from pixelprobe_services.server.logs import about

log = logging.getLogger(__name__)

Record = TypeVar("Record", bound=CampaignRecord | CampaignSummary)

UNFINISHED = frozenset({CampaignState.PENDING, CampaignState.RUNNING, CampaignState.WAITING})
RESUME_ATTEMPTS = 10
"""A resume that meets a cancellation, here or in another orchestrator, is repeated so often."""


class CampaignManager:
    """Runs each unfinished campaign of the store as one task of the event loop.

    While the store cannot do its work, a target or the segmentation service does not answer, or the owner
    has used up the day's queries, clients see the campaign as WAITING with the reason. The store keeps it as
    RUNNING, because the store may be what is out of reach, and another orchestrator may not have to wait.
    It continues by itself, or at once when it is resumed. Once patience with one of several targets is used
    up, the attacks on that target end in an error and the others continue; a campaign of whose targets none
    answers waits for as long as it takes. A PAUSED campaign continues only when it is resumed.

    >>> manager = CampaignManager(store, pool, executor, EventHub())
    >>> await manager.start()
    >>> record = await manager.create(spec, request_id="nightly", owner="ci")
    >>> async for sequence, item in manager.watch(record.id, after_sequence=0):
    ...     print(sequence, item)
    """

    def __init__(
        self,
        store: Store,
        batchers: BatcherPool,
        executor: LocalExecutor,
        events: EventHub,
        quotas: Quotas | None = None,
        patience: Patience | None = None,
        metrics: OrchestratorMetrics | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._patience = patience or Patience()
        self._store = store
        self._quotas = quotas or Quotas()
        self._batchers = batchers
        self._executor = executor
        self._events = events
        self.read_once = events.once
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._endings: dict[str, asyncio.Task[None]] = {}
        self._waits = Waits(self._timing)
        self._targets: dict[str, tuple[str, ...]] = {}  # of the campaigns that run here
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._polling: asyncio.Task[None] | None = None
        self._metrics = metrics or OrchestratorMetrics()
        self._metrics.campaigns_stalled.set_function(lambda: len(self._waits))
        self.is_stopping = False

    async def start(self) -> None:
        """Continue every campaign that an earlier process left unfinished, and keep looking for more."""
        for campaign_id in await self._store.campaigns_in({CampaignState.CANCELLED}):
            # Of a process that died while it cancelled. Another orchestrator may have resumed it by now.
            with contextlib.suppress(ConflictError):
                await self._store.cancel_attacks(campaign_id)
        await self._synchronise()
        self._polling = asyncio.create_task(self._poll(), name="campaigns-poll")

    async def stop(self) -> None:
        """Checkpoint running attacks, release them to the store, and end all watching."""
        tasks = [*self._endings.values(), *self._tasks.values()]
        if self._polling:
            tasks.append(self._polling)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.is_stopping = True
        self._events.notify_all()

    async def create(self, spec: CampaignSpec, request_id: str, owner: str = "") -> CampaignRecord:
        """Check ``spec`` against targets and images, store it as ``owner``'s, start it.

        Raises:
            NotFoundError, InvalidArgumentError, TargetError: see check_spec.
            AlreadyExistsError: ``request_id`` belongs to another spec.
            QuotaExceededError: ``owner`` has as many campaigns open as it may, or used up the day's queries.
        """
        await check_spec(spec, self._store, self._batchers)
        record, is_new = await self._store.create_campaign(
            spec, request_id, owner=owner, limits=self._quotas.of(owner)
        )
        if is_new:
            self._launch(record.id)
        elif not same_request(record.spec, spec):
            raise AlreadyExistsError(f"request id {request_id!r} was used for another campaign")
        return record

    async def cancel(self, campaign_id: str) -> CampaignRecord:
        """End a campaign and all its attacks; one that has ended stays as it is."""
        async with self._turn(campaign_id):
            return await self._cancel(campaign_id)

    async def _cancel(self, campaign_id: str) -> CampaignRecord:
        record = await self._store.get_campaign(campaign_id)
        if record.state in ENDED:
            await self._ended(campaign_id)
            return record
        try:
            record = await self._store.change_campaign_state(
                campaign_id,
                CampaignState.CANCELLED,
                expected=UNFINISHED | {CampaignState.PAUSED},
            )
        except ConflictError:  # it ended just now
            return await self._store.get_campaign(campaign_id)
        await self._end_attacks(campaign_id)
        return record

    async def resume(self, campaign_id: str) -> CampaignRecord:
        """Continue a paused, waiting or cancelled campaign; a running one stays as it is.

        Waits until a cancellation that was asked for earlier has ended all attacks.

        Raises:
            ConflictError: it is still being cancelled by another orchestrator.
            FailedPreconditionError: it has succeeded.
            QuotaExceededError: its owner has too many others open, or used up the day's queries.
        """
        async with self._turn(campaign_id):
            for attempt in range(1, RESUME_ATTEMPTS + 1):
                await self._ended(campaign_id)
                try:
                    return await self._resume(campaign_id)
                except ConflictError:
                    # It changed state, or attacks that were cancelled still run in another orchestrator.
                    if attempt == RESUME_ATTEMPTS:
                        raise
                    await asyncio.sleep(self._timing.poll / 10)
                    if (await self._store.get_summary(campaign_id)).state is CampaignState.CANCELLED:
                        await self._end_attacks(campaign_id)
            raise AssertionError("unreachable")

    def _turn(self, campaign_id: str) -> asyncio.Lock:
        """Requests to cancel or resume a campaign are carried out in the order in which they came."""
        return self._turns.setdefault(campaign_id, asyncio.Lock())

    async def _resume(self, campaign_id: str) -> CampaignRecord:
        record = await self._store.get_campaign(campaign_id)
        if record.state in UNFINISHED:
            await self._quotas.check_day(self._store, record.owner)
            if self._waits.end(campaign_id):
                self._launch(campaign_id)
            return record
        if record.state is CampaignState.SUCCEEDED:
            raise FailedPreconditionError(f"campaign {campaign_id} has finished; there is nothing to resume")
        record = await self._store.change_campaign_state(
            campaign_id,
            CampaignState.RUNNING,
            expected={CampaignState.PAUSED, CampaignState.CANCELLED},
            limits=self._quotas.of(record.owner),
        )
        self._launch(campaign_id)
        return record

    def as_seen(self, record: Record) -> Record:
        """Return the record as clients should see it: with what the campaign waits for just now."""
        if record.state not in UNFINISHED:
            return record
        shown = self.shown(record.id)
        state = shown.state if shown.state is CampaignState.WAITING else record.state
        return replace(record, state=state, state_reason=shown.reason or record.state_reason)

    def shown(self, campaign_id: str) -> Shown:
        """Return what an unfinished campaign waits for."""
        if reason := self._waits.reason(campaign_id):
            return Shown(CampaignState.WAITING, reason)
        return Shown(CampaignState.RUNNING, self._batchers.waiting_for(self._targets.get(campaign_id, ())))

    def runs_here(self, campaign_id: str) -> bool:
        """Whether attacks of the campaign may run, or be ending, in this process."""
        return campaign_id in self._tasks or campaign_id in self._endings

    def watch(self, campaign_id: str, after_sequence: int) -> AsyncIterator[tuple[int, Item]]:
        """Follow a campaign to its end. See :func:`~.watching.watch`."""
        return watch(self._store, self._events, self, campaign_id, after_sequence, self._timing)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._timing.poll)
            try:
                await self._synchronise()
            except StoreError as error:
                log.warning("cannot look for campaigns: %s", error.message)

    async def _synchronise(self) -> None:
        """Start the store's unfinished campaigns that do not run here, end those cancelled elsewhere."""
        unfinished = await self._store.campaigns_in(UNFINISHED)
        for campaign_id in unfinished:
            if self._waits.may_run(campaign_id):
                self._launch(campaign_id)
        for campaign_id in self._tasks.keys() - set(unfinished):
            if (await self._store.get_summary(campaign_id)).state is CampaignState.CANCELLED:
                await self._end_attacks(campaign_id)
        self._metrics.count_campaigns(await self._store.count_campaigns(), waiting=len(self._waits))

    async def _end_attacks(self, campaign_id: str) -> None:
        """End a cancelled campaign's attacks and wait until all have ended; simultaneous calls share it."""
        self._waits.end(campaign_id)
        ending = self._endings.get(campaign_id)
        if ending is None:
            ending = asyncio.create_task(self._end(campaign_id), name=f"ending-{campaign_id}")
            self._endings[campaign_id] = ending
        # Shielded: a client that goes away must not leave a campaign half cancelled.
        await asyncio.shield(ending)

    async def _end(self, campaign_id: str) -> None:
        try:
            # It may be resumed by another orchestrator; then its attacks stay as they are.
            with contextlib.suppress(ConflictError):
                await self._executor.cancel_campaign(campaign_id, self._tasks.get(campaign_id))
        finally:
            del self._endings[campaign_id]
            self._events.notify(campaign_id)

    async def _ended(self, campaign_id: str) -> None:
        """Wait for a cancellation under way here."""
        if ending := self._endings.get(campaign_id):
            await asyncio.shield(ending)

    def _launch(self, campaign_id: str) -> None:
        if campaign_id in self._tasks or campaign_id in self._endings:
            return  # what is ending is launched by the next look at the store, if it was resumed
        with about(campaign_id):  # which the task inherits
            task = asyncio.create_task(self._run(campaign_id), name=f"campaign-{campaign_id}")
        self._tasks[campaign_id] = task

        def remove(_: asyncio.Task[None]) -> None:
            if self._tasks.get(campaign_id) is task:
                del self._tasks[campaign_id]
                self._targets.pop(campaign_id, None)
            self._events.notify(campaign_id)

        task.add_done_callback(remove)

    async def _run(self, campaign_id: str) -> None:
        try:
            with resources_named():
                await self._store.check()
                await self._begin(campaign_id)
                await self._executor.run_campaign(campaign_id)
                while not await self._store.finish_campaign(campaign_id):
                    # Other orchestrators run the remaining attacks, or died while they ran them.
                    await asyncio.sleep(self._timing.poll)
                    await self._executor.run_campaign(campaign_id)
        except ConflictError:
            log.info("campaign %s changed state meanwhile", campaign_id)
        except (StoreError, UnavailableError) as error:
            self._waits.begin(campaign_id, error)
        except (NotFoundError, TargetError) as error:
            log.error("campaign %s pauses: %s", campaign_id, error.message)
            await self._pause(campaign_id, error.message)
        except Exception:
            log.exception("campaign %s stopped unexpectedly", campaign_id)
            await self._pause(campaign_id, "internal error; see the orchestrator's log, then resume")

    async def _begin(self, campaign_id: str) -> None:
        """Check the quota and all targets: after a restart of everything, targets may start last.

        Raises:
            DayUsedUpError: the owner may send no more queries today.
            NotFoundError, TargetError: see check_targets.
        """
        record = await self._store.get_campaign(campaign_id)
        await self._quotas.check_day(self._store, record.owner)
        self._targets[campaign_id] = record.spec.targets
        await check_targets(record.spec, self._batchers, self._patience)
        with contextlib.suppress(ConflictError):  # it runs already, here or elsewhere
            await self._store.change_campaign_state(
                campaign_id,
                CampaignState.RUNNING,
                expected={CampaignState.PENDING, CampaignState.WAITING},
            )
        if self._waits.end(campaign_id):
            log.info("campaign %s continues", campaign_id)
        self._events.notify(campaign_id)

    async def _pause(self, campaign_id: str, reason: str) -> None:
        try:
            await self._store.change_campaign_state(
                campaign_id, CampaignState.PAUSED, expected=UNFINISHED, reason=reason
            )
        except ConflictError:
            log.info("campaign %s changed state meanwhile", campaign_id)
        except StoreError as error:
            self._waits.begin(campaign_id, error)
