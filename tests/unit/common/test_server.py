"""A server's life: truthful health, reflection, a taken port noticed, a drain that loses no RPC."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.common.status import from_rpc_error
from pixelprobe_services.server import server as server_module
from pixelprobe_services.server.server import serve
from pixelprobe_services.server.settings import StartError

SERVICE = "test.Service"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass
class Running:
    address: str
    channel: grpc.aio.Channel
    stop: asyncio.Event
    task: asyncio.Task[None]
    health: Any = field(init=False)

    def __post_init__(self) -> None:
        self.health = health_pb2_grpc.HealthStub(self.channel)

    async def ask(self, *, seconds: float) -> bytes:
        """Call the handler, over a channel of its own."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            method: Any = channel.unary_unary(f"/{SERVICE}/M")
            answer: bytes = await method(b"", timeout=seconds)
            return answer

    async def status(self, service: str = "") -> int:
        request = health_pb2.HealthCheckRequest(service=service)
        answer = await self.health.Check(request, timeout=5, wait_for_ready=True)
        return int(answer.status)

    async def comes_to(self, status: int) -> None:
        async for answer in self.health.Watch(health_pb2.HealthCheckRequest(), timeout=10):
            if answer.status == status:
                return


@contextlib.asynccontextmanager
async def running(
    handler: Callable[..., Awaitable[bytes]] | None = None, listen: str = "127.0.0.1:0", **options: Any
) -> AsyncIterator[Running]:
    def add(server: grpc.aio.Server) -> list[str]:
        handlers: dict[str, Any] = {"M": grpc.unary_unary_rpc_method_handler(handler)} if handler else {}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        return [SERVICE]

    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(
        serve(listen=listen, add_servicers=add, on_listening=address.set_result, stop=stop, **options)
    )
    task.add_done_callback(lambda _: address.done() or address.cancel())
    with contextlib.suppress(asyncio.CancelledError):
        await address
    if task.done():
        task.result()
    try:
        async with grpc.aio.insecure_channel(address.result()) as channel:
            yield Running(address.result(), channel, stop, task)
    finally:
        stop.set()
        await asyncio.wait_for(task, 15)


async def test_port_zero_is_told_as_the_real_port() -> None:
    async with running() as service:
        host, port = service.address.split(":")
        assert host == "127.0.0.1"
        assert int(port) > 0


@pytest.mark.parametrize("name", ["", SERVICE])
async def test_without_a_readiness_check_it_serves(name: str) -> None:
    async with running() as service:
        assert await service.status(name) == SERVING


async def test_an_unknown_service_is_not_found() -> None:
    async with running() as service:
        with pytest.raises(grpc.RpcError) as caught:
            await service.status("test.Other")
        assert type(from_rpc_error(caught.value)) is NotFoundError


async def test_health_follows_readiness_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "READINESS_INTERVAL_SECONDS", 0.01)
    ready = False

    async def readiness() -> bool:
        return ready

    async with running(readiness=readiness) as service:
        assert await service.status() == NOT_SERVING
        assert await service.status(SERVICE) == NOT_SERVING
        ready = True
        await service.comes_to(SERVING)
        assert await service.status(SERVICE) == SERVING
        ready = False
        await service.comes_to(NOT_SERVING)


async def test_a_check_that_fails_or_hangs_is_not_ready_and_polling_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "READINESS_INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(server_module, "_READINESS_TIMEOUT_SECONDS", 0.05)
    mode = "fails"

    async def readiness() -> bool:
        if mode == "fails":
            raise OSError("no disk")
        if mode == "hangs":
            await asyncio.sleep(60)
        return True

    async with running(readiness=readiness) as service:
        assert await service.status() == NOT_SERVING
        mode = "works"
        await service.comes_to(SERVING)
        mode = "hangs"
        await service.comes_to(NOT_SERVING)
        mode = "works"
        await service.comes_to(SERVING)


async def test_reflection_lists_the_services() -> None:
    async with running() as service:
        stub = reflection_pb2_grpc.ServerReflectionStub(service.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = await stub.ServerReflectionInfo(iter([request]), timeout=5).read()
        names = {each.name for each in answer.list_services_response.service}
        assert {SERVICE, "grpc.health.v1.Health"} <= names


@pytest.mark.parametrize("taken_host", ["127.0.0.1", ""])
async def test_a_taken_port_is_told_in_one_line(taken_host: str) -> None:
    with socket.create_server((taken_host, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError) as caught:
            async with running(listen=f"127.0.0.1:{port}"):
                pass
    assert caught.value.exit_code == 2
    assert caught.value.message == f"cannot listen on 127.0.0.1:{port}: Address already in use"


async def test_two_servers_cannot_share_a_port() -> None:
    async with running() as first:
        with pytest.raises(StartError, match="already in use"):
            async with running(listen=first.address):
                pass
        assert await first.status() == SERVING


async def test_the_port_can_be_had_again_at_once() -> None:
    async with running() as first:
        assert await first.status() == SERVING
    async with running(listen=first.address) as second:
        assert second.address == first.address


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(StartError, match=r"cannot listen on 192\.0\.2\.1:5000"):
        async with running(listen="192.0.2.1:5000"):
            pass


async def test_draining_finishes_what_is_under_way_and_takes_nothing_new() -> None:
    entered, finish, shut = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(request: bytes, context: Any) -> bytes:
        entered.set()
        await finish.wait()
        return b"done"

    async def on_shutdown() -> None:
        shut.set()

    async with running(handler, on_shutdown=on_shutdown) as service:
        call = asyncio.create_task(service.ask(seconds=10))
        await asyncio.wait_for(entered.wait(), 5)
        service.stop.set()
        await asyncio.wait_for(shut.wait(), 5)
        with pytest.raises(grpc.RpcError) as caught:
            await service.ask(seconds=5)
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        finish.set()
        assert await call == b"done"


async def test_draining_ends_when_its_time_is_up() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(request: bytes, context: Any) -> bytes:
        entered.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
        return b""

    async def on_shutdown() -> None:
        await asyncio.sleep(60)

    async with running(handler, on_shutdown=on_shutdown, drain_seconds=0.2) as service:
        call = asyncio.create_task(service.ask(seconds=30))
        await asyncio.wait_for(entered.wait(), 5)
        service.stop.set()
        await asyncio.wait_for(service.task, 5)
        with pytest.raises(grpc.RpcError):
            await call
    assert cancelled.is_set()
