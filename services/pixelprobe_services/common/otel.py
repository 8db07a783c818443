"""Spans by OpenTelemetry's SDK, sent over OTLP (gRPC); imported only when tracing is on."""

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

from pixelprobe_services.common.version import own_version

CLOSE_SECONDS = 2.0
"""Longest wait for a collector at the end of a program."""

_W3C = TraceContextTextMapPropagator()
_HEADER = "traceparent"
Value = str | int | float | bool


class OtelTracer:
    """Makes spans and sends them every few seconds, as the environment says (OTEL_...)."""

    def __init__(self, program: str) -> None:
        resource = Resource.create({SERVICE_NAME: program, SERVICE_VERSION: own_version() or "unknown"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("pixelprobe", own_version())

    def start(
        self, name: str, kind: str, parent: str, links: Iterable[str], attributes: dict[str, Value]
    ) -> trace.Span:
        """Start a span below ``parent`` (a traceparent), or below the current one."""
        return self._tracer.start_span(
            name,
            _context_of(parent) if parent else None,
            trace.SpanKind[kind.upper()],
            attributes,
            [trace.Link(trace.get_current_span(_context_of(link)).get_span_context()) for link in links],
        )

    @contextlib.contextmanager
    def current(self, span: trace.Span | None) -> Iterator[None]:
        """Make ``span``, or none, the current one for a block."""
        here = context.Context()
        token = context.attach(here if span is None else trace.set_span_in_context(span, here))
        try:
            yield
        finally:
            context.detach(token)

    def fail(self, span: trace.Span, reason: str) -> None:
        """Mark a span as failed."""
        span.set_status(trace.StatusCode.ERROR, reason)

    def note(self, name: str, value: Value) -> None:
        """Set an attribute of the current span."""
        trace.get_current_span().set_attribute(name, value)

    def traceparent(self, span: trace.Span | None = None) -> str:
        """Return the traceparent of a span, by default the current one; empty if it is not sampled."""
        where = None if span is None else trace.set_span_in_context(span, context.Context())
        if not trace.get_current_span(where).get_span_context().trace_flags.sampled:
            return ""
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, where)
        return carrier.get(_HEADER, "")

    def close(self) -> None:
        """Send what is left, waiting at most CLOSE_SECONDS: the SDK's own time-outs are longer."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracing-close", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def _context_of(traceparent: str) -> context.Context:
    """Return a context whose current span is the given one; without any if the text is no traceparent."""
    return _W3C.extract({_HEADER: traceparent}, context.Context())
