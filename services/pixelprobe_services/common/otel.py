"""Spans by OpenTelemetry's SDK, sent to a collector over OTLP (gRPC). Imported only where they are wanted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pixelprobe_services.common.spans import TRACEPARENT, Kind, Span, Value
from pixelprobe_services.common.version import own_version

CLOSE_SECONDS = 2.0
"""A collector that does not answer must not hold up the end of a program for longer."""

_KINDS = {
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
    Kind.SERVER: trace.SpanKind.SERVER,
    Kind.CLIENT: trace.SpanKind.CLIENT,
}
_W3C = TraceContextTextMapPropagator()


class OtelSpan:
    """A span of the SDK's."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    @property
    def traceparent(self) -> str:
        return _traceparent(trace.set_span_in_context(self.span, context.Context()))

    def set(self, name: str, value: Value) -> None:
        self.span.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        self.span.set_status(trace.StatusCode.ERROR, reason)

    def end(self) -> None:
        self.span.end()


class OtelTracer:
    """Sends what it collects every few seconds, by the environment's settings (OTEL_...)."""

    def __init__(self, program: str) -> None:
        resource = Resource.create({SERVICE_NAME: program, SERVICE_VERSION: own_version() or "unknown"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("pixelprobe", own_version())

    def start(
        self, name: str, kind: Kind, parent: str, links: Iterable[str], attributes: dict[str, Value]
    ) -> OtelSpan:
        return OtelSpan(
            self._tracer.start_span(
                name,
                _context_of(parent) if parent else None,
                _KINDS[kind],
                attributes,
                [trace.Link(trace.get_current_span(_context_of(link)).get_span_context()) for link in links],
            )
        )

    @contextlib.contextmanager
    def within(self, span: Span | None) -> Iterator[None]:
        here = context.Context()
        if isinstance(span, OtelSpan):
            here = trace.set_span_in_context(span.span, here)
        token = context.attach(here)
        try:
            yield
        finally:
            context.detach(token)

    def traceparent(self) -> str:
        return _traceparent(None)

    def note(self, name: str, value: Value) -> None:
        trace.get_current_span().set_attribute(name, value)

    def close(self) -> None:
        # The SDK waits for a collector that is down as long as its own time-outs say, which is too long here.
        closing = threading.Thread(target=self._provider.shutdown, name="tracing-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def _context_of(traceparent: str) -> context.Context:
    """A context with that span in hand; without any if it is none."""
    return _W3C.extract({TRACEPARENT: traceparent}, context.Context())


def _traceparent(where: context.Context | None) -> str:
    if not trace.get_current_span(where).get_span_context().trace_flags.sampled:
        return ""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, where)
    return carrier.get(TRACEPARENT, "")
