"""One target, several servers: a name that stands for many addresses, as a headless service's does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from pixelprobe_services.orchestrator.targets.base import Target, TargetUnavailableError
from pixelprobe_services.orchestrator.targets.registry import open_target
from tests.unit.targets.batches import config, random_batch
from tests.unit.targets.fake_dns import FakeDns, name_server
from tests.unit.targets.fake_grpc import FakeServer, serve

ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
CONNECTION_MS = 1000
"""Servers let go of a connection after this long; Triton's containers do so too (serve_triton.py)."""
PATIENCE_SECONDS = 120.0


class Replicas:
    """Servers on one port of several addresses, and a target that knows them by name."""

    def __init__(self, dns: FakeDns, target: Target, fakes: list[FakeServer], servers: list[Any]) -> None:
        self.dns, self.target, self.fakes, self.servers = dns, target, fakes, servers

    async def ask(self, times: int) -> list[int]:
        """How many of so many queries each server got.

        One that is sent just as its connection ends comes back as unavailable, unanswered; here as in the
        orchestrator it is asked again.
        """
        before = [len(fake.seen) for fake in self.fakes]
        end, answered = time.monotonic() + PATIENCE_SECONDS, 0
        while answered < times and time.monotonic() < end:
            try:
                await self.target.query(random_batch(1))
            except TargetUnavailableError:
                await asyncio.sleep(0.05)
                continue
            answered += 1
        assert answered == times, f"{answered} of {times} answers within {PATIENCE_SECONDS} s"
        return [len(fake.seen) - count for fake, count in zip(self.fakes, before, strict=True)]

    async def ask_until_shared(self, among: set[int]) -> None:
        """Ask on until just these servers answer, each at least a third of its share.

        Not always an equal one: connections end meanwhile, and on a busy machine another takes a while.
        """
        end = time.monotonic() + PATIENCE_SECONDS
        counts: list[int] = []
        while time.monotonic() < end:
            counts = await self.ask(9 * len(among))
            if (
                {index for index, count in enumerate(counts) if count >= 3}
                == among
                == {index for index, count in enumerate(counts) if count}
            ):
                return
            await asyncio.sleep(0.05)
        pytest.fail(f"after {PATIENCE_SECONDS} s the last shares are {counts}")


@pytest.fixture
async def replicas() -> AsyncIterator[Replicas]:
    options = [("grpc.max_connection_age_ms", CONNECTION_MS), ("grpc.max_connection_age_grace_ms", 60_000)]
    async with AsyncExitStack() as stack:
        fakes, servers, port = [FakeServer() for _ in ADDRESSES], [], "0"
        for fake, address in zip(fakes, ADDRESSES, strict=True):
            server, where = await serve(fake, f"{address}:{port}", options=options)
            port = where.rpartition(":")[2]
            servers.append(server)
            stack.push_async_callback(server.stop, None)
        dns, resolver = await stack.enter_async_context(name_server(list(ADDRESSES)))
        target = open_target(config(f"dns://{resolver}/triton.test:{port}", timeout_seconds=60.0))
        stack.push_async_callback(target.close)
        yield Replicas(dns, target, fakes, servers)


async def test_queries_go_to_every_replica_in_turn(replicas: Replicas) -> None:
    await replicas.ask_until_shared({0, 1, 2})


async def test_a_replica_that_comes_is_found_and_gets_its_share(replicas: Replicas) -> None:
    replicas.dns.addresses = ADDRESSES[:1]
    assert (await replicas.ask(9))[1:] == [0, 0]

    replicas.dns.addresses = ADDRESSES[:2]
    await replicas.ask_until_shared({0, 1})
    assert replicas.dns.questions >= 2


async def test_a_replica_that_goes_leaves_its_share_to_the_others(replicas: Replicas) -> None:
    await replicas.ask_until_shared({0, 1, 2})

    replicas.dns.addresses = ADDRESSES[:2]
    stopping = asyncio.create_task(replicas.servers[2].stop(grace=60))
    await replicas.ask_until_shared({0, 1})
    await stopping


async def test_a_replica_that_dies_is_left_out(replicas: Replicas) -> None:
    await replicas.ask_until_shared({0, 1, 2})
    await replicas.servers[2].stop(None)

    # Its name still stands there: only connecting shows that nobody is at home.
    await replicas.ask_until_shared({0, 1})


async def test_what_a_list_of_addresses_names_is_shared_as_well() -> None:
    fakes = [FakeServer(), FakeServer()]
    async with AsyncExitStack() as stack:
        places = []
        for fake in fakes:
            server, place = await serve(fake)
            places.append(place)
            stack.push_async_callback(server.stop, None)
        target = open_target(config(f"ipv4:{','.join(places)}", timeout_seconds=60.0))
        stack.push_async_callback(target.close)
        replicas = Replicas(FakeDns([]), target, fakes, [])
        await replicas.ask_until_shared({0, 1})
