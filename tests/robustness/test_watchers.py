"""Two hundred clients watch one campaign, and half of them leave midway."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import grpc

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import attack_service_pb2_grpc as pb_grpc
from pixelprobe_api.attack.v1 import campaign_pb2
from tests.processes import RunningService
from tests.robustness import servers
from tests.robustness.campaigns import begin
from tests.robustness.servers import Services
from tests.unit.targets.fake_grpc import honest

WATCHERS, CONNECTIONS = 200, 40
ATTACKS = 24
LEAVE_AFTER = 5
"""Lasting events."""
SECONDS = 240.0
GROWTH_MIB = 150.0
SLACK = 20
"""Descriptors that a server may come to hold by itself: connections to the target and to the database."""

Seen = list[tuple[int, str]]
"""Of each lasting event its sequence and what it told."""


class Crowd:
    """Watchers of one campaign over a few connections; those with an odd number leave after some events."""

    def __init__(self, address: str, name: str, complete: threading.Event) -> None:
        self._address = address
        self._name = name
        self._arrived = 0
        self._complete = complete

    async def watch(self) -> list[Seen]:
        """What each saw, in their order; ``complete`` is set once all have been told something."""
        channels = [
            grpc.aio.insecure_channel(self._address, [("grpc.use_local_subchannel_pool", 1)])
            for _ in range(CONNECTIONS)
        ]
        stubs = [pb_grpc.AttackServiceStub(channel) for channel in channels]
        try:
            return await asyncio.gather(
                *(self._one(stubs[number % CONNECTIONS], number) for number in range(WATCHERS))
            )
        finally:
            await asyncio.gather(*(channel.close() for channel in channels))

    async def _one(self, stub: Any, number: int) -> Seen:
        stream = stub.WatchCampaign(pb.WatchCampaignRequest(name=self._name), timeout=SECONDS)
        seen: Seen = []
        async for event in stream:
            match event.WhichOneof("event"):
                case "campaign":
                    seen.append((event.sequence, campaign_pb2.CampaignState.Name(event.campaign.state)))
                case "finished":
                    seen.append((event.sequence, event.finished.name))
            if len(seen) == 1:
                self._arrive()
            if number % 2 and len(seen) >= LEAVE_AFTER:
                stream.cancel()
                break
        return seen

    def _arrive(self) -> None:
        self._arrived += 1
        if self._arrived >= WATCHERS:
            self._complete.set()


async def test_all_see_the_same_and_none_leaks(services: Services) -> None:
    orchestrator, complete = services.orchestrator, threading.Event()

    def answer(request: Any) -> Any:
        """Nothing before all are there."""
        assert complete.wait(SECONDS)
        return honest(request)

    services.target.delay_seconds = 0.02
    with grpc.insecure_channel(orchestrator.address) as channel:
        stub: Any = pb_grpc.AttackServiceStub(channel)
        held, memory = servers.descriptors(orchestrator), servers.memory_mib(orchestrator)
        services.target.reply = answer
        name = begin(stub, ATTACKS, population=20, generations=5)
        seen = await Crowd(orchestrator.address, name, complete).watch()
    stayed, left = seen[::2], seen[1::2]
    assert [sequence for sequence, _ in stayed[0]] == list(range(1, ATTACKS + 4))
    assert stayed[0][-1][1] == "CAMPAIGN_STATE_SUCCEEDED"
    assert all(one == stayed[0] for one in stayed)
    assert all(one == stayed[0][:LEAVE_AFTER] for one in left)
    assert servers.memory_mib(orchestrator) - memory < GROWTH_MIB
    await assert_nobody_left(orchestrator, WATCHERS, held)


async def assert_nobody_left(orchestrator: RunningService, calls: int, held: int) -> None:
    """Every call is logged when its handler has ended; connections that were closed are gone."""

    def found() -> tuple[int, int]:
        ended = sum("/WatchCampaign " in line for line in orchestrator.lines)
        return ended, servers.descriptors(orchestrator)

    give_up = time.monotonic() + 60
    while (now := found())[0] < calls or now[1] > held + SLACK:
        assert time.monotonic() < give_up, f"{now[0]} of {calls} ended; {now[1]} descriptors, {held} before"
        gc.collect()  # gRPC's clients keep their sockets until their calls are collected
        await asyncio.sleep(0.3)
