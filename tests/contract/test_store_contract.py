"""One suite for every store: what ``store/base.py`` promises, and nothing about how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import ConflictError, NotFoundError
from services.orchestrator.core.domain import (
    AttackResult,
    AttackState,
    CampaignState,
    ClassScore,
    Edit,
    Goal,
    Ledger,
    Outcome,
    Region,
    image_digest,
)
from services.orchestrator.core.spec import CampaignImage, CampaignSpec
from services.orchestrator.store.base import (
    AttackId,
    AttackRecord,
    CampaignRecord,
    Checkpoint,
    Event,
    QueryCount,
    Store,
    StoredMask,
)
from services.orchestrator.store.errors import LeaseLostError
from services.orchestrator.store.location import locate
from services.orchestrator.store.opening import open_store
from tests.postgres import shared_server

PICTURE = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
SPEC = CampaignSpec(
    images=(
        CampaignImage(image_digest(PICTURE), "a.png", 3),
        CampaignImage("f" * 64, "b.png", mask=PICTURE[..., 0] > 9),
    ),
    targets=("first", "second"),
    regions=(Region.WHOLE, Region.FOREGROUND),
    pixel_counts=(1,),
    goals=(Goal(), Goal(4)),
    seed=7,
)
RESULT = AttackResult(
    Outcome.SUCCESS,
    clean_top=(ClassScore(3, 0.75), ClassScore(1, 0.25)),
    best_top=(ClassScore(1, 0.5),),
    best_probability_of_clean_top=(0.25, 0.5),
    edits=(Edit(2, 3, 255, 0, 128),),
    ledger=Ledger(120, 30, 5),
    generations=2,
    fitness_by_generation=(0.5, 0.25),
    queries_to_success=119,
    region_area_fraction=0.25,
)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    url = {
        "memory": lambda: "memory://",
        "sqlite": lambda: f"sqlite:///{tmp_path / 'store.db'}",
        "postgresql": lambda: shared_server().new_database(),
    }[request.param]()
    opened = await open_store(locate(url, None))
    yield opened
    await opened.close()


async def create(store: Store, request_id: str = "") -> CampaignRecord:
    record, _ = await store.create_campaign(SPEC, request_id)
    return record


async def claim(store: Store, campaign_id: str) -> AttackRecord:
    record = await store.claim_attack(campaign_id)
    assert record is not None
    return record


async def run(store: Store, campaign_id: str) -> None:
    await store.change_campaign_state(campaign_id, CampaignState.RUNNING, expected={CampaignState.PENDING})


async def test_pictures_by_content(store: Store) -> None:
    digest = image_digest(PICTURE)
    assert await store.image_sizes([digest, "0" * 64]) == {}
    await store.put_image(digest, PICTURE)
    await store.put_image(digest, PICTURE)
    assert await store.image_sizes([digest, "0" * 64]) == {digest: (4, 3)}
    np.testing.assert_array_equal(await store.get_image(digest), PICTURE)
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
    np.testing.assert_array_equal(mask, PICTURE[..., 0] > 9)
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
    mask = PICTURE[..., 1] > 12
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
    assert await store.queries_sent(one.id) == 41
    assert await store.queries_sent(two.id) == 2
    assert (await store.progress(record.id)).ledger.sent == 43


async def test_progress(store: Store) -> None:
    record = await create(store)
    attack = await claim(store, record.id)
    await store.finish_attack(attack.id, RESULT, None)
    progress = await store.progress(record.id)
    assert (progress.attacks_total, progress.attacks_finished) == (SPEC.attack_count, 1)
    assert (progress.ledger.skipped, progress.ledger.repeated) == (30, 5)


async def test_checkpoints_append_what_was_scored(store: Store) -> None:
    record = await create(store)
    attack = await claim(store, record.id)
    assert await store.load_checkpoint(attack.id) is None
    await store.save_checkpoint(attack.id, Checkpoint(b"one", (b"a", b"b")))
    await store.save_checkpoint(attack.id, Checkpoint(b"two", (b"c",)))
    assert await store.load_checkpoint(attack.id) == Checkpoint(b"two", (b"a", b"b", b"c"))
    await store.finish_attack(attack.id, RESULT, None)
    assert await store.load_checkpoint(attack.id) is None


async def test_a_cancelled_campaign_can_go_on(store: Store) -> None:
    record = await create(store)
    await run(store, record.id)
    done, cut = await claim(store, record.id), await claim(store, record.id)
    await store.finish_attack(done.id, RESULT, None)
    await store.save_checkpoint(cut.id, Checkpoint(b"here"))
    await store.finish_attack(cut.id, AttackResult(Outcome.CANCELLED, ledger=Ledger(1, 2, 3)), None)
    await store.change_campaign_state(record.id, CampaignState.CANCELLED, expected={CampaignState.RUNNING})
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
