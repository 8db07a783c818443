"""What surrounds each RPC, over a real server and channel: all four kinds, every way to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from pixelprobe_api.image.v1.image_pb2 import Mask
from pixelprobe_services.common.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ServiceError,
    UnavailableError,
)
from pixelprobe_services.common.status import ErrorMap, from_rpc_error
from pixelprobe_services.server.interceptors import REQUEST_ID_KEY, interceptors, request_id

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
SERVICE = "test.Service"


class DomainError(ValueError):
    """The pure core's, unknown to gRPC."""


class NarrowerDomainError(DomainError):
    """A kind of it."""


@asynccontextmanager
async def channel_to(
    behaviours: dict[str, tuple[str, Callable[..., Any]]],
    error_map: ErrorMap | None = None,
    parse: Callable[[bytes], Any] | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server whose methods are {name: (kind, handler)}; messages are bytes unless parsed."""
    server = grpc.aio.server(interceptors=interceptors(error_map))
    handlers = {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(handler, parse)
        for name, (kind, handler) in behaviours.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


def start(channel: grpc.aio.Channel, kind: str, name: str = "M", **options: Any) -> Any:
    """The call of ``kind``, with the request(s) b"a" (and b"b")."""
    options.setdefault("timeout", 10)
    method = getattr(channel, kind)(f"/{SERVICE}/{name}")
    return method(iter([b"a", b"b"]) if kind.startswith("stream") else b"a", **options)


async def answers(call: Any, kind: str) -> list[bytes]:
    return [message async for message in call] if kind.endswith("stream") else [await call]


async def taken(kind: str, request: Any) -> bytes:
    """All requests, joined. Handlers end after this: grpc.aio's client mistakes what ends a call while it
    still sends for an error of its own.
    """
    return b"".join([part async for part in request]) if kind.startswith("stream") else request


def behaviour(kind: str, ending: Callable[[], Any]) -> Callable[..., Any]:
    """A handler that answers all requests joined (twice if streaming), then calls ``ending``."""

    async def unary(request: Any, context: Any) -> bytes:
        answer = await taken(kind, request)
        ending()
        return answer

    async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
        answer = await taken(kind, request)
        yield answer
        yield answer
        ending()

    return stream if kind.endswith("stream") else unary


def fail(error: Exception) -> Callable[[], None]:
    def ending() -> None:
        raise error

    return ending


@pytest.mark.parametrize("kind", KINDS)
async def test_answers_pass_through(kind: str) -> None:
    async with channel_to({"M": (kind, behaviour(kind, lambda: None))}) as channel:
        expected = b"ab" if kind.startswith("stream") else b"a"
        assert await answers(start(channel, kind), kind) == [expected] * (1 + kind.endswith("stream"))


@pytest.mark.parametrize("kind", KINDS)
async def test_expected_errors_reach_the_client_as_what_they_are(kind: str) -> None:
    error = InvalidArgumentError("spec.seed", "is off")
    async with channel_to({"M": (kind, behaviour(kind, fail(error)))}) as channel:
        call = start(channel, kind)
        with pytest.raises(grpc.RpcError) as caught:
            await answers(call, kind)
        back = from_rpc_error(caught.value)
        assert isinstance(back, InvalidArgumentError)
        assert (back.field, back.description) == ("spec.seed", "is off")
        assert dict(await call.trailing_metadata())[REQUEST_ID_KEY]


async def test_a_stream_delivers_what_came_before_its_error() -> None:
    async with channel_to(
        {"M": ("unary_stream", behaviour("unary_stream", fail(NotFoundError("gone"))))}
    ) as channel:
        call = start(channel, "unary_stream")
        assert [await call.read(), await call.read()] == [b"a", b"a"]
        with pytest.raises(grpc.RpcError) as caught:
            await call.read()
        assert type(from_rpc_error(caught.value)) is NotFoundError


@pytest.mark.parametrize("kind", KINDS)
async def test_the_wirings_map_is_followed_for_subclasses_too(kind: str) -> None:
    error_map: ErrorMap = {DomainError: lambda error: FailedPreconditionError(str(error), reason="DOMAIN")}
    handler = behaviour(kind, fail(NarrowerDomainError("no")))
    async with channel_to({"M": (kind, handler)}, error_map) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            await answers(start(channel, kind), kind)
        back = from_rpc_error(caught.value)
        assert (type(back), back.message, back.reason) == (FailedPreconditionError, "no", "DOMAIN")


async def test_the_map_can_say_more_of_a_service_error() -> None:
    class TargetFailedError(ServiceError):
        pass

    error_map: ErrorMap = {TargetFailedError: lambda error: UnavailableError(f"target: {error}")}
    handler = behaviour("unary_unary", fail(TargetFailedError("gone")))
    async with channel_to({"M": ("unary_unary", handler)}, error_map) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            await start(channel, "unary_unary")
        assert str(from_rpc_error(caught.value)) == "target: gone"


@pytest.mark.parametrize("kind", KINDS)
async def test_unexpected_errors_are_logged_and_told_without_their_text(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with channel_to({"M": (kind, behaviour(kind, fail(KeyError("secret"))))}) as channel:
        call = start(channel, kind, metadata=((REQUEST_ID_KEY, "req-7"),))
        with pytest.raises(grpc.RpcError) as caught:
            await answers(call, kind)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    told = caught.value.details() or ""
    assert "req-7" in told
    assert "secret" not in told
    record = next(each for each in caplog.records if each.exc_info)
    assert record.levelno == logging.ERROR
    assert "secret" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handlers_own_abort_passes(kind: str) -> None:
    async def unary(request: Any, context: Any) -> None:
        await taken(kind, request)
        await context.abort(grpc.StatusCode.DATA_LOSS, "mine")

    async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
        await taken(kind, request)
        await context.abort(grpc.StatusCode.DATA_LOSS, "mine")
        yield b""

    async with channel_to({"M": (kind, stream if kind.endswith("stream") else unary)}) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            await answers(start(channel, kind), kind)
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.DATA_LOSS, "mine")


async def test_a_handler_may_write_instead_of_yield() -> None:
    async def writer(request: bytes, context: Any) -> None:
        await context.write(request)
        await context.write(request)

    async with channel_to({"M": ("unary_stream", writer)}) as channel:
        assert await answers(start(channel, "unary_stream"), "unary_stream") == [b"a", b"a"]


async def test_cancelled_work_that_the_rpc_waited_for_is_unavailable_not_silence() -> None:
    async def waits(request: bytes, context: Any) -> bytes:
        work = asyncio.create_task(asyncio.sleep(60))
        asyncio.get_running_loop().call_later(0.01, work.cancel)
        await work
        return b""

    async with channel_to({"M": ("unary_unary", waits)}) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            await start(channel, "unary_unary")
        back = from_rpc_error(caught.value)
        assert (type(back), back.reason) == (UnavailableError, "CANCELLED")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_client_that_leaves_ends_the_handler_at_once(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    entered, left = asyncio.Event(), asyncio.Event()

    async def unary(request: Any, context: Any) -> bytes:
        entered.set()
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        return b""

    async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
        yield await unary(request, context)

    async with channel_to({"M": (kind, stream if kind.endswith("stream") else unary)}) as channel:
        call = start(channel, kind)
        reading = asyncio.create_task(answers(call, kind))
        await asyncio.wait_for(entered.wait(), 5)
        call.cancel()
        await asyncio.wait_for(left.wait(), 5)
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.sleep(0.05)
    assert [each.levelname for each in caplog.records if each.levelno > logging.INFO] == []
    assert f"/{SERVICE}/M CANCELLED" in caplog.text


async def test_a_generator_is_closed_when_its_client_leaves_between_two_messages() -> None:
    closed = asyncio.Event()

    async def stream(request: Any, context: Any) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    async with channel_to({"M": ("unary_stream", stream)}) as channel:
        call = start(channel, "unary_stream")
        assert await call.read() == b"x"
        call.cancel()
        await asyncio.wait_for(closed.wait(), 5)


async def test_a_passed_deadline_is_logged_as_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    left = asyncio.Event()

    async def slow(request: bytes, context: Any) -> bytes:
        try:
            await asyncio.sleep(60)
        finally:
            left.set()
        return b""

    async with channel_to({"M": ("unary_unary", slow)}) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            await start(channel, "unary_unary", timeout=0.2)
        await asyncio.wait_for(left.wait(), 5)
        await asyncio.sleep(0.05)
    assert from_rpc_error(caught.value).reason == "DEADLINE_EXCEEDED"
    assert f"/{SERVICE}/M DEADLINE_EXCEEDED" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_bytes_that_are_no_request_are_an_invalid_argument(kind: str) -> None:
    handlers = {"M": (kind, behaviour(kind, lambda: None))}
    async with channel_to(handlers, parse=Mask.FromString) as channel:
        method = getattr(channel, kind)(f"/{SERVICE}/M")
        call = method(iter([b"\xff"]) if kind.startswith("stream") else b"\xff", timeout=10)
        with pytest.raises(grpc.RpcError) as caught:
            await answers(call, kind)
        assert type(from_rpc_error(caught.value)) is InvalidArgumentError


@pytest.mark.parametrize(
    ("offered", "taken"),
    [("abc-1.2:3_4", True), ("x" * 64, True), ("x" * 65, False), ("two words", False), ("", False)],
)
async def test_a_request_id_is_taken_if_it_is_fit_to_log_else_made(offered: str, taken: bool) -> None:
    seen = []

    async def handler(request: bytes, context: Any) -> bytes:
        seen.append(request_id.get())
        return b""

    async with channel_to({"M": ("unary_unary", handler)}) as channel:
        call = start(channel, "unary_unary", metadata=((REQUEST_ID_KEY, offered),))
        await call
        returned = dict(await call.trailing_metadata())[REQUEST_ID_KEY]
    assert seen == [returned]
    assert (returned == offered) is taken
    assert returned


async def test_concurrent_requests_keep_their_own_ids() -> None:
    async def handler(request: bytes, context: Any) -> bytes:
        await asyncio.sleep(0.01)
        return request_id.get().encode()

    async with channel_to({"M": ("unary_unary", handler)}) as channel:
        names = [f"id-{number}" for number in range(20)]
        got = await asyncio.gather(
            *(start(channel, "unary_unary", metadata=((REQUEST_ID_KEY, name),)) for name in names)
        )
    assert [each.decode() for each in got] == names
    assert request_id.get() == "-"


async def test_the_access_log_has_method_code_time_and_peer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pixelprobe_services.access")
    handlers = {
        "Good": ("unary_unary", behaviour("unary_unary", lambda: None)),
        "Bad": ("unary_stream", behaviour("unary_stream", fail(NotFoundError("no such\nthing")))),
    }
    async with channel_to(handlers) as channel:
        await start(channel, "unary_unary", "Good")
        with pytest.raises(grpc.RpcError):
            await answers(start(channel, "unary_stream", "Bad"), "unary_stream")
    good, bad = (record.getMessage() for record in caplog.records)
    assert good.startswith(f"/{SERVICE}/Good OK ")
    assert " ms ipv4:127.0.0.1:" in good
    assert bad.startswith(f"/{SERVICE}/Bad NOT_FOUND ")
    # What clients sent must not be able to forge lines.
    assert "\n" not in bad


async def test_an_unknown_method_is_unimplemented() -> None:
    async with channel_to({}) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            await start(channel, "unary_unary", "Nope")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
