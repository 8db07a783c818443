"""What a campaign needs is out of reach for a while: it waits, and ends as if nothing had happened."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from pixelprobe_services.common.spec import CampaignImage, CampaignSpec, MaskSettings
from pixelprobe_services.common.values import CampaignState, MaskArray, Outcome, Pixels
from pixelprobe_services.orchestrator.attacks.masks import MadeMask, MaskSource, MaskUnavailableError
from pixelprobe_services.orchestrator.campaigns.watching import Shown
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.targets.base import (
    QueryBatch,
    RejectedError,
    Scores,
    TargetInfo,
    TargetUnavailableError,
)
from tests.integration.offline import MASK, QUICK, offline, spec, undisturbed, until, without_sent
from tests.unit.orchestrator.fakes import FakeTarget

SUCCEEDED, WAITING = CampaignState.SUCCEEDED, CampaignState.WAITING


class Fragile(FakeTarget):
    """Away while ``is_away``; ``says_ready`` as Triton does whose model's process was killed."""

    is_away = False
    says_ready = False

    async def check(self) -> TargetInfo:
        if self.is_away and not self.says_ready:
            raise TargetUnavailableError("is not ready")
        return await super().check()

    async def query(self, batch: QueryBatch) -> Scores:
        if self.is_away:
            self.batches.append(batch)
            raise TargetUnavailableError("Stub process is not healthy")
        return await super().query(batch)


@pytest.mark.parametrize("says_ready", [False, True])
async def test_a_target_that_goes_and_comes_back_changes_no_result(says_ready: bool) -> None:
    store, target = MemoryStore(), Fragile(seconds=0.01)
    target.says_ready = says_ready
    async with offline(store, target=target) as running:
        campaign_id = await running.create()
        await running.some_answers()
        target.is_away = True
        paused = await running.until(campaign_id, WAITING)
        assert ("not ready" if not says_ready else "not healthy") in paused.state_reason
        asked = len(target.batches)
        await asyncio.sleep(5 * QUICK.first_wait)  # longer than the first tries whether it is back
        assert says_ready or len(target.batches) == asked, "queries spent on a target that is not ready"
        target.is_away = False
        await running.until(campaign_id, SUCCEEDED)
        results = await running.results(campaign_id)
        progress = await store.progress(campaign_id)
    assert [without_sent(one) for one in results] == [without_sent(one) for one in await undisturbed()]
    assert progress.ledger.sent >= target.answered


async def test_patience_ends_in_errors_that_keep_what_was_found() -> None:
    target = Fragile(seconds=0.01)
    target.says_ready = True
    async with offline(MemoryStore(), target=target, patience_seconds=0) as running:
        campaign_id = await running.create()
        await running.some_answers()
        target.is_away = True
        await running.until(campaign_id, SUCCEEDED)
        results = await running.results(campaign_id)
    errors = [one for one in results if one is not None and one.outcome is Outcome.ERROR]
    assert errors
    assert all("not healthy (gave up after 2 attempts)" in one.reason for one in errors)
    assert any(one.clean_top for one in errors)


async def test_a_campaign_whose_only_target_is_not_ready_waits_without_end() -> None:
    target = Fragile(seconds=0.01)
    async with offline(MemoryStore(), target=target, patience_seconds=0) as running:
        campaign_id = await running.create()
        await running.some_answers()
        target.is_away = True
        for task in running.manager._tasks.values():
            task.cancel()  # as a restart of the orchestrator would
        assert (await running.until(campaign_id, WAITING)).state_reason == "is not ready"
        target.is_away = False
        await running.until(campaign_id, SUCCEEDED)
        results = await running.results(campaign_id)
    assert [without_sent(one) for one in results] == [without_sent(one) for one in await undisturbed()]


class Masks:
    """A segmentation service that is away at first."""

    is_away = True

    async def mask_for(self, image: Pixels, digest: str, settings: MaskSettings) -> MadeMask:
        if self.is_away:
            raise MaskUnavailableError("segmentation service: nobody home")
        return MadeMask(mask(), "")


def mask() -> MaskArray:
    return MASK.copy()


def without_masks() -> CampaignSpec:
    wanted = spec()
    return replace(wanted, images=tuple(CampaignImage(image.digest) for image in wanted.images))


async def test_masks_that_come_later_are_waited_for() -> None:
    masks = Masks()
    async with offline(MemoryStore(), masks=cast(MaskSource, masks)) as running:
        campaign_id = await running.create(without_masks())
        assert "nobody home" in (await running.until(campaign_id, WAITING)).state_reason
        masks.is_away = False
        await running.until(campaign_id, SUCCEEDED)
        results = await running.results(campaign_id)
    assert [without_sent(one) for one in results] == [without_sent(one) for one in await undisturbed()]


async def test_masks_that_never_come_end_in_errors() -> None:
    async with offline(MemoryStore(), masks=cast(MaskSource, Masks()), patience_seconds=0) as running:
        campaign_id = await running.create(without_masks())
        await running.until(campaign_id, SUCCEEDED)
        results = await running.results(campaign_id)
    assert {one.outcome for one in results if one} == {Outcome.ERROR}


class Throttled(FakeTarget):
    """Turns requests away, and says for how long, while ``is_busy``."""

    is_busy = True

    async def query(self, batch: QueryBatch) -> Scores:
        if self.is_busy:
            raise RejectedError("asks to wait 0.05 s (429)", retry_after_seconds=0.05)
        return await super().query(batch)


async def test_what_a_running_campaign_waits_for_is_shown() -> None:
    """In the campaign, and to watchers, as it comes and as it goes."""
    target, shown = Throttled(), []
    patient = replace(QUICK, target_attempts=1000)
    async with offline(MemoryStore(), target=target, timing=patient) as running:
        campaign_id = await running.create()

        async def watch() -> None:
            async for _, item in running.manager.watch(campaign_id, 0):
                if isinstance(item, Shown):
                    shown.append(item)

        watching = asyncio.create_task(watch())
        reason = f"target {target.name}: asks to wait 0.05 s (429)"
        seen = await until(lambda: running.seen(campaign_id), lambda record: bool(record.state_reason))
        assert (seen.state, seen.state_reason) == (CampaignState.RUNNING, reason)

        async def told() -> int:
            return len(shown)

        await until(told, lambda count: count == 1)
        target.is_busy = False
        await running.until(campaign_id, SUCCEEDED)
        await watching
        assert (await running.seen(campaign_id)).state_reason == ""
    assert shown[0] == Shown(CampaignState.RUNNING, reason)
    assert all(one.state is CampaignState.RUNNING for one in shown)
