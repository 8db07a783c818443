"""Spans of what is done for whom, across client, services and Triton, sent to an OpenTelemetry collector.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT (or its sibling for traces alone) names a collector; then nothing of
OpenTelemetry is even imported. What goes from program to program is W3C's ``traceparent``, a string; spans
that are not sampled are not carried on. The SDK's own variables hold: OTEL_TRACES_SAMPLER and the like.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

from pixelprobe_services.common.errors import FailedPreconditionError
from pixelprobe_services.common.spans import TRACEPARENT, Kind, Span, Tracer, Value

ENDPOINT_ENVS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

__all__ = [
    "TRACEPARENT", "Kind", "TracingError", "carried", "close", "configure", "is_on", "note", "part", "span",
    "start", "trace_id", "traceparent", "untraced", "use",
]  # fmt: skip


class TracingError(FailedPreconditionError):
    """Traces are asked for and cannot be made: one line that says what to do."""

    reason = "TRACING_UNAVAILABLE"


class _NoSpan:
    traceparent = ""

    def set(self, name: str, value: Value) -> None:
        """Nobody asks."""

    def fail(self, reason: str) -> None:
        """Nobody asks."""

    def end(self) -> None:
        """It never began."""


class _NoTracer:
    def start(
        self,
        name: str,  # noqa: ARG002
        kind: Kind,  # noqa: ARG002
        parent: str,  # noqa: ARG002
        links: Iterable[str],  # noqa: ARG002
        attributes: dict[str, Value],  # noqa: ARG002
    ) -> Span:
        return _NO_SPAN

    def within(self, span: Span | None) -> AbstractContextManager[None]:  # noqa: ARG002
        return nullcontext()

    def traceparent(self) -> str:
        return ""

    def note(self, name: str, value: Value) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """Nothing is open."""


_NO_SPAN = _NoSpan()
_OFF: Tracer = _NoTracer()
_tracer: Tracer = _OFF


def configure(program: str) -> None:
    """Trace from now on, as ``program``, if an endpoint is set; once for each process, as with logging.

    Raises:
        TracingError: the extra ``tracing`` is not installed.
    """
    if not any(os.environ.get(name) for name in ENDPOINT_ENVS):
        return
    try:
        from pixelprobe_services.common.otel import OtelTracer
    except ImportError as error:
        raise TracingError(
            f"{ENDPOINT_ENVS[1]} is set, but tracing is not installed: pip install 'pixelprobe[tracing]'"
        ) from error
    use(OtelTracer(program))


def use(tracer: Tracer | None) -> None:
    """Make spans with ``tracer`` from now on; None makes none."""
    global _tracer  # noqa: PLW0603  (as logging has: spans are made everywhere, and handed down nowhere)
    _tracer = tracer or _OFF


def close() -> None:
    """Send what is left, and make no more spans."""
    last = _tracer
    use(None)
    last.close()


def is_on() -> bool:
    """Whether spans are made."""
    return _tracer is not _OFF


def start(
    name: str, kind: Kind = Kind.INTERNAL, *, parent: str = "", links: Iterable[str] = (), **attributes: Value
) -> Span:
    """Begin a span that somebody else ends; it is not in hand.

    Args:
        name: one of few, so that equal work can be found.
        kind: see :class:`Kind`.
        parent: a traceparent; by default the span in hand, if any.
        links: traceparents of others that this is done for.
        attributes: what sets it apart; dots are written as double underscores.
    """
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    return _tracer.start(name, kind, parent, links, named)


@contextlib.contextmanager
def span(
    name: str, kind: Kind = Kind.INTERNAL, *, parent: str = "", links: Iterable[str] = (), **attributes: Value
) -> Iterator[Span]:
    """The block as a span, in hand while it runs; see :func:`start`. An exception that leaves it fails it."""
    begun = start(name, kind, parent=parent, links=links, **attributes)
    try:
        with _tracer.within(begun):
            yield begun
    except Exception as error:
        begun.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        begun.end()


def part(name: str, kind: Kind = Kind.INTERNAL) -> AbstractContextManager[object]:
    """The block as a span under the one in hand; without one it is none."""
    return span(name, kind) if traceparent() else nullcontext()


def untraced() -> AbstractContextManager[None]:
    """The block belongs to no span, whatever was in hand."""
    return _tracer.within(None)


def note(name: str, value: Value) -> None:
    """Note an attribute of the span in hand, if there is one."""
    _tracer.note(name, value)


def traceparent() -> str:
    """Of the span in hand; empty without one that is recorded."""
    return _tracer.traceparent()


def carried() -> tuple[tuple[str, str], ...]:
    """Metadata or headers that go with a call, so that the other side's span hangs under the one in hand."""
    value = traceparent()
    return ((TRACEPARENT, value),) if value else ()


def trace_id() -> str:
    """Of the span in hand, 32 hexadecimal digits; empty without one that is recorded."""
    value = traceparent()
    return value.split("-")[1] if value else ""
