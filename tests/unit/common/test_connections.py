"""Limits on connections: which are shut, and that honest clients are not."""

from __future__ import annotations

import asyncio
import itertools
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from pixelprobe_services.server.connections import (
    RESERVED_DESCRIPTORS,
    Connections,
    Limits,
    _peer,
    raise_descriptor_limit,
)

SECONDS = 30.0
OWN = (("grpc.use_local_subchannel_pool", 1),)


@pytest.mark.parametrize(
    ("text", "peer"),
    [
        ("ipv4:127.0.0.1:51234", ("127.0.0.1", 51234)),
        ("ipv6:%5B::1%5D:51234", ("::1", 51234)),
        ("ipv6:[fe80::1%25eth0]:7", ("fe80::1", 7)),
        ("ipv6:%5B::ffff:10.0.0.1%5D:7", ("10.0.0.1", 7)),
        ("unix:/tmp/socket", None),
        ("", None),
    ],
)
def test_peers_of_grpc(text: str, peer: tuple[str, int] | None) -> None:
    assert _peer(text) == peer


def test_the_soft_limit_is_raised_and_descriptors_are_kept_free() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        limits = raise_descriptor_limit()
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised > 512
    assert limits.total <= raised - RESERVED_DESCRIPTORS
    assert 0 < limits.a_peer < limits.total


@asynccontextmanager
async def serving(connections: Connections) -> AsyncIterator[int]:
    """A server with the health service; its port."""
    server = grpc.aio.server(interceptors=(connections,), options=connections.options)
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    watching = asyncio.create_task(connections.watch(port))
    try:
        yield port
    finally:
        watching.cancel()
        await server.stop(None)


def client(port: int) -> grpc.aio.Channel:
    """A channel with a connection of its own."""
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OWN)


async def ask(channel: grpc.aio.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    await stub.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS, wait_for_ready=True)


async def connect(port: int) -> asyncio.StreamReader:
    """A connection that says nothing. The writer is kept by the reader's transport."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reader.writer = writer  # type: ignore[attr-defined]
    return reader


async def end_of(reader: asyncio.StreamReader) -> None:
    """Read until the server shuts the connection."""
    async with asyncio.timeout(SECONDS):
        while await reader.read(1024):
            pass


async def test_a_quiet_connection_is_shut_and_one_that_asked_is_kept() -> None:
    connections = Connections(Limits(100, 100), quiet_seconds=0.2, look_seconds=0.05)
    async with serving(connections) as port, client(port) as channel:
        await ask(channel)
        before = set(connections._uses)
        await end_of(await connect(port))
        await ask(channel)
        assert set(connections._uses) == before, "the same connection served both"


async def test_a_peer_over_its_share_loses_what_it_does_not_use() -> None:
    connections = Connections(Limits(100, 4), quiet_seconds=3600, look_seconds=0.05)
    async with serving(connections) as port, client(port) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        await watch.read()
        ends = [asyncio.create_task(end_of(await connect(port))) for _ in range(8)]
        for end in itertools.islice(asyncio.as_completed(ends, timeout=SECONDS), 5):
            await end
        await ask(channel)
        assert not watch.done()
        assert sum(end.done() for end in ends) == 5  # three, and the one in use, are the share
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


async def test_connections_over_all_are_turned_away() -> None:
    connections = Connections(Limits(3, 3), quiet_seconds=3600, look_seconds=3600)
    async with serving(connections) as port:
        held = [await connect(port) for _ in range(3)]
        await end_of(await connect(port))
        for reader in held:
            reader.writer.close()  # type: ignore[attr-defined]
        async with client(port) as channel:
            await ask(channel)
