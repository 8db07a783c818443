"""What ``store/base.py`` promises of attacks, leases, checkpoints and the ledger, for every store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from pixelprobe_services.common.errors import ConflictError
from pixelprobe_services.common.values import (
    AttackResult,
    AttackState,
    CampaignState,
    Fate,
    Ledger,
    Outcome,
)
from pixelprobe_services.orchestrator.store.base import AttackId, Checkpoint, QueryCount, Store
from pixelprobe_services.orchestrator.store.errors import LeaseLostError
from tests.contract.stores import IMAGE, RESULT, SPEC, claim, create, run


async def test_attacks_are_claimed_in_order_and_once(store: Store) -> None:
    record = await create(store)
    claimed = await asyncio.gather(*(store.claim_attack(record.id) for _ in range(SPEC.attack_count + 3)))
    numbers = [attack.id.number for attack in claimed if attack]
    assert sorted(numbers) == list(range(SPEC.attack_count))
    assert await store.claim_attack(record.id) is None


async def test_a_released_attack_is_first_again(store: Store) -> None:
    record = await create(store)
    first, second = await claim(store, record.id), await claim(store, record.id)
    await store.release_attack(first.id)
    assert (await claim(store, record.id)).id == first.id
    await store.release_attack(second.id)
    with pytest.raises(ConflictError):
        await store.release_attack(second.id)


async def test_results(store: Store) -> None:
    record = await create(store)
    attack = await claim(store, record.id)
    mask = IMAGE[..., 1] > 12
    await store.finish_attack(attack.id, RESULT, mask)
    found = await store.get_attack(attack.id)
    assert found.state is AttackState.FINISHED
    assert found.result == RESULT
    assert found.mask is not None
    np.testing.assert_array_equal(found.mask, mask)
    assert found.end_time is not None
    with pytest.raises(ConflictError):
        await store.finish_attack(attack.id, RESULT, None)
    await claim(store, record.id)
    third = await claim(store, record.id)
    await store.finish_attack(third.id, RESULT, None)
    finished = await store.list_attacks(record.id, start=0, limit=9, finished_only=True)
    assert [one.id.number for one in finished] == [0, 2]
    later = await store.list_attacks(record.id, start=1, limit=9, finished_only=True)
    assert [one.id.number for one in later] == [2]


async def test_only_a_running_attack_can_finish(store: Store) -> None:
    record = await create(store)
    with pytest.raises(ConflictError):
        await store.finish_attack(AttackId(record.id, 0), RESULT, None)


async def test_the_ledger_counts_reservations(store: Store) -> None:
    record = await create(store)
    one, two = await claim(store, record.id), await claim(store, record.id)
    await store.reserve_queries([QueryCount(one.id, 40), QueryCount(two.id, 2)])
    await store.settle_queries([QueryCount(one.id, 40)])
    await store.reserve_queries([QueryCount(one.id, 1)])
    assert (await store.ledger(one.id)).sent == 41
    assert (await store.ledger(two.id)).sent == 2
    assert (await store.progress(record.id)).ledger.sent == 43


async def test_the_ledger_holds_what_became_of_queries(store: Store) -> None:
    record = await create(store)
    one, two = await claim(store, record.id), await claim(store, record.id)
    await store.reserve_queries([QueryCount(one.id, 40), QueryCount(two.id, 5)])
    await store.settle_queries([QueryCount(one.id, 40)], Fate.TIMED_OUT)
    await store.settle_queries([QueryCount(two.id, 5)], Fate.REJECTED)
    await store.reserve_queries([QueryCount(one.id, 20, is_retry=True), QueryCount(two.id, 5, is_retry=True)])
    await store.settle_queries([QueryCount(one.id, 20), QueryCount(two.id, 3)], Fate.ANSWERED)
    await store.settle_queries([QueryCount(two.id, 2)], Fate.REFUSED)
    ones = Ledger(sent=60, answered=20, timed_out=40, retries=20)
    twos = Ledger(sent=5, answered=3, rejected=5, retries=5)
    assert (await store.ledger(one.id), await store.ledger(two.id)) == (ones, twos)
    await store.reserve_queries([QueryCount(one.id, 1)])  # which also writes what was settled
    ones = replace(ones, sent=61)
    assert await store.ledger(one.id) == ones
    await store.finish_attack(two.id, AttackResult(Outcome.ERROR, ledger=twos), None)
    assert (await store.progress(record.id)).ledger == ones + twos
    found = (await store.get_attack(two.id)).result
    assert found is not None
    assert found.ledger == twos


async def test_checkpoints_append_what_was_scored(store: Store) -> None:
    record = await create(store)
    attack = await claim(store, record.id)
    assert await store.load_checkpoint(attack.id) is None
    await store.save_checkpoint(attack.id, Checkpoint(b"one", (b"a", b"b")))
    await store.save_checkpoint(attack.id, Checkpoint(b"two", (b"c",)))
    assert await store.load_checkpoint(attack.id) == Checkpoint(b"two", (b"a", b"b", b"c"))
    await store.finish_attack(attack.id, RESULT, None)
    assert await store.load_checkpoint(attack.id) is None


async def test_cancelling_ends_what_runs_and_counts_the_rest_as_cancelled(store: Store) -> None:
    record = await create(store)
    await run(store, record.id)
    done, cut = await claim(store, record.id), await claim(store, record.id)
    await store.finish_attack(done.id, RESULT, None)
    await store.reserve_queries([QueryCount(cut.id, 7)])
    await store.save_checkpoint(cut.id, Checkpoint(b"here"))
    await store.change_campaign_state(record.id, CampaignState.CANCELLED, expected={CampaignState.RUNNING})
    progress = await store.progress(record.id)
    assert (progress.attacks_finished, progress.attacks_cancelled) == (15, 14)  # one still runs
    assert await store.cancel_attacks(record.id) == 1
    assert await store.cancel_attacks(record.id) == 0
    progress = await store.progress(record.id)
    assert (progress.attacks_finished, progress.attacks_cancelled) == (SPEC.attack_count, 15)
    listed = await store.list_attacks(record.id, start=0, limit=100, finished_only=True)
    assert [one.id.number for one in listed] == list(range(SPEC.attack_count))
    assert [one.result.outcome for one in listed if one.result] == [Outcome.SUCCESS] + 15 * [
        Outcome.CANCELLED
    ]
    assert all(one.end_time for one in listed)
    page = await store.list_attacks(record.id, start=5, limit=3, finished_only=True)
    assert [one.id.number for one in page] == [5, 6, 7]
    found = await store.get_attack(cut.id)
    assert found.result == AttackResult(Outcome.CANCELLED, ledger=Ledger(7, answered=0))
    events = await store.events_after(record.id, 0, 100)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    finished = [event.attack_number for event in events if event.attack_number is not None]
    assert finished == [done.id.number, cut.id.number]
    # its holder learns of it before another query is sent, and can write no more
    with pytest.raises(LeaseLostError):
        await store.reserve_queries([QueryCount(cut.id, 1)])
    with pytest.raises(LeaseLostError):
        await store.finish_attack(cut.id, RESULT, None)
    assert (await store.ledger(cut.id)).sent == 7
    assert await store.load_checkpoint(cut.id) == Checkpoint(b"here")


async def test_only_who_runs_an_attack_may_write(store: Store) -> None:
    record = await create(store)
    held, given_back = await claim(store, record.id), await claim(store, record.id)
    await store.save_checkpoint(given_back.id, Checkpoint(b"here"))
    await store.release_attack(given_back.id)
    for write in (
        store.finish_attack(given_back.id, RESULT, None),
        store.save_checkpoint(given_back.id, Checkpoint(b"there")),
        store.drop_checkpoint(given_back.id),
        store.release_attack(given_back.id),
    ):
        with pytest.raises(LeaseLostError) as lost:
            await write
        assert lost.value.attacks == {given_back.id}
    with pytest.raises(LeaseLostError) as lost:
        await store.reserve_queries([QueryCount(held.id, 4), QueryCount(given_back.id, 5)])
    assert lost.value.attacks == {given_back.id}
    assert (await store.ledger(held.id)).sent == 0
    assert await store.load_checkpoint(given_back.id) == Checkpoint(b"here")


async def test_a_dropped_checkpoint_is_gone(store: Store) -> None:
    record = await create(store)
    attack = await claim(store, record.id)
    await store.save_checkpoint(attack.id, Checkpoint(b"one", (b"a",)))
    await store.drop_checkpoint(attack.id)
    assert await store.load_checkpoint(attack.id) is None
    await store.save_checkpoint(attack.id, Checkpoint(b"two", (b"b",)))
    assert await store.load_checkpoint(attack.id) == Checkpoint(b"two", (b"b",))


async def test_many_attacks_at_once(store: Store) -> None:
    """What one campaign's attacks do side by side: nothing is lost, doubled or out of order."""
    record = await create(store)
    await run(store, record.id)

    async def attack() -> None:
        while claimed := await store.claim_attack(record.id):
            for step in range(5):
                count = [QueryCount(claimed.id, 3)]
                await store.reserve_queries(count)
                await store.save_checkpoint(claimed.id, Checkpoint(b"%d" % step, (b"%d" % step,)))
                await store.settle_queries(count)
            checkpoint = await store.load_checkpoint(claimed.id)
            assert checkpoint == Checkpoint(b"4", (b"0", b"1", b"2", b"3", b"4"))
            await store.finish_attack(claimed.id, RESULT, IMAGE[..., 1] > 12)

    await asyncio.gather(*(attack() for _ in range(6)))
    assert await store.finish_campaign(record.id)
    progress = await store.progress(record.id)
    assert progress.ledger.sent == SPEC.attack_count * 15
    events = await store.events_after(record.id, 0, 100)
    assert [event.sequence for event in events] == list(range(1, SPEC.attack_count + 4))
    finished = [event.attack_number for event in events if event.attack_number is not None]
    assert sorted(finished) == list(range(SPEC.attack_count))
