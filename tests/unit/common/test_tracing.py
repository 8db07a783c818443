"""Spans: nothing at all where no endpoint is set; else they reach a collector, each under the right one."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from pixelprobe_services.common import tracing
from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.server.interceptors import interceptors
from pixelprobe_services.server.rpc_spans import RpcSpans
from tests.collector import Collector, SentSpan, collecting

SERVER, CLIENT = 2, 3
FROM_ELSEWHERE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.endpoint)
        tracing.configure("test")
        try:
            yield running
        finally:
            tracing.close()


def sent(collector: Collector) -> list[SentSpan]:
    """All spans; no more are made."""
    tracing.close()
    return collector.spans


def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded_or_done() -> None:
    program = (
        "import sys\n"
        "import pixelprobe_services.orchestrator.__main__, pixelprobe_services.segmentation.__main__\n"
        "import pixelprobe.cli.root\n"
        "from pixelprobe_services.common import tracing\n"
        "tracing.configure('x')\n"
        "with tracing.span('a') as span:\n"
        "    assert (span.traceparent, tracing.carried(), tracing.trace_id()) == ('', (), '')\n"
        "tracing.close()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    environment = {"PATH": "/usr/bin", "PYTHONPATH": ":".join(sys.path), "OTEL_EXPORTER_OTLP_ENDPOINT": ""}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_an_endpoint_without_the_extra_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "pixelprobe_services.common.otel", None)
    with pytest.raises(tracing.TracingError, match=r"pip install 'pixelprobe\[tracing\]'"):
        tracing.configure("test")
    assert not tracing.is_on()


def test_spans_nest_and_say_what_went_wrong(collector: Collector) -> None:
    with tracing.span("outer", pixelprobe__target="vgg") as outer:
        assert tracing.carried() == (("traceparent", outer.traceparent),)
        assert tracing.trace_id() in outer.traceparent
        tracing.note("pixelprobe.queries", 3)
        with pytest.raises(ValueError, match="off"), tracing.span("inner", tracing.Kind.CLIENT):
            raise ValueError("off")
        with tracing.untraced():
            assert tracing.carried() == ()
            with tracing.part("never"):
                assert tracing.carried() == ()
    inner, outer_sent = sent(collector)
    assert (inner.name, inner.kind, inner.parent) == ("inner", CLIENT, outer_sent.id)
    assert (inner.failed, inner.reason) == (True, "ValueError: off")
    assert (outer_sent.program, outer_sent.parent, outer_sent.failed) == ("test", "", False)
    assert outer_sent.attributes == {"pixelprobe.target": "vgg", "pixelprobe.queries": 3}
    assert not tracing.is_on()


def test_parent_and_links_from_elsewhere(collector: Collector) -> None:
    with tracing.span("a", parent=FROM_ELSEWHERE, links=[FROM_ELSEWHERE, "nonsense"]):
        pass
    (span,) = sent(collector)
    assert (span.trace, span.parent) == (FROM_ELSEWHERE.split("-")[1], FROM_ELSEWHERE.split("-")[2])
    assert span.links[0] == "b7ad6b7169203331"


def test_what_is_not_sampled_is_neither_sent_nor_carried_on(collector: Collector) -> None:
    with tracing.span("a", parent=NOT_SAMPLED) as span:
        assert (span.traceparent, tracing.carried()) == ("", ())
    assert sent(collector) == []


def test_a_task_of_its_own_context_has_no_span_in_hand(collector: Collector) -> None:
    async def look() -> str:
        return tracing.traceparent()

    async def run() -> tuple[str, str]:
        with tracing.span("a"):
            alone = asyncio.create_task(look(), context=contextvars.Context())
            return await asyncio.create_task(look()), await alone

    inherited, alone = asyncio.run(run())
    assert inherited != ""
    assert alone == ""


def test_a_collector_that_is_down_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing.configure("test")
    with tracing.span("a"):
        pass
    start = time.monotonic()
    tracing.close()
    assert time.monotonic() - start < 4


@contextmanager
def serving(method: Any) -> Iterator[Any]:
    """A server with this one method, and how to call it; in an event loop that runs beside the test."""
    loop = asyncio.new_event_loop()

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(interceptors=interceptors(None, [RpcSpans()]))
        handlers: dict[str, Any] = {"M": grpc.unary_unary_rpc_method_handler(method)}
        handlers["Check"] = handlers["M"]
        for name in ("test.Service", "grpc.health.v1.Health"):
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    async def ask(port: int, name: str, metadata: Any) -> str:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            method: Any = channel.unary_unary(name)
            try:
                await method(b"", timeout=10, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

    server, port = loop.run_until_complete(start())
    try:
        yield lambda name, *metadata: loop.run_until_complete(ask(port, name, metadata))
    finally:
        loop.run_until_complete(server.stop(None))
        loop.close()


def test_an_rpc_is_a_span_under_its_callers(collector: Collector) -> None:
    async def method(request: bytes, context: Any) -> bytes:
        with tracing.span("within"):
            return b""

    with serving(method) as ask:
        assert ask("/test.Service/M", ("traceparent", FROM_ELSEWHERE)) == "OK"
        assert ask("/test.Service/M", ("traceparent", "nonsense")) == "OK"
        assert ask("/grpc.health.v1.Health/Check") == "OK"
    found = sent(collector)
    first, second = [span for span in found if span.name == "test.Service/M"]
    assert (first.kind, first.parent) == (SERVER, FROM_ELSEWHERE.split("-")[2])
    assert first.attributes == {"rpc.system": "grpc", "rpc.response.status_code": "OK"}
    assert second.parent == ""
    assert [span.parent for span in found if span.name == "within"][:2] == [first.id, second.id]
    assert not [span for span in found if "Health" in span.name]


def test_an_rpc_that_fails_is_a_span_that_failed(collector: Collector) -> None:
    async def method(request: bytes, context: Any) -> bytes:
        raise NotFoundError("no such thing")

    with serving(method) as ask:
        assert ask("/test.Service/M") == "NOT_FOUND"
    (span,) = sent(collector)
    assert span.failed
    assert span.attributes["rpc.response.status_code"] == "NOT_FOUND"
