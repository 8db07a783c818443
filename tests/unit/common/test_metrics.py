"""RPC metrics over a real server, and the page that Prometheus reads."""

from __future__ import annotations

import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.server.interceptors import interceptors
from pixelprobe_services.server.metrics import RpcMetrics, exposed, new_registry
from pixelprobe_services.server.settings import StartError
from tests.prometheus import of, scrape, total


@pytest.fixture
def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def calls(registry: CollectorRegistry) -> None:
    async def good(request: bytes, context: Any) -> bytes:
        assert total(of(registry), "pixelprobe_rpcs_in_flight") == 1
        return b""

    async def bad(request: bytes, context: Any) -> bytes:
        raise InvalidArgumentError("f", "off")

    async def buggy(request: bytes, context: Any) -> bytes:
        raise ZeroDivisionError

    async def slow(request: bytes, context: Any) -> bytes:
        await asyncio.sleep(60)
        return b""

    server = grpc.aio.server(interceptors=interceptors(None, [RpcMetrics(registry)]))
    handlers: dict[str, Any] = {
        name: grpc.unary_unary_rpc_method_handler(handler)
        for name, handler in {"Good": good, "Bad": bad, "Buggy": buggy, "Slow": slow}.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("S", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for name, timeout in (
            ("Good", 10),
            ("Good", 10),
            ("Bad", 10),
            ("Buggy", 10),
            ("Slow", 0.2),
            ("No", 10),
        ):
            method: Any = channel.unary_unary(f"/S/{name}")
            try:
                await method(b"", timeout=timeout)
            except grpc.aio.AioRpcError:
                continue
    await server.stop(1)


async def test_rpcs_by_method_and_code() -> None:
    registry = CollectorRegistry()
    await calls(registry)
    samples = of(registry)
    ended = {
        (dict(labels)["method"], dict(labels)["code"]): value
        for (name, labels), value in samples.items()
        if name == "pixelprobe_rpcs_total" and value
    }
    given_up = {code: ended.pop((method, code)) for method, code in list(ended) if method == "S/Slow"}
    assert ended == {
        ("S/Good", "OK"): 2,
        ("S/Bad", "INVALID_ARGUMENT"): 1,
        ("S/Buggy", "INTERNAL"): 1,
    }  # a method that does not exist is a name that a client made up
    assert given_up in ({"CANCELLED": 1}, {"DEADLINE_EXCEEDED": 1})  # whoever notices first
    assert total(samples, "pixelprobe_rpcs_total", method="S/Good", code="INTERNAL") == 0
    assert total(samples, "pixelprobe_rpc_seconds_count", method="S/Good") == 2
    assert 0.1 < total(samples, "pixelprobe_rpc_seconds_sum", method="S/Slow") < 5
    assert total(samples, "pixelprobe_rpcs_in_flight") == 0


def test_the_page_is_there_for_as_long_as_the_block(free_address: str) -> None:
    with exposed(new_registry("test"), free_address):
        samples = scrape(free_address)
        assert total(samples, "pixelprobe_build_info", service="test") == 1
        assert total(samples, "process_resident_memory_bytes") > 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{free_address}/metrics", timeout=5)


def test_no_address_no_page() -> None:
    with exposed(new_registry("test"), ""):
        pass


def test_two_registries_know_nothing_of_each_other() -> None:
    registries = {name: new_registry(name) for name in ("one", "other")}
    for name, registry in registries.items():
        RpcMetrics(registry)
        assert {dict(labels)["service"] for _, labels in of(registry) if dict(labels).get("service")} == {
            name
        }


@pytest.fixture
def taken() -> Iterator[str]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield f"127.0.0.1:{holder.getsockname()[1]}"


def test_a_taken_address_is_told(taken: str) -> None:
    with (
        pytest.raises(StartError, match=f"cannot serve metrics on {taken}: Address already in use"),
        exposed(new_registry("test"), taken),
    ):
        pass
