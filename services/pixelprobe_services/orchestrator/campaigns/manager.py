"""Campaigns' lives: checked and created, run in the background, cancelled, resumed, watched."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from pixelprobe_services.common.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    NotFoundError,
    ServiceError,
    UnavailableError,
)
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import CampaignState
from pixelprobe_services.orchestrator.attacks.run import Progress
from pixelprobe_services.orchestrator.campaigns.admission import (
    check_goals,
    check_images,
    check_texts,
    same_request,
)
from pixelprobe_services.orchestrator.campaigns.events import EventHub
from pixelprobe_services.orchestrator.campaigns.executor import LocalExecutor
from pixelprobe_services.orchestrator.campaigns.quotas import Quotas
from pixelprobe_services.orchestrator.campaigns.waiting import Patience, Wait
from pixelprobe_services.orchestrator.core.search.factory import check_search
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.pool import BatcherPool
from pixelprobe_services.orchestrator.store.base import AttackId, CampaignRecord, Event, Store
from pixelprobe_services.orchestrator.store.errors import StoreError
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.targets.base import TargetError, TargetUnavailableError
from pixelprobe_services.orchestrator.timing import Timing
from pixelprobe_services.server.logs import about

log = logging.getLogger(__name__)

ENDED = frozenset({CampaignState.SUCCEEDED, CampaignState.CANCELLED})
UNFINISHED = frozenset({CampaignState.PENDING, CampaignState.RUNNING})
EVENTS_A_READ = 256


class CampaignManager:
    """Runs each unfinished campaign as one task of the event loop, whoever created it.

    While the store cannot do its work, a target or the segmentation service does not answer, or its owner has
    used up the day's queries, a campaign is shown as PAUSED with the reason, although the store has it as
    RUNNING: it goes on by itself, or at once when it is resumed. Once patience with one of several targets is
    used up, that one's attacks end in an error and the others go on; a campaign of whose targets none answers
    waits for as long as it takes.

    Attributes:
        read_once: for those within :meth:`watch`: a read that all of a campaign's watchers make, made once.
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
        self._ending: set[str] = set()
        self._stalls: dict[str, Wait] = {}
        self._polling: asyncio.Task[None] | None = None
        self._metrics = metrics or OrchestratorMetrics()
        self._metrics.campaigns_stalled.set_function(lambda: len(self._stalls))
        self._stopping = False

    async def start(self) -> None:
        """Take up every campaign that an earlier process left unfinished, and go on looking for more."""
        for campaign_id in await self._store.campaigns_in({CampaignState.CANCELLED}):
            await self._store.cancel_attacks(campaign_id)  # of whoever died while cancelling
        await self._look_around()
        self._polling = asyncio.create_task(self._poll(), name="campaigns-poll")

    async def stop(self) -> None:
        """Checkpoint what is running, give it back to the store, and send the watchers away."""
        tasks = list(self._tasks.values())
        if self._polling:
            tasks.append(self._polling)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._stopping = True
        self._events.notify_all()

    async def create(self, spec: CampaignSpec, request_id: str, owner: str = "") -> CampaignRecord:
        """Check ``spec`` against targets and images, store it as ``owner``'s, start it.

        Raises:
            NotFoundError: an unknown target or image.
            InvalidArgumentError: a size, label or class does not fit a target.
            TargetError: a target cannot be described now.
            AlreadyExistsError: ``request_id`` belongs to another spec.
            QuotaExceededError: ``owner`` has as many campaigns open as it may, or used up the day's queries.
        """
        check_texts(spec)
        infos = [(await self._batchers.get(name)).info for name in spec.targets]
        await check_images(self._store, spec, infos)
        check_goals(spec, infos)
        check_search(spec.search, spec.pixel_counts, labels_only=False)
        record, is_new = await self._store.create_campaign(
            spec, request_id, owner=owner, limits=self._quotas.of(owner)
        )
        if is_new:
            self._launch(record.id)
        elif not same_request(record.spec, spec):
            raise AlreadyExistsError(f"request id {request_id!r} was used for another campaign")
        return record

    async def cancel(self, campaign_id: str) -> CampaignRecord:
        """End a campaign; one that has ended stays as it is."""
        record = await self._store.get_campaign(campaign_id)
        if record.state in ENDED:
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
        """Take a paused or cancelled campaign up again; a running one stays as it is.

        Raises:
            FailedPreconditionError: it has succeeded.
            QuotaExceededError: its owner has too many others open, or used up the day's queries.
        """
        record = await self._store.get_campaign(campaign_id)
        if record.state in UNFINISHED:
            await self._quotas.check_day(self._store, record.owner)
            if self._stalls.pop(campaign_id, None):
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

    def waits(self, record: CampaignRecord) -> bool:
        """Whether it goes on by itself once what is out of reach is to be had again."""
        return record.id in self._stalls and record.state in UNFINISHED

    def as_seen(self, record: CampaignRecord) -> CampaignRecord:
        """The record as clients should see it: paused while it waits for what is out of reach."""
        if not self.waits(record):
            return record
        reason = self._stalls[record.id].reason
        return replace(record, state=CampaignState.PAUSED, state_reason=reason)

    async def watch(
        self, campaign_id: str, after_sequence: int
    ) -> AsyncIterator[tuple[int, Event | tuple[AttackId, Progress]]]:
        """Lasting events in order, progress in between, until the campaign has ended and all is told.

        Yields (sequence, event); progress repeats the last lasting event's sequence.

        Raises:
            UnavailableError: this orchestrator stops; watch again after the last sequence seen.
        """
        sequence = after_sequence
        stalled = False
        with self._events.watch(campaign_id) as watcher:
            # The first look is the watcher's own: what was done before it came, it must see.
            ended, found = await self._look(campaign_id, sequence)
            while True:
                for event in found:
                    sequence = event.sequence
                    yield sequence, event
                if len(found) < EVENTS_A_READ:
                    if ended:
                        return
                    if stalled is not (campaign_id in self._stalls):
                        stalled = not stalled
                        state = CampaignState.PAUSED if stalled else CampaignState.RUNNING
                        yield sequence, Event(sequence, campaign_state=state)
                    for item in watcher.take_progress().items():
                        yield sequence, item
                    if self._stopping:
                        raise UnavailableError("the orchestrator is shutting down", reason="SHUTTING_DOWN")
                    await watcher.wait(self._timing.watch_poll)
                ended, found = await self.read_once(
                    campaign_id, sequence, partial(self._look, campaign_id, sequence)
                )

    async def _look(self, campaign_id: str, sequence: int) -> tuple[bool, list[Event]]:
        """Whether the campaign has ended, and the first events after ``sequence``.

        Ended: in a final state, and no attack is still being put away. It is read before the events, so that
        none can come after those.
        """
        record = await self._store.get_campaign(campaign_id)
        ended = record.state in ENDED and campaign_id not in self._tasks
        return ended, await self._store.events_after(campaign_id, sequence, EVENTS_A_READ)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._timing.poll)
            try:
                await self._look_around()
            except StoreError as error:
                log.warning("cannot look for campaigns: %s", error.message)

    async def _look_around(self) -> None:
        """Start what nobody here runs yet, end what was cancelled elsewhere."""
        unfinished = await self._store.campaigns_in(UNFINISHED)
        for campaign_id in unfinished:
            stall = self._stalls.get(campaign_id)
            if stall is None or stall.is_over:
                self._launch(campaign_id)
        for campaign_id in self._tasks.keys() - set(unfinished):
            if (await self._store.get_campaign(campaign_id)).state is CampaignState.CANCELLED:
                await self._end_attacks(campaign_id)
        self._metrics.count_campaigns(await self._store.count_campaigns())

    async def _end_attacks(self, campaign_id: str) -> None:
        """Finish a cancelled campaign's attacks."""
        self._stalls.pop(campaign_id, None)
        if campaign_id not in self._ending:
            self._ending.add(campaign_id)
            try:
                await self._executor.cancel_campaign(campaign_id, self._tasks.get(campaign_id))
            finally:
                self._ending.discard(campaign_id)
        self._events.notify(campaign_id)

    def _launch(self, campaign_id: str) -> None:
        if campaign_id in self._tasks:
            return
        with about(campaign_id):  # which the task takes along
            task = asyncio.create_task(self._run(campaign_id), name=f"campaign-{campaign_id}")
        self._tasks[campaign_id] = task

        def forget(_: asyncio.Task[None]) -> None:
            if self._tasks.get(campaign_id) is task:
                del self._tasks[campaign_id]
            self._events.notify(campaign_id)

        task.add_done_callback(forget)

    async def _run(self, campaign_id: str) -> None:
        try:
            await self._store.check()
            await self._begin(campaign_id)
            await self._executor.run_campaign(campaign_id)
            while not await self._store.finish_campaign(campaign_id):
                await asyncio.sleep(self._timing.poll)  # others run what is left, or died running it
                await self._executor.run_campaign(campaign_id)
        except ConflictError:
            log.info("campaign %s changed state meanwhile", campaign_id)
        except (StoreError, UnavailableError) as error:
            self._stall(campaign_id, error)
        except (NotFoundError, TargetError) as error:
            log.error("campaign %s pauses: %s", campaign_id, error.message)
            await self._pause(campaign_id, error.message)
        except Exception:
            log.exception("campaign %s stopped unexpectedly", campaign_id)
            await self._pause(campaign_id, "internal error; see the orchestrator's log, then resume")

    async def _begin(self, campaign_id: str) -> None:
        """Make sure of the quota and all targets: after a restart of everything those may be up later.

        Raises:
            DayUsedUpError: the owner may send no more queries today.
            NotFoundError, TargetError: a target is gone, or is not what it was.
            TargetUnavailableError: it cannot be reached now, and is worth waiting for.
        """
        record = await self._store.get_campaign(campaign_id)
        await self._quotas.check_day(self._store, record.owner)
        targets = record.spec.targets
        away: dict[str, TargetUnavailableError] = {}
        for name in targets:
            try:
                await self._batchers.check(name)
            except TargetUnavailableError as error:
                away[name] = error
        waiting = [error for name, error in away.items() if self._patience.is_left(name)]
        if waiting or len(away) == len(targets):
            raise (waiting or list(away.values()))[0]
        with contextlib.suppress(ConflictError):  # not pending: it goes on, here or elsewhere
            await self._store.change_campaign_state(
                campaign_id, CampaignState.RUNNING, expected={CampaignState.PENDING}
            )
        if self._stalls.pop(campaign_id, None):
            log.info("campaign %s goes on", campaign_id)
        self._events.notify(campaign_id)

    def _stall(self, campaign_id: str, error: ServiceError) -> None:
        before = self._stalls.get(campaign_id)
        stall = self._stalls[campaign_id] = Wait.after(error, before, self._timing)
        again = before is not None and before.reason == stall.reason and isinstance(error, DayUsedUpError)
        if not again:  # of a quota it is said once, not all day long
            log.error(
                "campaign %s pauses: %s; trying again in %.0f s", campaign_id, stall.reason, stall.pause
            )

    async def _pause(self, campaign_id: str, reason: str) -> None:
        try:
            await self._store.change_campaign_state(
                campaign_id, CampaignState.PAUSED, expected=UNFINISHED, reason=reason
            )
        except ConflictError:
            log.info("campaign %s changed state meanwhile", campaign_id)
        except StoreError as error:
            self._stall(campaign_id, error)
