"""An OpenTelemetry collector for tests: a real gRPC server that keeps the spans it receives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc


@dataclass(frozen=True)
class SentSpan:
    """A span as it arrived; ids are hexadecimal, ``parent`` is empty for a root."""

    program: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    failed: bool
    reason: str


@dataclass
class Collector(pb_grpc.TraceServiceServicer):
    """``spans``: all that arrived, in that order."""

    endpoint: str = ""
    spans: list[SentSpan] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def Export(self, request: pb.ExportTraceServiceRequest, context: grpc.ServicerContext) -> Any:  # noqa: N802
        with self._lock:
            for of_program in request.resource_spans:
                program = _plain(of_program.resource.attributes)["service.name"]
                for scope in of_program.scope_spans:
                    self.spans += [_read(program, span) for span in scope.spans]
        return pb.ExportTraceServiceResponse()

    def named(self, name: str, program: str | None = None) -> list[SentSpan]:
        with self._lock:
            return [span for span in self.spans if span.name == name and program in (None, span.program)]

    def by_id(self) -> dict[str, SentSpan]:
        with self._lock:
            return {span.id: span for span in self.spans}

    def until(self, arrived: Callable[[], bool], seconds: float = 30) -> None:
        """Wait for spans, which exporters send every few seconds."""
        give_up = time.monotonic() + seconds
        while not arrived():
            assert time.monotonic() < give_up, sorted({(span.program, span.name) for span in self.spans})
            time.sleep(0.05)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector until the block ends."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    pb_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()


def _read(program: str, span: Any) -> SentSpan:
    return SentSpan(
        program=program,
        name=span.name,
        kind=span.kind,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links),
        attributes=_plain(span.attributes),
        failed=span.status.code == span.status.STATUS_CODE_ERROR,
        reason=span.status.message,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
