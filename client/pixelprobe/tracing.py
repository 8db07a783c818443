"""Spans of the client: one for each command and each RPC, propagated to the services."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import grpc

from pixelprobe_services.common import tracing

PROGRAM = "pixelprobe-client"


@contextlib.contextmanager
def traced_command(name: str) -> Iterator[None]:
    """Make a command and its RPCs one trace; does nothing while tracing is off.

    Raises:
        TracingError: an endpoint is set, but the extra ``tracing`` is not installed.
    """
    # Messages about a collector that is down do not belong in the output of a command.
    logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
    logging.getLogger("opentelemetry").propagate = False
    tracing.configure(PROGRAM)
    try:
        with tracing.span(f"pixelprobe {name}"):
            yield
    finally:
        tracing.close()


def traced(channel: grpc.Channel) -> grpc.Channel:
    """Return the channel with a span for each call, or unchanged while tracing is off."""
    return grpc.intercept_channel(channel, _Spans()) if tracing.is_on() else channel


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _Spans(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
):
    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return _with_span(continuation, client_call_details, request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return _with_span(continuation, client_call_details, request)

    def intercept_stream_unary(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        return _with_span(continuation, client_call_details, request_iterator)


def _with_span(continuation: Callable[[Any, Any], Any], details: Any, request: Any) -> Any:
    """Make a call whose span ends with it, or with its stream."""
    span = tracing.start(details.method.removeprefix("/"), tracing.Kind.CLIENT, rpc__system="grpc")
    metadata = list(details.metadata or ())
    if span.traceparent:
        metadata.append((tracing.TRACEPARENT, span.traceparent))
    call = continuation(
        _Details(
            details.method,
            details.timeout,
            metadata,
            details.credentials,
            details.wait_for_ready,
            details.compression,
        ),
        request,
    )

    def ended(done: Any) -> None:
        code = done.code().name
        span.set("rpc.response.status_code", code)
        if code != "OK":
            span.fail(code)
        span.end()

    call.add_done_callback(ended)
    return call
