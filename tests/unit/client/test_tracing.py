"""Spans of the client: one for each RPC of any kind, under the command's, carried to the server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from pixelprobe.cli.root import cli
from pixelprobe.rpc import open_channel
from pixelprobe.tracing import traced_command
from pixelprobe_services.common import tracing
from tests.collector import Collector, collecting


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        yield running


@contextmanager
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Its address, and the metadata of each call."""
    seen: list[dict[str, Any]] = []

    def one(request: Any, context: grpc.ServicerContext) -> bytes:
        seen.append(dict(context.invocation_metadata()))
        for _ in request if hasattr(request, "__next__") else ():
            pass
        if request == b"bad":
            context.abort(grpc.StatusCode.NOT_FOUND, "no")
        return b"1"

    def many(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield one(request, context)
        yield b"2"

    handlers: dict[str, Any] = {
        "UU": grpc.unary_unary_rpc_method_handler(one),
        "US": grpc.unary_stream_rpc_method_handler(many),
        "SU": grpc.stream_unary_rpc_method_handler(one),
    }
    running = grpc.server(ThreadPoolExecutor(4))
    running.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("S", handlers),))
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    try:
        yield f"127.0.0.1:{port}", seen
    finally:
        running.stop(None).wait()


def opened(address: str) -> Any:
    """The client's channel; its methods here take and give bytes."""
    return open_channel(address)


def test_every_kind_of_rpc_is_a_span_and_carried_on(collector: Collector) -> None:
    with server() as (address, seen), traced_command("test"), opened(address) as channel:
        assert channel.unary_unary("/S/UU")(b"", timeout=10, metadata=(("a", "b"),)) == b"1"
        assert list(channel.unary_stream("/S/US")(b"", timeout=10)) == [b"1", b"2"]
        assert channel.stream_unary("/S/SU")(iter([b"x"]), timeout=10) == b"1"
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/S/UU")(b"bad", timeout=10)
    (command,) = collector.named("pixelprobe test", "pixelprobe-client")
    calls = [*collector.named("S/UU"), *collector.named("S/US"), *collector.named("S/SU")]
    assert len(calls) == 4
    assert {call.parent for call in calls} == {command.id}
    carried = {one["traceparent"].rpartition("-")[0] for one in seen}  # without the flags
    assert carried == {f"00-{call.trace}-{call.id}" for call in calls}
    assert seen[0]["a"] == "b"
    (failed,) = [call for call in calls if call.failed]
    assert failed.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert not tracing.is_on()


def test_without_an_endpoint_nothing_is_carried() -> None:
    with server() as (address, seen), traced_command("test"), opened(address) as channel:
        assert channel.unary_unary("/S/UU")(b"", timeout=10) == b"1"
    assert "traceparent" not in seen[0]


def test_a_stream_that_the_client_leaves_ends_its_span(collector: Collector) -> None:
    with server() as (address, _), traced_command("test"), opened(address) as channel:
        stream = channel.unary_stream("/S/US")(b"", timeout=10)
        assert next(iter(stream)) == b"1"
        stream.cancel()
        collector.until(lambda: not stream.is_active())
    assert len(collector.named("S/US")) == 1


def test_a_command_is_a_trace(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELPROBE_ORCHESTRATOR", "127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        cli(["targets", "list"])
    assert ended.value.code == 1
    (command,) = collector.named("pixelprobe targets")
    (asked,) = collector.named("pixelprobe.attack.v1.AttackService/ListTargets")
    assert asked.parent == command.id
    assert asked.failed


def test_an_endpoint_without_the_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "pixelprobe_services.common.otel", None)
    with pytest.raises(SystemExit) as ended:
        cli(["targets", "list"])
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: OTEL_EXPORTER_OTLP_ENDPOINT is set, but tracing is not installed")
