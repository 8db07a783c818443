"""Campaigns' lives: checked and created, run in the background, cancelled, resumed, watched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from services.common.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from services.orchestrator.core.domain import CampaignState, Pixels
from services.orchestrator.core.spec import CampaignImage, CampaignSpec
from services.orchestrator.events import EventHub
from services.orchestrator.executors.local import LocalExecutor
from services.orchestrator.query.pool import BatcherPool
from services.orchestrator.runner import Progress
from services.orchestrator.store.base import AttackId, CampaignRecord, Event, Store
from services.orchestrator.targets.base import TargetInfo

log = logging.getLogger(__name__)

ENDED = frozenset({CampaignState.SUCCEEDED, CampaignState.CANCELLED})
UNFINISHED = frozenset({CampaignState.PENDING, CampaignState.RUNNING})
WATCH_POLL_SECONDS = 1.0
EVENTS_A_READ = 256


class CampaignManager:
    """Runs each unfinished campaign as one task of the event loop."""

    def __init__(
        self, store: Store, batchers: BatcherPool, executor: LocalExecutor, events: EventHub
    ) -> None:
        self._store = store
        self._batchers = batchers
        self._executor = executor
        self._events = events
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Take up every campaign that an earlier process left unfinished."""
        for campaign_id in await self._store.campaigns_in(UNFINISHED):
            self._launch(campaign_id)

    async def stop(self) -> None:
        """Checkpoint what is running and give it back to the store."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def create(self, spec: CampaignSpec, request_id: str) -> CampaignRecord:
        """Check ``spec`` against targets and pictures, store it, start it.

        Raises:
            NotFoundError: an unknown target or picture.
            InvalidArgumentError: a size, label or class does not fit a target.
            TargetError: a target cannot be described now.
            AlreadyExistsError: ``request_id`` belongs to another spec.
        """
        infos = [(await self._batchers.get(name)).info for name in spec.targets]
        await self._check_images(spec, infos)
        _check_goals(spec, infos)
        record, is_new = await self._store.create_campaign(spec, request_id)
        if is_new:
            self._launch(record.id)
        elif not _same_request(record.spec, spec):
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
        task = self._tasks.get(campaign_id)
        if task:
            await self._executor.cancel_campaign(campaign_id, task)
        self._events.notify(campaign_id)
        return record

    async def resume(self, campaign_id: str) -> CampaignRecord:
        """Take a paused or cancelled campaign up again; a running one stays as it is.

        Raises:
            FailedPreconditionError: it has succeeded.
        """
        record = await self._store.get_campaign(campaign_id)
        if record.state in UNFINISHED:
            return record
        if record.state is CampaignState.SUCCEEDED:
            raise FailedPreconditionError(f"campaign {campaign_id} has finished; there is nothing to resume")
        record = await self._store.change_campaign_state(
            campaign_id,
            CampaignState.RUNNING,
            expected={CampaignState.PAUSED, CampaignState.CANCELLED},
        )
        self._launch(campaign_id)
        return record

    async def watch(
        self, campaign_id: str, after_sequence: int
    ) -> AsyncIterator[tuple[int, Event | tuple[AttackId, Progress]]]:
        """Lasting events in order, progress in between, until the campaign has ended and all is told.

        Yields (sequence, event); progress repeats the last lasting event's sequence.
        """
        sequence = after_sequence
        await self._store.get_campaign(campaign_id)
        with self._events.watch(campaign_id) as watcher:
            while True:
                ended = await self._has_ended(campaign_id)
                while found := await self._store.events_after(campaign_id, sequence, EVENTS_A_READ):
                    for event in found:
                        sequence = event.sequence
                        yield sequence, event
                if ended:
                    return
                for item in watcher.take_progress().items():
                    yield sequence, item
                await watcher.wait(WATCH_POLL_SECONDS)

    async def _has_ended(self, campaign_id: str) -> bool:
        """In a final state, and no attack is still being put away."""
        record = await self._store.get_campaign(campaign_id)
        return record.state in ENDED and campaign_id not in self._tasks

    def _launch(self, campaign_id: str) -> None:
        task = asyncio.create_task(self._run(campaign_id), name=f"campaign-{campaign_id}")
        self._tasks[campaign_id] = task

        def forget(_: asyncio.Task[None]) -> None:
            if self._tasks.get(campaign_id) is task:
                del self._tasks[campaign_id]
            self._events.notify(campaign_id)

        task.add_done_callback(forget)

    async def _run(self, campaign_id: str) -> None:
        try:
            record = await self._store.get_campaign(campaign_id)
            if record.state is CampaignState.PENDING:
                await self._change(campaign_id, CampaignState.RUNNING, CampaignState.PENDING)
            await self._executor.run_campaign(campaign_id)
            await self._change(campaign_id, CampaignState.SUCCEEDED, CampaignState.RUNNING)
        except ConflictError:
            log.info("campaign %s changed state meanwhile", campaign_id)
        except Exception:
            log.exception("campaign %s stopped unexpectedly", campaign_id)
            await self._store.change_campaign_state(
                campaign_id,
                CampaignState.PAUSED,
                expected=UNFINISHED,
                reason="internal error; see the orchestrator's log, then resume",
            )

    async def _change(self, campaign_id: str, new: CampaignState, expected: CampaignState) -> None:
        await self._store.change_campaign_state(campaign_id, new, expected={expected})
        self._events.notify(campaign_id)

    async def _check_images(self, spec: CampaignSpec, infos: list[TargetInfo]) -> None:
        missing = await self._store.missing_images({image.digest for image in spec.images})
        if missing:
            raise NotFoundError(
                f"{len(missing)} pictures were not uploaded, {sorted(missing)[0]} among them",
                reason="IMAGE_NOT_FOUND",
            )
        for index, image in enumerate(spec.images):
            pixels = await self._store.get_image(image.digest)
            for info in infos:
                _check_image(f"images[{index}]", image, pixels, info)


def _check_image(field: str, image: CampaignImage, pixels: Pixels, info: TargetInfo) -> None:
    height, width, _ = pixels.shape
    if (width, height) != (info.width, info.height):
        raise InvalidArgumentError(
            field,
            f"{image.display_name or image.digest[:12]} is {width}x{height} pixels,"
            f" target {info.name} takes {info.width}x{info.height}",
        )
    if image.mask is not None and image.mask.shape != (height, width):
        raise InvalidArgumentError(
            f"{field}.mask",
            f"is {image.mask.shape[1]}x{image.mask.shape[0]} pixels, its picture {width}x{height}",
        )
    if image.label is not None and image.label >= info.classes:
        raise InvalidArgumentError(
            f"{field}.label", f"{image.label} is no class of {info.name} (0 to {info.classes - 1})"
        )


def _check_goals(spec: CampaignSpec, infos: list[TargetInfo]) -> None:
    for index, goal in enumerate(spec.goals):
        for info in infos:
            if goal.target_class is not None and goal.target_class >= info.classes:
                raise InvalidArgumentError(
                    f"goals[{index}].target_class",
                    f"{goal.target_class} is no class of {info.name} (0 to {info.classes - 1})",
                )


def _same_request(one: CampaignSpec, other: CampaignSpec) -> bool:
    """Equal specs; masks, which have no cheap equality, by their pixels."""

    def plain(spec: CampaignSpec) -> tuple[object, ...]:
        images = [
            (image.digest, image.label, None if image.mask is None else image.mask.tobytes())
            for image in spec.images
        ]
        return (
            images, spec.targets, spec.regions, spec.pixel_counts, spec.goals, spec.search,
            spec.budget_per_attack, spec.seed, spec.masks, spec.attack_misclassified,
        )  # fmt: skip

    return plain(one) == plain(other)
