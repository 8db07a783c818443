"""An attack's journal: saved, restored, dropped only if it is proven to be of no use."""

from __future__ import annotations

import codecs
import contextlib
import encodings
import errno
import logging
import os
import resource
import sys
from collections.abc import Iterator
from unittest.mock import Mock

import numpy as np
import pytest

from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import Goal, Region, SearchSettings, image_digest
from pixelprobe_services.orchestrator.attacks import journal
from pixelprobe_services.orchestrator.attacks.journal import Answers, Journal, UnreadableCheckpointError
from pixelprobe_services.orchestrator.attacks.resources import OutOfResourcesError
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
    left = await store.load_checkpoint(attack)
    assert left is not None
    assert left.scored == ()


def no_codec(name: str) -> None:
    """Know no codec."""


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing can be opened in this process, which has not read an archive yet: its codec is not loaded."""
    codecs.register(no_codec)
    codecs.unregister(no_codec)  # which empties the registry's cache
    encodings._cache.pop("cp437", None)
    sys.modules.pop("encodings.cp437", None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for one in held:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def saved(store: MemoryStore) -> AttackId:
    """An attack with a good checkpoint of one complete generation and a part of the next."""
    attack = await claim(store)
    writer = Journal(store, attack, PIXELS)
    search = await writer.resume(SETTINGS, seed=3)
    writer.begin_generation()
    writer.add(*answers(0, 4))
    search.ask()
    search.tell(np.zeros(4))
    writer.end_generation(search)
    await writer.save()
    writer.begin_generation()
    writer.add(*answers(100, 2))
    await writer.save()
    return attack


async def test_a_shortage_of_descriptors_is_no_damage(store: MemoryStore) -> None:
    attack = await saved(store)
    kept = await store.load_checkpoint(attack)
    reader = Journal(store, attack, PIXELS)
    with no_descriptors(), pytest.raises(OutOfResourcesError, match="too many open files"):
        await reader.resume(SETTINGS, seed=3)
    assert await store.load_checkpoint(attack) == kept
    again = Journal(store, attack, PIXELS)
    await again.resume(SETTINGS, seed=3)
    assert (len(again.memory), again.under_way, again.trace.started_over) == (4, True, "")


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EIO, "Input/output error")])
async def test_other_shortages_are_no_damage(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    attack = await saved(store)
    monkeypatch.setattr(np, "load", Mock(side_effect=error))
    with pytest.raises(OutOfResourcesError):
        await Journal(store, attack, PIXELS).resume(SETTINGS, seed=3)
    assert await store.load_checkpoint(attack) is not None


async def test_a_bug_in_reading_costs_nothing(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    attack = await saved(store)
    monkeypatch.setattr(np, "load", Mock(side_effect=ValueError("a new NumPy")))
    with pytest.raises(UnreadableCheckpointError, match="a new NumPy"):
        await Journal(store, attack, PIXELS).resume(SETTINGS, seed=3)
    assert await store.load_checkpoint(attack) is not None


@pytest.mark.parametrize("of_state", [True, False])
async def test_a_flipped_bit_starts_the_attack_over_and_the_trace_says_so(
    store: MemoryStore, of_state: bool
) -> None:
    attack = await saved(store)
    good = await store.load_checkpoint(attack)
    assert good is not None
    blob = bytearray(good.state if of_state else good.scored[0])
    blob[-7] ^= 1
    await store.drop_checkpoint(attack)
    state = bytes(blob) if of_state else good.state
    await store.save_checkpoint(attack, Checkpoint(state, good.scored if of_state else (bytes(blob),)))
    reader = Journal(store, attack, PIXELS)
    search = await reader.resume(SETTINGS, seed=3)
    assert (search.generation, len(reader.memory), reader.under_way) == (-1, 0, False)
    assert reader.trace.started_over == "its checkpoint is damaged: wrong checksum"
    after_another_kill = Journal(store, attack, PIXELS)
    await after_another_kill.resume(SETTINGS, seed=3)
    assert after_another_kill.trace.started_over == reader.trace.started_over


async def test_a_checkpoint_without_checksum_is_read(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Earlier versions wrote none."""
    with monkeypatch.context() as before:
        before.setattr(journal, "_sealed", lambda data: data)
        attack = await saved(store)
    reader = Journal(store, attack, PIXELS)
    await reader.resume(SETTINGS, seed=3)
    assert (len(reader.memory), reader.under_way) == (4, True)
