"""What ``store/base.py`` promises of images, campaigns and events, for every store."""

from __future__ import annotations

import numpy as np
import pytest

from pixelprobe_services.common.errors import ConflictError, NotFoundError
from pixelprobe_services.common.values import (
    LEGAL_TRANSITIONS,
    AttackResult,
    AttackState,
    CampaignState,
    IllegalTransitionError,
    Ledger,
    Outcome,
    image_digest,
)
from pixelprobe_services.orchestrator.store.base import AttackId, Checkpoint, Event, Store, StoredMask
from tests.contract.stores import IMAGE, RESULT, SPEC, claim, create, run


async def test_images_by_content(store: Store) -> None:
    digest = image_digest(IMAGE)
    assert await store.image_sizes([digest, "0" * 64]) == {}
    await store.put_image(digest, IMAGE)
    await store.put_image(digest, IMAGE)
    assert await store.image_sizes([digest, "0" * 64]) == {digest: (4, 3)}
    np.testing.assert_array_equal(await store.get_image(digest), IMAGE)
    with pytest.raises(NotFoundError):
        await store.get_image("0" * 64)


async def test_a_new_campaign(store: Store) -> None:
    record, is_new = await store.create_campaign(SPEC, "")
    assert is_new
    assert record.state is CampaignState.PENDING
    found = await store.get_campaign(record.id)
    assert found.id == record.id
    assert found.spec.targets == SPEC.targets
    assert found.spec.images[0].label == 3
    mask = found.spec.images[1].mask
    assert mask is not None
    np.testing.assert_array_equal(mask, IMAGE[..., 0] > 9)
    assert found.end_time is None
    attacks = await store.list_attacks(record.id, start=0, limit=100, finished_only=False)
    assert [attack.id.number for attack in attacks] == list(range(SPEC.attack_count))
    assert [attack.key for attack in attacks] == [planned.key for planned in SPEC.attacks()]
    assert {attack.state for attack in attacks} == {AttackState.PENDING}


async def test_a_request_id_creates_once(store: Store) -> None:
    first, is_new = await store.create_campaign(SPEC, "once")
    again, is_new_again = await store.create_campaign(SPEC, "once")
    other, _ = await store.create_campaign(SPEC, "")
    assert (is_new, is_new_again) == (True, False)
    assert again.id == first.id
    assert other.id != first.id


