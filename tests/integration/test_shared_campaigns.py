"""Two orchestrators over one PostgreSQL database: requests to one take effect in both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import CampaignState, Outcome
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.sql.store import SqlStore
from tests.integration.offline import QUICK, Offline, offline, spec, undisturbed, without_sent
from tests.postgres import shared_server

CANCELLED, RUNNING, SUCCEEDED = CampaignState.CANCELLED, CampaignState.RUNNING, CampaignState.SUCCEEDED
LEASE_SECONDS = 1.5


def long_spec() -> CampaignSpec:
    """More attacks than one orchestrator runs at once."""
    return spec(pixel_counts=(1, 2, 3))


@pytest.fixture
async def both() -> AsyncIterator[tuple[Offline, Offline]]:
    location = locate(shared_server().new_database(), None)
    stores = [await SqlStore.open(location, lease_seconds=LEASE_SECONDS) for _ in range(2)]
    async with (
        offline(stores[0], seconds_a_request=0.05) as one,
        offline(stores[1], seconds_a_request=0.05) as other,
    ):
        yield one, other
    for store in stores:
        await store.close()


async def check_end(running: Offline, campaign_id: str) -> None:
    await running.until(campaign_id, SUCCEEDED)
    results = await running.results(campaign_id)
    expected = await undisturbed(long_spec())
    assert [without_sent(one) for one in results] == [without_sent(one) for one in expected]


async def test_both_work_on_a_campaign_and_nothing_is_asked_twice(both: tuple[Offline, Offline]) -> None:
    one, other = both
    campaign_id = await one.create(long_spec())
    await check_end(other, campaign_id)
    assert one.target.answered > 0
    assert other.target.answered > 0
    expected = await undisturbed(long_spec())
    sent = (await one.store.progress(campaign_id)).ledger.sent
    assert sent == one.target.answered + other.target.answered
    assert sent == sum(result.ledger.sent for result in expected if result)


async def test_what_one_cancels_the_other_stops_and_either_resumes(both: tuple[Offline, Offline]) -> None:
    one, other = both
    campaign_id = await one.create(long_spec())
    await one.some_answers(60)
    await other.some_answers(60)
    await other.manager.cancel(campaign_id)
    progress = await one.store.progress(campaign_id)
    assert progress.attacks_finished == progress.attacks_total
    assert any(result and result.outcome is Outcome.CANCELLED for result in await one.results(campaign_id))
    await asyncio.sleep(10 * QUICK.poll)
    answered = one.target.answered, other.target.answered
    await asyncio.sleep(0.5)
    assert (one.target.answered, other.target.answered) == answered
    assert not one.manager._tasks
    await one.manager.resume(campaign_id)
    await check_end(other, campaign_id)


async def test_the_work_of_the_dead_is_taken_over(both: tuple[Offline, Offline]) -> None:
    one, other = both
    campaign_id = await one.create(long_spec())
    await one.some_answers(60)
    await other.some_answers(60)
    freeze(one)
    await check_end(other, campaign_id)
    events = await other.store.events_after(campaign_id, 0, 1000)
    finished = [event.attack_number for event in events if event.attack_number is not None]
    assert sorted(finished) == list(range(long_spec().attack_count))


def freeze(running: Offline) -> None:
    """Stop it where it is: no more queries, no more heartbeats, no farewell."""
    store = running.store
    assert isinstance(store, SqlStore)
    assert store._heartbeat
    store._heartbeat.cancel()
    assert running.manager._polling
    running.manager._polling.cancel()

    async def hang(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    running.target.query = hang  # type: ignore[assignment,method-assign]
