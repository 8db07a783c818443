"""Spans across client, services and Triton, sent to an OpenTelemetry collector.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT (or its sibling for traces alone) names a collector; nothing of
OpenTelemetry is imported then. Between programs goes W3C's ``traceparent``, a string; spans that are not
sampled are not propagated. The SDK's own variables apply, such as OTEL_TRACES_SAMPLER.

Example::

    tracing.configure("pixelprobe-orchestrator")
    with tracing.span("target request", tracing.Kind.CLIENT, pixelprobe__target=name):
        await call(metadata=tracing.carried())
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import TYPE_CHECKING, Any

from pixelprobe_services.common.errors import FailedPreconditionError

if TYPE_CHECKING:
    from pixelprobe_services.common.otel import OtelTracer

ENDPOINT_ENVS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
TRACEPARENT = "traceparent"
"""The header that carries a span from program to program, by W3C's Trace Context."""

Value = str | int | float | bool


class TracingError(FailedPreconditionError):
    """Traces are requested and cannot be made; the message is one line that says what to do."""

    reason = "TRACING_UNAVAILABLE"


class Kind(Enum):
    """Side of a call."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


class Span:
    """An operation that takes time; while tracing is off it does nothing. It may end on another thread.

    Attributes:
        made: the SDK's span; None while tracing is off.
        traceparent: for parts of the operation in other programs; empty if the span is not recorded.
    """

    def __init__(self, made: Any = None, traceparent: str = "") -> None:
        self.made = made
        self.traceparent = traceparent

    def set(self, name: str, value: Value) -> None:
        """Set an attribute."""
        if self.made is not None:
            self.made.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        """Mark the operation as failed."""
        if _tracer is not None and self.made is not None:
            _tracer.fail(self.made, reason)

    def end(self) -> None:
        """End the span."""
        if self.made is not None:
            self.made.end()


_OFF = Span()
_tracer: OtelTracer | None = None


def configure(program: str) -> None:
    """Start tracing as ``program`` if an endpoint is set; once per process, as with logging.

    Raises:
        TracingError: the extra ``tracing`` is not installed.
    """
    global _tracer  # noqa: PLW0603  (as logging has: spans are made everywhere, and handed down nowhere)
    if not any(os.environ.get(name) for name in ENDPOINT_ENVS):
        return
    try:
        from pixelprobe_services.common.otel import OtelTracer
    except ImportError as error:
        raise TracingError(
            f"{ENDPOINT_ENVS[1]} is set, but tracing is not installed: pip install 'pixelprobe[tracing]'"
        ) from error
    _tracer = OtelTracer(program)


def close() -> None:
    """Send what is left, and turn tracing off."""
    global _tracer
    last, _tracer = _tracer, None
    if last is not None:
        last.close()


def is_on() -> bool:
    """Whether spans are made."""
    return _tracer is not None


def start(
    name: str, kind: Kind = Kind.INTERNAL, *, parent: str = "", links: Iterable[str] = (), **attributes: Value
) -> Span:
    """Start a span that the caller ends; it does not become the current one.

    Args:
        name: one of few, so that spans of equal operations can be found.
        kind: side of the call.
        parent: a traceparent; the current span by default.
        links: traceparents of other operations that this one serves.
        attributes: details; a double underscore stands for a dot.
    """
    if _tracer is None:
        return _OFF
    named = {key.replace("__", "."): value for key, value in attributes.items()}
    made = _tracer.start(name, kind.value, parent, links, named)
    return Span(made, _tracer.traceparent(made))


@contextlib.contextmanager
def span(
    name: str, kind: Kind = Kind.INTERNAL, *, parent: str = "", links: Iterable[str] = (), **attributes: Value
) -> Iterator[Span]:
    """Make the block a span, current while it runs; an exception that leaves the block fails the span.

    The arguments are those of :func:`start`.
    """
    begun = start(name, kind, parent=parent, links=links, **attributes)
    try:
        with _current(begun):
            yield begun
    except Exception as error:
        begun.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        begun.end()


def part(name: str, kind: Kind = Kind.INTERNAL) -> AbstractContextManager[object]:
    """Make the block a span below the current one; without a current one, nothing."""
    return span(name, kind) if traceparent() else nullcontext()


def untraced() -> AbstractContextManager[None]:
    """Run the block without a current span."""
    return _current(_OFF)


def note(name: str, value: Value) -> None:
    """Set an attribute of the current span, if there is one."""
    if _tracer is not None:
        _tracer.note(name, value)


def traceparent() -> str:
    """Return the current span's; empty if there is none, or if it is not recorded."""
    return _tracer.traceparent() if _tracer is not None else ""


def carried() -> tuple[tuple[str, str], ...]:
    """Return the metadata or headers that put the other side's spans below the current one."""
    value = traceparent()
    return ((TRACEPARENT, value),) if value else ()


def trace_id() -> str:
    """Return the current trace's id, 32 hexadecimal digits; empty if no recorded span is current."""
    value = traceparent()
    return value.split("-")[1] if value else ""


def _current(begun: Span) -> AbstractContextManager[None]:
    return _tracer.current(begun.made) if _tracer is not None else nullcontext()