async def test_unknown_names(store: Store) -> None:
    record = await create(store)
    for call in (
        store.get_campaign("nope"),
        store.progress("nope"),
        store.claim_attack("nope"),
        store.get_attack(AttackId("nope", 0)),
        store.get_attack(AttackId(record.id, SPEC.attack_count)),
        store.list_attacks("nope", start=0, limit=1, finished_only=False),
        store.events_after("nope", 0, 1),
        store.list_campaigns(1, "nope"),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_campaigns_newest_first_in_pages(store: Store) -> None:
    ids = [(await create(store)).id for _ in range(5)]
    first = await store.list_campaigns(3)
    rest = await store.list_campaigns(3, first[-1].id)
    assert [record.id for record in first + rest] == ids[::-1]


async def test_campaigns_are_counted_by_state(store: Store) -> None:
    assert not any((await store.count_campaigns()).values())
    first, _, third = [(await create(store)).id for _ in range(3)]
    await run(store, first)
    await store.change_campaign_state(third, CampaignState.CANCELLED, expected={CampaignState.PENDING})
    counts = {state: count for state, count in (await store.count_campaigns()).items() if count}
    assert counts == {CampaignState.PENDING: 1, CampaignState.RUNNING: 1, CampaignState.CANCELLED: 1}


async def test_states_change_by_compare_and_set(store: Store) -> None:
    record = await create(store)
    await run(store, record.id)
    with pytest.raises(ConflictError):
        await run(store, record.id)
    ended = await store.change_campaign_state(
        record.id, CampaignState.SUCCEEDED, expected={CampaignState.RUNNING}
    )
    assert ended.end_time is not None
    assert await store.campaigns_in({CampaignState.SUCCEEDED}) == [record.id]
    assert await store.campaigns_in({CampaignState.RUNNING}) == []


async def test_progress(store: Store) -> None:
    record = await create(store)
    attack = await claim(store, record.id)
    await store.finish_attack(attack.id, RESULT, None)
    progress = await store.progress(record.id)
    assert (progress.attacks_total, progress.attacks_finished) == (SPEC.attack_count, 1)
    assert (progress.ledger.skipped, progress.ledger.repeated) == (30, 5)


async def test_a_cancelled_campaign_can_go_on(store: Store) -> None:
    record = await create(store)
    await run(store, record.id)
    done, cut = await claim(store, record.id), await claim(store, record.id)
    await store.finish_attack(done.id, RESULT, None)
    await store.save_checkpoint(cut.id, Checkpoint(b"here"))
    await store.change_campaign_state(record.id, CampaignState.CANCELLED, expected={CampaignState.RUNNING})
    await store.finish_attack(cut.id, AttackResult(Outcome.CANCELLED, ledger=Ledger(1, 2, 3)), None)
    await store.change_campaign_state(record.id, CampaignState.RUNNING, expected={CampaignState.CANCELLED})
    progress = await store.progress(record.id)
    assert progress.attacks_finished == 1
    assert (progress.ledger.skipped, progress.ledger.repeated) == (30, 5)
    again = await claim(store, record.id)
    assert again.id == cut.id
    assert again.result is None
    assert await store.load_checkpoint(cut.id) == Checkpoint(b"here")


async def test_events_number_from_one_without_gaps(store: Store) -> None:
    record = await create(store)
    await run(store, record.id)
    attack = await claim(store, record.id)
    await store.finish_attack(attack.id, RESULT, None)
    expected = [
        Event(1, CampaignState.PENDING, None),
        Event(2, CampaignState.RUNNING, None),
        Event(3, None, attack.id.number),
    ]
    assert await store.events_after(record.id, 0, 10) == expected
    assert await store.events_after(record.id, 1, 1) == expected[1:2]
    assert await store.events_after(record.id, 3, 10) == []


async def test_a_campaign_keeps_the_first_mask_of_an_image(store: Store) -> None:
    record, other = await create(store), await create(store)
    digest = image_digest(IMAGE)
    assert await store.get_mask(record.id, digest) is None
    first = StoredMask(IMAGE[..., 0] > 9, "too small")
    assert (await store.put_mask(record.id, digest, first)).review_reason == "too small"
    kept = await store.put_mask(record.id, digest, StoredMask(IMAGE[..., 0] > 20))
    found = await store.get_mask(record.id, digest)
    assert found is not None
    for mask in (kept, found):
        np.testing.assert_array_equal(mask.mask, first.mask)
        assert mask.review_reason == "too small"
    assert await store.get_mask(other.id, digest) is None


async def test_a_campaign_succeeds_when_all_attacks_are_finished(store: Store) -> None:
    record = await create(store)
    with pytest.raises(ConflictError):
        await store.finish_campaign(record.id)
    await run(store, record.id)
    for _ in range(SPEC.attack_count):
        assert not await store.finish_campaign(record.id)
        await store.finish_attack((await claim(store, record.id)).id, RESULT, None)
    assert await store.finish_campaign(record.id)
    found = await store.get_campaign(record.id)
    assert found.state is CampaignState.SUCCEEDED
    assert found.end_time is not None
    assert (await store.events_after(record.id, 0, 100))[-1].campaign_state is CampaignState.SUCCEEDED
    with pytest.raises(ConflictError):
        await store.finish_campaign(record.id)


async def test_nothing_is_claimed_of_a_campaign_that_does_not_run(store: Store) -> None:
    record = await create(store)
    await run(store, record.id)
    for state, before in (
        (CampaignState.PAUSED, CampaignState.RUNNING),
        (CampaignState.CANCELLED, CampaignState.PAUSED),
    ):
        await store.change_campaign_state(record.id, state, expected={before})
        assert await store.claim_attack(record.id) is None


async def test_names_that_no_database_could_hold(store: Store) -> None:
    for name in ("a\0b", "x" * 5000, "' OR 1=1 --", "\u2603"):
        with pytest.raises(NotFoundError):
            await store.get_campaign(name)
        with pytest.raises(NotFoundError):
            await store.claim_attack(name)


async def test_the_store_says_that_it_works(store: Store) -> None:
    await store.check()


PATH = {
    CampaignState.PENDING: (),
    CampaignState.RUNNING: (CampaignState.RUNNING,),
    CampaignState.WAITING: (CampaignState.WAITING,),
    CampaignState.PAUSED: (CampaignState.PAUSED,),
    CampaignState.SUCCEEDED: (CampaignState.RUNNING, CampaignState.SUCCEEDED),
    CampaignState.CANCELLED: (CampaignState.CANCELLED,),
}
"""How a new campaign gets into each state."""


@pytest.mark.parametrize("old", CampaignState)
async def test_only_legal_changes_of_state_are_made(store: Store, old: CampaignState) -> None:
    for new in CampaignState:
        record = await create(store)
        for step in PATH[old]:
            await store.change_campaign_state(record.id, step, expected=set(CampaignState))
        events = await store.events_after(record.id, 0, 100)
        if new in LEGAL_TRANSITIONS[old]:
            changed = await store.change_campaign_state(record.id, new, expected={old}, reason="why")
            assert (changed.state, changed.state_reason) == (new, "why")
        else:
            with pytest.raises(IllegalTransitionError):
                await store.change_campaign_state(record.id, new, expected={old})
            assert await store.events_after(record.id, 0, 100) == events
            assert (await store.get_campaign(record.id)).state is old


async def test_a_waiting_campaign_is_open_and_its_attacks_can_be_claimed(store: Store) -> None:
    record = await create(store)
    await store.change_campaign_state(record.id, CampaignState.WAITING, expected={CampaignState.PENDING})
    assert await store.campaigns_in({CampaignState.WAITING}) == [record.id]
    for _ in range(SPEC.attack_count):
        await store.finish_attack((await claim(store, record.id)).id, RESULT, None)
    assert await store.finish_campaign(record.id)
