"""Two hundred watchers cost the store about as much as one does."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_services.orchestrator.campaigns.events import SharedReads
from pixelprobe_services.orchestrator.campaigns.manager import CampaignManager
from pixelprobe_services.orchestrator.servicer import AttackServicer
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from tests.integration.offline import offline

WATCHERS = 200
READS = ("get_campaign", "events_after", "get_attack", "progress")
EVENTS = 11
"""Lasting ones of the campaign: eight attacks, and three states."""


class Counting(MemoryStore):
    """Counts what watchers ask of it, and takes its time, as a database does."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        for name in READS:
            setattr(self, name, self._counted(getattr(self, name)))

    def _counted(self, read: Any) -> Any:
        async def counted(*arguments: Any) -> Any:
            self.reads += 1
            await asyncio.sleep(0.002)
            return await read(*arguments)

        return counted


async def watch(manager: CampaignManager, store: Counting, campaign_id: str) -> list[int]:
    """The lasting events' sequences, as the service tells them."""
    servicer = AttackServicer(store, manager, Mock())
    request = pb.WatchCampaignRequest(name=f"campaigns/{campaign_id}")
    told = servicer.WatchCampaign(request, Mock())
    return [event.sequence async for event in told if event.WhichOneof("event") != "progress"]


async def test_an_event_is_read_once_for_all() -> None:
    store = Counting()
    async with offline(store, seconds_a_request=0.05) as running:
        campaign_id = await running.create()
        watching = [asyncio.create_task(watch(running.manager, store, campaign_id)) for _ in range(WATCHERS)]
        async with asyncio.timeout(60):
            seen = await asyncio.gather(*watching)
    assert seen == [list(range(1, EVENTS + 1))] * WATCHERS
    # Each has a first look of its own, of two reads. Were each to look for itself at every event, there would
    # be three reads or more for each watcher and event, and two for each step of an attack.
    assert store.reads < 2 * WATCHERS + WATCHERS * EVENTS / 4


async def test_the_first_to_ask_may_leave_and_the_others_are_answered() -> None:
    reads, go = SharedReads(), asyncio.Event()

    async def read() -> str:
        await go.wait()
        return "answer"

    first, second = (asyncio.create_task(reads.once("key", read)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go.set()
    assert await asyncio.wait_for(second, 20) == "answer"


async def test_who_asks_after_something_happened_gets_no_answer_from_before() -> None:
    reads, go, asked = SharedReads(), asyncio.Event(), 0

    async def read() -> int:
        nonlocal asked
        asked += 1
        mine = asked
        await go.wait()
        return mine

    before = asyncio.create_task(reads.once("key", read))
    await asyncio.sleep(0)
    reads.clear()
    after = asyncio.create_task(reads.once("key", read))
    await asyncio.sleep(0)
    go.set()
    async with asyncio.timeout(20):
        assert [await before, await after] == [1, 2]
