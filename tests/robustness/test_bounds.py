"""Clients that are slow, or many: each is cut off by a bound of its own, and none stands in another's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import grpc
import pytest

from pixelprobe_services.common.errors import InvalidArgumentError, ResourceExhaustedError, ServiceError
from pixelprobe_services.common.status import from_rpc_error
from pixelprobe_services.server.bounds import Bounds, Places
from pixelprobe_services.server.interceptors import interceptors

SERVICE = "test.Service"
QUICK = 0.3
"""Seconds of the bounds under test."""


class Handlers:
    """One method of each kind; ``most`` is how many calls of ``Hold`` ran at once."""

    def __init__(self) -> None:
        self.calls = 0
        self.now = self.most = 0
        self.go = asyncio.Event()

    async def one(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        return request

    async def many(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        self.calls += 1
        for _ in range(3):
            yield request

    async def count(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        return str(len([request async for request in requests])).encode()

    async def hold(self, request: bytes, context: Any) -> bytes:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        return request


@asynccontextmanager
async def serving(bounds: Bounds) -> AsyncIterator[tuple[str, Handlers]]:
    handlers = Handlers()
    server = grpc.aio.server(interceptors=(*interceptors(), bounds))
    methods: dict[str, Any] = {
        "One": grpc.unary_unary_rpc_method_handler(handlers.one),
        "Many": grpc.unary_stream_rpc_method_handler(handlers.many),
        "Count": grpc.stream_unary_rpc_method_handler(handlers.count),
        "Hold": grpc.unary_unary_rpc_method_handler(handlers.hold),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", handlers
    finally:
        await server.stop(None)


def connect(address: str) -> grpc.aio.Channel:
    """A connection of its own."""
    return grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])


async def call(channel: grpc.aio.Channel, method: str, requests: Any) -> list[bytes]:
    """All answers to a stream of requests; the wire does not tell it from a single one."""
    stub: Any = channel.stream_stream(f"/{SERVICE}/{method}")
    return [answer async for answer in stub(requests, timeout=30)]


async def error_of(answers: Any) -> ServiceError:
    with pytest.raises(grpc.RpcError) as caught:
        await answers
    return from_rpc_error(caught.value)


async def slowly(count: int, pause: float) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(pause)
        yield b"x"


@pytest.mark.parametrize(("method", "answers"), [("One", 1), ("Many", 3)])
async def test_a_request_in_time_is_answered(method: str, answers: int) -> None:
    async with serving(Bounds()) as (address, _), connect(address) as channel:
        assert await call(channel, method, iter([b"x"])) == [b"x"] * answers


@pytest.mark.parametrize("method", ["One", "Many", "Hold"])
async def test_a_stream_that_ends_without_a_request_is_told_so_at_once(method: str) -> None:
    """gRPC alone would leave this client waiting for its deadline."""
    async with serving(Bounds()) as (address, handlers), connect(address) as channel:
        error = await error_of(call(channel, method, iter([])))
    assert isinstance(error, InvalidArgumentError)
    assert handlers.calls == 0


@pytest.mark.parametrize("method", ["One", "Many", "Count", "Hold"])
async def test_a_request_that_does_not_come_is_not_waited_for(method: str) -> None:
    async with serving(Bounds(message_seconds=QUICK)) as (address, handlers), connect(address) as channel:
        error = await error_of(call(channel, method, slowly(1, 60)))
    assert isinstance(error, ResourceExhaustedError)
    assert error.reason == "REQUEST_TOO_SLOW", error
    assert handlers.calls == 0


async def test_a_message_now_and_then_does_not_hold_a_call_forever() -> None:
    async with serving(Bounds(stream_seconds=QUICK)) as (address, _), connect(address) as channel:
        # No message is on its way at the end: gRPC's client would tell of that, and not of why it ended.
        error = await error_of(call(channel, "Count", slowly(10_000, QUICK * 0.7)))
    assert error.reason == "REQUEST_TOO_SLOW", error


async def test_a_long_stream_in_time_passes() -> None:
    async with serving(Bounds()) as (address, _), connect(address) as channel:
        assert await call(channel, "Count", iter([b"x"] * 500)) == [b"500"]


async def test_one_connections_stalled_requests_leave_places_to_others() -> None:
    places = Places(4, share=2)
    async with serving(Bounds({f"/{SERVICE}/One": places})) as (address, _):
        async with connect(address) as attacker, connect(address) as honest:
            stalled = [asyncio.create_task(call(attacker, "One", slowly(1, 60))) for _ in range(50)]
            await asyncio.sleep(QUICK)
            assert await asyncio.wait_for(call(honest, "One", iter([b"x"])), 20) == [b"x"]
            for task in stalled:
                task.cancel()
            await asyncio.gather(*stalled, return_exceptions=True)
        await nothing_inside(places)


async def test_never_more_at_once_than_places() -> None:
    places = Places(4, share=2)
    async with serving(Bounds({f"/{SERVICE}/Hold": places})) as (address, handlers):
        async with connect(address) as one, connect(address) as two, connect(address) as three:
            channels = (one, two, three)
            calls = [asyncio.create_task(call(channels[n % 3], "Hold", iter([b"x"]))) for n in range(30)]
            await until(lambda: handlers.now == 4)
            handlers.go.set()
            assert await asyncio.gather(*calls) == [[b"x"]] * 30
        assert handlers.most == 4
        await nothing_inside(places)


async def test_too_many_that_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pixelprobe_services.server.bounds.WAITING", 5)
    bounds = Bounds({f"/{SERVICE}/Hold": Places(1, share=1)})
    async with serving(bounds) as (address, handlers), connect(address) as channel:
        calls = [asyncio.create_task(call(channel, "Hold", iter([b"x"]))) for _ in range(20)]
        for finished in islice(asyncio.as_completed(calls), 15):
            assert isinstance(await error_of(finished), ResourceExhaustedError)
        handlers.go.set()
        answered = await asyncio.gather(*calls, return_exceptions=True)
    assert answered.count([b"x"]) == 5


async def nothing_inside(places: Places) -> None:
    """Whoever has gone has given the place back; the server may hear of it a little later."""
    await until(lambda: not places._inside and not places._shares)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
