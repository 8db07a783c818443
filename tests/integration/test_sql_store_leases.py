"""Several orchestrators on one PostgreSQL database: who may run what, by the database's clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from pixelprobe_services.common.errors import ConflictError
from pixelprobe_services.common.values import AttackState, CampaignState
from pixelprobe_services.orchestrator.store.base import AttackRecord, Checkpoint, QueryCount, Store
from pixelprobe_services.orchestrator.store.errors import LeaseLostError
from pixelprobe_services.orchestrator.store.location import StoreLocation, locate
from pixelprobe_services.orchestrator.store.sql.store import SqlStore
from tests.contract.stores import RESULT, SPEC, claim, create, run
from tests.postgres import shared_server

LEASE_SECONDS = 1.5


@pytest.fixture
def location() -> StoreLocation:
    return locate(shared_server().new_database(), None)


@pytest.fixture
async def stores(location: StoreLocation) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    one = await SqlStore.open(location, lease_seconds=LEASE_SECONDS)
    other = await SqlStore.open(location, lease_seconds=LEASE_SECONDS)
    yield one, other
    await one.close()
    await other.close()


def stop_heartbeat(store: SqlStore) -> None:
    """What a frozen process looks like to the others."""
    assert store._heartbeat
    store._heartbeat.cancel()


async def wait_and_claim(store: Store, campaign_id: str) -> AttackRecord:
    give_up = time.monotonic() + 4 * LEASE_SECONDS
    while time.monotonic() < give_up:
        if record := await store.claim_attack(campaign_id):
            return record
        await asyncio.sleep(0.05)
    raise AssertionError("the lease of a silent orchestrator does not end")


async def claim_all(store: Store, campaign_id: str) -> list[int]:
    numbers = []
    while record := await store.claim_attack(campaign_id):
        numbers.append(record.id.number)
    return numbers


async def test_each_attack_is_claimed_by_one(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    for _ in range(5):
        record = await create(one)
        mine, theirs = await asyncio.gather(claim_all(one, record.id), claim_all(other, record.id))
        assert sorted(mine + theirs) == list(range(SPEC.attack_count))


async def test_the_living_keep_their_attacks(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    record = await create(one)
    await claim_all(one, record.id)
    give_up = time.monotonic() + 2 * LEASE_SECONDS
    while time.monotonic() < give_up:
        assert await other.claim_attack(record.id) is None
        assert await one.claim_attack(record.id) is None
        await asyncio.sleep(0.1)


async def test_a_silent_one_loses_its_attacks_and_is_told(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    record = await create(one)
    await run(one, record.id)
    lost = await claim(one, record.id)
    await one.save_checkpoint(lost.id, Checkpoint(b"here"))
    await one.reserve_queries([QueryCount(lost.id, 3)])
    await claim_all(other, record.id)
    assert await other.claim_attack(record.id) is None
    stop_heartbeat(one)
    taken = await wait_and_claim(other, record.id)
    assert taken.id == lost.id
    assert await other.load_checkpoint(taken.id) == Checkpoint(b"here")

    # it wakes up: alive again, and still not the owner
    await one.check()
    with pytest.raises(LeaseLostError):
        await one.reserve_queries([QueryCount(lost.id, 100)])
    with pytest.raises(LeaseLostError):
        await one.save_checkpoint(lost.id, Checkpoint(b"elsewhere"))
    with pytest.raises(LeaseLostError):
        await one.finish_attack(lost.id, RESULT, None)
    assert await one.claim_attack(record.id) is None
    assert (await other.ledger(lost.id)).sent == 3
    assert (await other.get_attack(lost.id)).state is AttackState.RUNNING
    await other.finish_attack(taken.id, RESULT, None)
    events = await other.events_after(record.id, 0, 100)
    assert [event.attack_number for event in events if event.attack_number is not None] == [lost.id.number]


async def test_an_old_claim_is_not_revived_by_a_new_one(stores: tuple[SqlStore, SqlStore]) -> None:
    """The attack came back to the one that lost it: what is left of its first run must not write."""
    one, other = stores
    record = await create(one)
    first = await claim(one, record.id)
    await claim_all(other, record.id)
    old_lease = one._held[first.id]
    stop_heartbeat(one)
    taken = await wait_and_claim(other, record.id)
    await other.release_attack(taken.id)
    with pytest.raises(LeaseLostError):
        await one.reserve_queries([QueryCount(first.id, 1)])
    again = await claim(one, record.id)
    assert again.id == first.id
    one._held[first.id] = old_lease
    with pytest.raises(LeaseLostError):
        await one.finish_attack(first.id, RESULT, None)


async def test_who_leaves_tidily_leaves_its_attacks_at_once(
    stores: tuple[SqlStore, SqlStore], location: StoreLocation
) -> None:
    third = await SqlStore.open(location, lease_seconds=3600)
    record = await create(third)
    numbers = await claim_all(third, record.id)
    assert await stores[0].claim_attack(record.id) is None
    await third.close()
    assert await claim_all(stores[0], record.id) == numbers


async def test_claims_whose_answer_was_lost_are_found_again(stores: tuple[SqlStore, SqlStore]) -> None:
    """The connection broke after the commit: the attack runs under our name, and nobody runs it."""
    one, other = stores
    record = await create(one)
    numbers = await claim_all(one, record.id)
    one._held.pop(next(lease for lease in one._held if lease.number == 3))
    assert await other.claim_attack(record.id) is None
    assert (await claim(one, record.id)).id.number == 3
    assert await one.claim_attack(record.id) is None
    assert len(one._held) == len(numbers)


async def test_a_claim_cancelled_midway_is_found_again(stores: tuple[SqlStore, SqlStore]) -> None:
    one, _ = stores
    record = await create(one)
    for _ in range(20):
        claiming = asyncio.create_task(one.claim_attack(record.id))
        await asyncio.sleep(0.002)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
    found: set[int] = {attack.number for attack in one._held}
    async with asyncio.timeout(10):
        while len(found) < SPEC.attack_count:
            found |= set(await claim_all(one, record.id))
    assert found == set(range(SPEC.attack_count))


async def test_both_see_one_request_id_as_one_campaign(stores: tuple[SqlStore, SqlStore]) -> None:
    for request in range(10):
        made = await asyncio.gather(
            *(store.create_campaign(SPEC, f"request-{request}") for store in (*stores, *stores))
        )
        assert len({record.id for record, _ in made}) == 1
        assert [is_new for _, is_new in made].count(True) == 1


async def test_the_last_attack_ends_the_campaign_whoever_ran_it(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    for _ in range(5):
        record = await create(one)
        await run(one, record.id)

        async def work(store: SqlStore, campaign_id: str) -> bool:
            while attack := await store.claim_attack(campaign_id):
                await store.finish_attack(attack.id, RESULT, None)
            try:
                return await store.finish_campaign(campaign_id)
            except ConflictError:  # the other one did, just before
                return False

        ends = await asyncio.gather(work(one, record.id), work(other, record.id))
        assert sorted(ends) == [False, True]
        assert (await one.get_campaign(record.id)).state is CampaignState.SUCCEEDED
        events = await one.events_after(record.id, 0, 100)
        assert [event.sequence for event in events] == list(range(1, SPEC.attack_count + 4))


async def test_cancelling_takes_attacks_away_from_others(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    record = await create(one)
    await run(one, record.id)
    running = await claim(one, record.id)
    await other.change_campaign_state(record.id, CampaignState.CANCELLED, expected={CampaignState.RUNNING})
    ended = asyncio.gather(other.cancel_attacks(record.id), *(_reserve(one, running) for _ in range(20)))
    assert (await ended)[0] == 1
    with pytest.raises(LeaseLostError):
        await one.reserve_queries([QueryCount(running.id, 1)])


async def _reserve(store: SqlStore, attack: AttackRecord) -> bool:
    try:
        await store.reserve_queries([QueryCount(attack.id, 1)])
    except LeaseLostError:
        return False
    return True
