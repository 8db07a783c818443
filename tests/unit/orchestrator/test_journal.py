"""What an attack writes down as it goes, and what it makes of it when it starts again."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import Goal, Region, SearchSettings, image_digest
from pixelprobe_services.orchestrator.attacks.journal import Answers, Journal
from pixelprobe_services.orchestrator.store.base import AttackId, Checkpoint
from pixelprobe_services.orchestrator.store.memory import MemoryStore

SETTINGS = SearchSettings(population=4, generations=3)
PIXELS = 2
IMAGE = np.zeros((4, 4, 3), dtype=np.uint8)


@pytest.fixture
async def store() -> MemoryStore:
    return MemoryStore()


async def claim(store: MemoryStore) -> AttackId:
    spec = CampaignSpec(
        (CampaignImage(image_digest(IMAGE)),), ("one",), (Region.WHOLE,), (PIXELS,), (Goal(),)
    )
    record, _ = await store.create_campaign(spec, "")
    attack = await store.claim_attack(record.id)
    assert attack is not None
    return attack.id


def answers(first: int, count: int) -> Answers:
    edits = np.arange(first, first + count * PIXELS * 5, dtype=np.int16).reshape(count, PIXELS, 5)
    return edits, np.linspace(0, 1, count, dtype=np.float32), np.arange(count, dtype=np.int32)


async def test_a_generation_goes_on_in_its_middle(store: MemoryStore) -> None:
    attack = await claim(store)
    first = Journal(store, attack, PIXELS)
    search = await first.resume(SETTINGS, seed=3)
    asked = search.ask()
    first.trace.skipped = 5
    first.begin_generation()
    first.add(*answers(0, 2))
    first.add(*answers(100, 1))
    await first.save()

    second = Journal(store, attack, PIXELS)
    again = await second.resume(SETTINGS, seed=99)
    assert second.under_way
    assert second.trace.skipped == 5
    np.testing.assert_array_equal(again.ask(), asked)
    for found, one, other in zip(second.answered(), answers(0, 2), answers(100, 1), strict=True):
        np.testing.assert_array_equal(found, np.concatenate([one, other]))
    assert len(second.memory) == 0  # complete generations alone; those answers would count as repeated

    second.add(*answers(200, 1))
    again.tell(np.arange(4.0))
    second.end_generation(again)
    await second.save()
    third = Journal(store, attack, PIXELS)
    search = await third.resume(SETTINGS, seed=3)
    assert (search.generation, third.under_way, len(third.memory)) == (0, False, 4)
    np.testing.assert_array_equal(search.ask(), again.ask())


async def test_what_was_saved_is_not_saved_again(store: MemoryStore) -> None:
    attack = await claim(store)
    writer = Journal(store, attack, PIXELS)
    await writer.save()
    assert await store.load_checkpoint(attack) is None
    search = await writer.resume(SETTINGS, seed=3)
    for generation in range(2):
        writer.begin_generation()
        writer.add(*answers(100 * generation, 2))
        search.ask()
        search.tell(np.arange(4.0))
        writer.end_generation(search)
    await writer.save()
    await writer.save()
    checkpoint = await store.load_checkpoint(attack)
    assert checkpoint is not None
    assert len(checkpoint.scored) == 1
    reader = Journal(store, attack, PIXELS)
    await reader.resume(SETTINGS, seed=3)
    assert len(reader.memory) == 4


@pytest.mark.parametrize(("save_seconds", "is_saved"), [(3600.0, False), (0.0, True)])
async def test_it_saves_now_and_then(store: MemoryStore, save_seconds: float, is_saved: bool) -> None:
    attack = await claim(store)
    writer = Journal(store, attack, PIXELS, save_seconds)
    await writer.resume(SETTINGS, seed=3)
    writer.begin_generation()
    writer.add(*answers(0, 1))
    await writer.save_now_and_then()
    assert (await store.load_checkpoint(attack) is not None) is is_saved


@pytest.mark.parametrize("state", [b"", b'{"version": 0}', b'{"version": 2, "trace": 1}'])
async def test_the_checkpoint_of_another_program_is_dropped(
    store: MemoryStore, state: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    attack = await claim(store)
    await store.save_checkpoint(attack, Checkpoint(state, (b"what is this",)))
    reader = Journal(store, attack, PIXELS)
    with caplog.at_level(logging.WARNING):
        search = await reader.resume(SETTINGS, seed=3)
    assert "starts over" in caplog.text
    assert (search.generation, len(reader.memory), reader.under_way) == (-1, 0, False)
    assert await store.load_checkpoint(attack) is None
