"""Cancel against resume, owners' request ids, lists, quotas on size, and deletion, for every store."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import numpy as np
import pytest

from pixelprobe_api.attack.v1 import campaign_pb2
from pixelprobe_services.common.errors import (
    ConflictError,
    FailedPreconditionError,
    NotFoundError,
    QuotaExceededError,
)
from pixelprobe_services.common.spec import CampaignImage
from pixelprobe_services.common.values import (
    AttackResult,
    AttackState,
    CampaignState,
    Ledger,
    Outcome,
    image_digest,
)
from pixelprobe_services.common.wire import spec_to_bytes
from pixelprobe_services.orchestrator.store.base import AttackId, Checkpoint, QueryCount, Store, StoredMask
from pixelprobe_services.orchestrator.store.errors import CancelUnderWayError, LeaseLostError
from pixelprobe_services.orchestrator.store.limits import Limits
from tests.contract.stores import IMAGE, RESULT, SPEC, claim, create, run

CANCELLED, PENDING, RUNNING = CampaignState.CANCELLED, CampaignState.PENDING, CampaignState.RUNNING
SUCCEEDED = CampaignState.SUCCEEDED
STOPPED = AttackResult(Outcome.CANCELLED, ledger=Ledger(1, 2, 3))
LARGE = replace(SPEC, images=tuple(CampaignImage(f"{n:064x}") for n in range(1200)))
"""More images than are stored in one transaction."""


async def cancel(store: Store, campaign_id: str) -> None:
    await store.change_campaign_state(campaign_id, CANCELLED, expected={PENDING, RUNNING})


async def lose(store: Store, attack: AttackId) -> None:
    """Let the holder of a cancelled attack learn that it lost it."""
    with pytest.raises(LeaseLostError):
        await store.reserve_queries([QueryCount(attack, 1)])


async def cancelled(store: Store, owner: str = "") -> str:
    record, _ = await store.create_campaign(SPEC, "", owner=owner)
    await cancel(store, record.id)
    return record.id


async def test_resuming_waits_for_an_ending_cancel(store: Store) -> None:
    record = await create(store)
    await run(store, record.id)
    attack = await claim(store, record.id)
    await cancel(store, record.id)
    with pytest.raises(CancelUnderWayError):
        await store.change_campaign_state(record.id, RUNNING, expected={CANCELLED})
    assert (await store.get_campaign(record.id)).state is CANCELLED
    assert await store.cancel_attacks(record.id) == 1
    await lose(store, attack.id)
    await store.change_campaign_state(record.id, RUNNING, expected={CANCELLED})
    assert (await claim(store, record.id)).id == attack.id


async def test_a_late_cancel_does_not_touch_a_campaign_that_was_resumed(store: Store) -> None:
    record = await create(store)
    await run(store, record.id)
    await cancel(store, record.id)
    await store.change_campaign_state(record.id, RUNNING, expected={CANCELLED})
    attack = await claim(store, record.id)
    with pytest.raises(ConflictError):
        await store.cancel_attacks(record.id)
    assert (await store.get_attack(attack.id)).state is AttackState.RUNNING


async def test_a_cancelled_result_of_a_campaign_that_runs_releases_the_attack(store: Store) -> None:
    record = await create(store)
    await run(store, record.id)
    attack = await claim(store, record.id)
    await store.save_checkpoint(attack.id, Checkpoint(b"here"))
    released = await store.finish_attack(attack.id, STOPPED, None)
    assert (released.state, released.result) == (AttackState.PENDING, None)
    with pytest.raises(LeaseLostError):
        await store.reserve_queries([QueryCount(attack.id, 1)])
    assert (await claim(store, record.id)).id == attack.id
    assert await store.load_checkpoint(attack.id) == Checkpoint(b"here")


async def test_cancel_and_resume_hammered_never_succeed_with_cancelled_attacks(store: Store) -> None:
    """Workers, cancels and resumes side by side, in every order that they come to."""
    record = await create(store)
    await run(store, record.id)
    campaign_id, over = record.id, asyncio.Event()

    async def work() -> None:
        while not over.is_set():
            await asyncio.sleep(0)  # the store in memory lets no other task in
            attack = await store.claim_attack(campaign_id)
            if attack is None:
                continue
            try:
                await store.reserve_queries([QueryCount(attack.id, 1)])
                state = (await store.get_summary(campaign_id)).state
                if state is not RUNNING:
                    await store.finish_attack(attack.id, STOPPED, None)
                else:
                    await store.release_attack(attack.id)
            except LeaseLostError:
                pass

    async def cancel_and_resume() -> None:
        for _ in range(15):
            for step in (
                lambda: cancel(store, campaign_id),
                lambda: store.cancel_attacks(campaign_id),
                lambda: store.change_campaign_state(campaign_id, RUNNING, expected={CANCELLED}),
                lambda: store.finish_campaign(campaign_id),
            ):
                await asyncio.sleep(0)
                with contextlib.suppress(ConflictError):
                    await step()

    workers = [asyncio.create_task(work()) for _ in range(3)]
    await asyncio.gather(*(cancel_and_resume() for _ in range(3)))
    over.set()
    await asyncio.gather(*workers)

    if (await store.get_summary(campaign_id)).state is CANCELLED:
        await store.cancel_attacks(campaign_id)
        await store.change_campaign_state(campaign_id, RUNNING, expected={CANCELLED})
    while attack := await store.claim_attack(campaign_id):
        await store.finish_attack(attack.id, RESULT, None)
    assert await store.finish_campaign(campaign_id)
    attacks = await store.list_attacks(campaign_id, start=0, limit=100, finished_only=True)
    assert [one.result.outcome for one in attacks if one.result] == SPEC.attack_count * [Outcome.SUCCESS]
    events = await store.events_after(campaign_id, 0, 10_000)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_a_campaign_that_succeeds_has_no_cancelled_attack(store: Store) -> None:
    """Cancel and resume while the last attacks finish: it succeeds with all results, or not at all."""
    for _ in range(10):
        record = await create(store)
        await run(store, record.id)

        async def finish(campaign_id: str) -> None:
            while attack := await store.claim_attack(campaign_id):
                try:
                    await store.finish_attack(attack.id, RESULT, None)
                except LeaseLostError:
                    return

        async def interrupt(campaign_id: str) -> None:
            try:
                await cancel(store, campaign_id)
                await store.cancel_attacks(campaign_id)
                await store.change_campaign_state(campaign_id, RUNNING, expected={CANCELLED})
            except ConflictError:
                pass

        await asyncio.gather(finish(record.id), finish(record.id), interrupt(record.id), interrupt(record.id))
        try:
            done = await store.finish_campaign(record.id)
        except ConflictError:
            done = False
        attacks = await store.list_attacks(record.id, start=0, limit=100, finished_only=True)
        outcomes = {one.result.outcome for one in attacks if one.result}
        if done:
            assert outcomes == {Outcome.SUCCESS}
            assert len(attacks) == SPEC.attack_count


async def test_request_ids_belong_to_their_owners(store: Store) -> None:
    anns, _ = await store.create_campaign(SPEC, "nightly", owner="ann")
    bobs, is_new = await store.create_campaign(SPEC, "nightly", owner="bob")
    assert is_new
    assert bobs.id != anns.id
    assert bobs.owner == "bob"
    assert (await store.create_campaign(SPEC, "nightly", owner="ann"))[0].id == anns.id
    assert (await store.create_campaign(SPEC, "nightly"))[1]


async def test_the_request_id_of_a_cancelled_campaign_returns_it_until_it_is_deleted(store: Store) -> None:
    first, _ = await store.create_campaign(SPEC, "nightly", owner="ann")
    await cancel(store, first.id)
    again, is_new = await store.create_campaign(SPEC, "nightly", owner="ann")
    assert (again.id, again.state, is_new) == (first.id, CANCELLED, False)
    await store.delete_campaign(first.id)
    other, is_new = await store.create_campaign(SPEC, "nightly", owner="ann")
    assert is_new
    assert other.id != first.id


async def test_lists_have_what_they_need_and_no_images(store: Store) -> None:
    record, _ = await store.create_campaign(replace(SPEC, display_name="night"), "once", owner="ann")
    other = await create(store)
    (newest, oldest) = await store.list_campaigns(10)
    assert (newest.id, oldest.id) == (other.id, record.id)
    head = campaign_pb2.CampaignSpec.FromString(oldest.head)
    assert (head.display_name, list(head.targets), len(head.images)) == ("night", list(SPEC.targets), 0)
    assert (oldest.owner, oldest.request_id, oldest.attacks_total) == ("ann", "once", SPEC.attack_count)
    assert await store.get_summary(record.id) == oldest
    assert [one.id for one in await store.list_campaigns(10, owner="ann")] == [record.id]
    assert [one.id for one in await store.list_campaigns(10, owner="")] == [other.id]
    assert await store.list_campaigns(10, record.id, owner="ann") == []
    progress = await store.progress_of([record.id, other.id, "nope"])
    assert progress == {one: await store.progress(one) for one in (record.id, other.id)}


async def test_a_campaign_of_many_images_is_stored_whole(store: Store) -> None:
    record, is_new = await store.create_campaign(LARGE, "large", owner="ann")
    assert is_new
    assert (await store.create_campaign(LARGE, "large", owner="ann"))[0].id == record.id
    found = await store.get_campaign(record.id)
    assert [one.digest for one in found.spec.images] == [one.digest for one in LARGE.images]
    last = await store.get_attack(AttackId(record.id, LARGE.attack_count - 1))
    assert last.key.image_digest == LARGE.images[-1].digest
    assert (await store.progress(record.id)).attacks_total == LARGE.attack_count
    too_few = Limits(attacks=2 * LARGE.attack_count - 1)
    with pytest.raises(QuotaExceededError, match="attacks together"):
        await store.create_campaign(LARGE, "again", owner="ann", limits=too_few)
    assert len(await store.list_campaigns(10)) == 1


async def test_many_attacks_are_cancelled_and_resumed(store: Store) -> None:
    record, _ = await store.create_campaign(LARGE, "")
    await run(store, record.id)
    claimed = [await claim(store, record.id) for _ in range(3)]
    await cancel(store, record.id)
    assert await store.cancel_attacks(record.id) == 3
    for attack in claimed:
        await lose(store, attack.id)
    progress = await store.progress(record.id)
    assert progress.attacks_cancelled == progress.attacks_finished == LARGE.attack_count
    last = await store.get_attack(AttackId(record.id, LARGE.attack_count - 1))
    assert last.result == AttackResult(Outcome.CANCELLED, ledger=Ledger(answered=0))
    assert last.end_time is not None
    await store.change_campaign_state(record.id, RUNNING, expected={CANCELLED})
    assert (await store.progress(record.id)).attacks_finished == 0
    assert (await claim(store, record.id)).id.number == 0


async def test_attacks_and_stored_bytes_have_quotas(store: Store) -> None:
    await store.put_image(image_digest(IMAGE), IMAGE)
    size = len(spec_to_bytes(SPEC)) + IMAGE.nbytes
    limits = Limits(attacks=2 * SPEC.attack_count, stored_bytes=3 * size)
    first, _ = await store.create_campaign(SPEC, "", owner="ann", limits=limits)
    await store.create_campaign(SPEC, "", owner="ann", limits=limits)
    with pytest.raises(QuotaExceededError, match="48 attacks together, and may have 32"):
        await store.create_campaign(SPEC, "", owner="ann", limits=limits)
    await store.create_campaign(SPEC, "", owner="bob", limits=limits)
    await cancel(store, first.id)  # its attacks count no more, its bytes do
    third, _ = await store.create_campaign(SPEC, "", owner="ann", limits=limits)
    await cancel(store, third.id)
    with pytest.raises(QuotaExceededError, match="bytes of the store"):
        await store.create_campaign(SPEC, "", owner="ann", limits=limits)
    await store.delete_campaign(third.id)
    await store.create_campaign(SPEC, "", owner="ann", limits=limits)
    with pytest.raises(QuotaExceededError):
        await store.change_campaign_state(first.id, RUNNING, expected={CANCELLED}, limits=limits)


async def test_a_deleted_campaign_is_gone_with_all_it_had(store: Store) -> None:
    digest, mask = image_digest(IMAGE), IMAGE[..., 0] > 9
    await store.put_image(digest, IMAGE)
    gone, stays = await create(store), await create(store)
    for record in (gone, stays):
        await run(store, record.id)
        await store.put_mask(record.id, digest, StoredMask(mask))
        attack, cut = await claim(store, record.id), await claim(store, record.id)
        await store.finish_attack(attack.id, RESULT, mask)
        await store.save_checkpoint(cut.id, Checkpoint(b"here", (b"a",)))
        with pytest.raises(FailedPreconditionError, match="cancel it before"):
            await store.delete_campaign(record.id)
    await cancel(store, gone.id)
    with pytest.raises(ConflictError, match="still being cancelled"):
        await store.delete_campaign(gone.id)
    await store.cancel_attacks(gone.id)
    await store.delete_campaign(gone.id)
    for call in (
        store.get_campaign(gone.id),
        store.get_summary(gone.id),
        store.progress(gone.id),
        store.claim_attack(gone.id),
        store.get_attack(AttackId(gone.id, 0)),
        store.list_attacks(gone.id, start=0, limit=9, finished_only=False),
        store.events_after(gone.id, 0, 9),
        store.get_mask(gone.id, digest),
        store.change_campaign_state(gone.id, RUNNING, expected={CANCELLED}),
        store.delete_campaign(gone.id),
    ):
        with pytest.raises(NotFoundError):
            await call
    assert [one.id for one in await store.list_campaigns(9)] == [stays.id]
    await store.sweep(0)
    kept = await store.get_mask(stays.id, digest)
    assert kept is not None
    np.testing.assert_array_equal(kept.mask, mask)
    found = await store.get_attack(AttackId(stays.id, 0))
    assert found.result == RESULT
    assert found.mask is not None
    np.testing.assert_array_equal(await store.get_image(digest), IMAGE)


async def test_images_that_no_campaign_uses_are_removed_in_time(store: Store) -> None:
    digest = image_digest(IMAGE)
    await store.put_image(digest, IMAGE)
    assert (await store.sweep(3600)).images == 0
    campaign_id = await cancelled(store)
    assert (await store.sweep(0)).images == 0
    await store.delete_campaign(campaign_id)
    assert (await store.sweep(0)).images in (0, 1)  # the store may have swept by itself
    with pytest.raises(NotFoundError):
        await store.get_image(digest)
    await store.put_image(digest, IMAGE)
    np.testing.assert_array_equal(await store.get_image(digest), IMAGE)
