"""Quotas in a whole orchestrator: refused at creation, paused in the middle, going on the next day."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pixelprobe_services.common.errors import QuotaExceededError
from pixelprobe_services.common.values import CampaignState
from pixelprobe_services.orchestrator.campaigns.quotas import Quotas
from pixelprobe_services.orchestrator.store.base import Store
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.server.caller import Caller
from tests.contract.stores import next_day
from tests.integration.offline import offline, spec, undisturbed, without_sent
from tests.unit.orchestrator.fakes import INFO

RUNNING, SUCCEEDED = CampaignState.RUNNING, CampaignState.SUCCEEDED
WAITING = CampaignState.WAITING
A_DAY = 300
ANN = Quotas([Caller("ann", max_running_campaigns=2, max_queries_per_day=A_DAY)])


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"
    opened = await open_store(locate(url, None))
    yield opened
    await opened.close()


async def test_a_campaign_pauses_when_the_day_is_used_up_and_goes_on_by_itself_the_next(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    expected = await undisturbed()
    needed = sum(result.ledger.sent for result in expected if result)
    assert needed > 2 * A_DAY
    async with offline(store, quotas=ANN) as running:
        campaign_id = await running.create(owner="ann")
        days = 1
        while (seen := await running.until(campaign_id, WAITING, SUCCEEDED)).state is WAITING:
            assert "its 300 queries of today (UTC) are used up" in seen.state_reason
            assert "tomorrow" in seen.state_reason
            used = await store.queries_today("ann")
            # the last request may go over it, and none after that
            assert A_DAY <= used < A_DAY + INFO.max_batch
            with pytest.raises(DayUsedUpError):
                await running.manager.resume(campaign_id)
            with pytest.raises(DayUsedUpError):
                await running.create(owner="ann")
            assert (await store.get_campaign(campaign_id)).state is RUNNING
            answered = running.target.answered
            if days == 1:
                with caplog.at_level(logging.WARNING):
                    assert await running.until(campaign_id, WAITING)
            await next_day(store)
            days += 1
            await running.until(campaign_id, RUNNING, SUCCEEDED)
            assert running.target.answered >= answered
        assert days >= 3
        found = await running.results(campaign_id)
        assert [without_sent(one) for one in found] == [without_sent(one) for one in expected]
        ledger = (await store.progress(campaign_id)).ledger
        assert ledger.sent == running.target.answered


async def test_other_clients_go_on_beside_one_who_has_used_up_the_day(store: Store) -> None:
    async with offline(store, quotas=ANN) as running:
        anns = await running.create(owner="ann")
        bobs = await running.create(spec(seed=3), owner="bob")
        await running.until(bobs, SUCCEEDED)
        await running.until(anns, WAITING)
        assert await store.queries_today("bob") == (await store.progress(bobs)).ledger.sent
        await running.manager.cancel(anns)
        assert (await running.seen(anns)).state is CampaignState.CANCELLED


async def test_only_so_many_campaigns_at_a_time(store: Store) -> None:
    limits = Quotas([Caller("ann", max_running_campaigns=1)])
    async with offline(store, seconds_a_request=0.02, quotas=limits) as running:
        first = await running.create(owner="ann")
        with pytest.raises(QuotaExceededError, match="may have 1 at a time"):
            await running.create(spec(seed=1), owner="ann")
        await running.create(spec(seed=2), owner="")
        await running.manager.cancel(first)
        second = await running.create(spec(seed=1), owner="ann")
        with pytest.raises(QuotaExceededError, match="may have 1 at a time"):
            await running.manager.resume(first)
        await running.until(second, SUCCEEDED)
        await running.manager.resume(first)
        await running.until(first, SUCCEEDED)


async def test_a_restart_remembers_the_day(store: Store) -> None:
    async with offline(store, quotas=ANN) as running:
        campaign_id = await running.create(owner="ann")
        await running.until(campaign_id, WAITING)
        used = await store.queries_today("ann")
    async with offline(store, quotas=ANN) as again:
        await again.until(campaign_id, WAITING)
        assert again.target.answered == 0
        assert await store.queries_today("ann") == used
    async with offline(store) as without_limits:
        await without_limits.until(campaign_id, SUCCEEDED)
