"""A campaign is cancelled and resumed within moments: it ends as if nothing had happened, on every store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pixelprobe_services.common.values import CampaignState, Outcome
from pixelprobe_services.orchestrator.store.base import Store
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.opening import open_store
from tests.integration.offline import Offline, offline, spec, undisturbed, without_sent
from tests.postgres import shared_server

CANCELLED, SUCCEEDED = CampaignState.CANCELLED, CampaignState.SUCCEEDED
ROUNDS = 10


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'store.db'}"
    opened = await open_store(locate(url, None))
    yield opened
    await opened.close()


async def assert_undisturbed(running: Offline, campaign_id: str) -> None:
    await running.until(campaign_id, SUCCEEDED)
    found = await running.results(campaign_id)
    assert Outcome.CANCELLED not in {result.outcome for result in found if result}
    assert [without_sent(one) for one in found] == [without_sent(one) for one in await undisturbed()]


async def test_resumed_while_the_cancellation_is_under_way(store: Store) -> None:
    """As two clients do it, and one that does not wait for the answer: 1 to 30 ms apart."""
    async with offline(store, seconds_a_request=0.01) as running:
        for number in range(ROUNDS):
            campaign_id = await running.create()
            await running.some_answers(running.target.answered + 60)
            cancelling = asyncio.create_task(running.manager.cancel(campaign_id))
            await asyncio.sleep(0.001 + 0.029 * number / ROUNDS)
            await running.manager.resume(campaign_id)
            await cancelling
            await assert_undisturbed(running, campaign_id)


async def test_a_client_that_leaves_while_it_cancels_leaves_nothing_half_done(store: Store) -> None:
    chance = random.Random(3)
    async with offline(store, seconds_a_request=0.01) as running:
        for _ in range(ROUNDS):
            campaign_id = await running.create()
            await running.some_answers(running.target.answered + 60)
            cancelling = asyncio.create_task(running.manager.cancel(campaign_id))
            await asyncio.sleep(chance.uniform(0.0, 0.01))
            cancelling.cancel()
            await asyncio.gather(cancelling, return_exceptions=True)
            record = await running.manager.cancel(campaign_id)
            assert record.state is CANCELLED
            await running.until_all_ended(campaign_id)
            await running.manager.resume(campaign_id)
            await assert_undisturbed(running, campaign_id)


async def test_resumed_and_cancelled_many_times(store: Store) -> None:
    """Whatever came last holds: cancelled campaigns have no unfinished attack, resumed ones end right."""
    chance = random.Random(5)
    async with offline(store, seconds_a_request=0.005) as running:
        campaign_id = await running.create(spec())
        for _ in range(ROUNDS):
            await asyncio.sleep(chance.uniform(0.0, 0.02))
            if (await running.manager.cancel(campaign_id)).state is SUCCEEDED:
                break
            await running.manager.resume(campaign_id)
        await assert_undisturbed(running, campaign_id)


async def test_resumed_by_another_orchestrator() -> None:
    """Over one PostgreSQL database: one cancels, the other resumes at once."""
    location = locate(shared_server().new_database(), None)
    stores = [await open_store(location, lease_seconds=5.0) for _ in range(2)]
    async with (
        offline(stores[0], seconds_a_request=0.01) as one,
        offline(stores[1], seconds_a_request=0.01) as other,
    ):
        for _ in range(ROUNDS):
            campaign_id = await one.create()
            await one.some_answers(one.target.answered + 40)
            cancelling = asyncio.create_task(one.manager.cancel(campaign_id))
            await other.until(campaign_id, CANCELLED, SUCCEEDED)
            await other.manager.resume(campaign_id)
            await cancelling
            await assert_undisturbed(other, campaign_id)
    for store in stores:
        await store.close()
