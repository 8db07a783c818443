"""Interceptors around every RPC: request id, access log, and exceptions turned into statuses.

Each interceptor is an async context manager around the handler; :func:`wrap` puts it around all four kinds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
import uuid
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from pixelprobe_services.common.errors import InvalidArgumentError, ServiceError, UnavailableError
from pixelprobe_services.common.status import ErrorMap, to_status
from pixelprobe_services.server.caller import caller

REQUEST_ID_KEY = "x-request-id"

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Id of the current request, "-" outside of one."""

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
QUIET = ("/grpc.health.", "/grpc.reflection.")
"""Prefixes of methods that machines call all day."""

_access = logging.getLogger("pixelprobe_services.access")
_log = logging.getLogger(__name__)

# Quoted: generic for the type checker only.
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


@dataclass(frozen=True)
class Call:
    """One RPC: ``method`` is ``/package.Service/Method``, ``request`` a message or an iterator."""

    method: str
    request: Any
    context: Context


Around = Callable[[Call], AbstractAsyncContextManager[None]]


class AroundInterceptor(grpc.aio.ServerInterceptor):
    """Base of interceptors that are a context manager around each RPC.

    >>> class Timer(AroundInterceptor):
    ...     @contextlib.asynccontextmanager
    ...     async def around(self, call):
    ...         start = time.perf_counter()
    ...         yield
    ...         print(call.method, time.perf_counter() - start)
    """

    @abstractmethod
    def around(self, call: Call) -> AbstractAsyncContextManager[None]:
        """Return what is entered before the handler runs, and left with its exception if it raised."""

    def deserializer(self, handler: Handler) -> Callable[[bytes], Any] | None:
        """Return what parses requests: the handler's own parser, unless an interceptor needs another."""
        return handler.request_deserializer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler with this interceptor around it; None (no such method) stays None."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return wrap(handler, handler_call_details.method, self.around, self.deserializer(handler))


class RequestIds(AroundInterceptor):
    """Accepts the caller's ``x-request-id``, or makes one, and returns it in the trailing metadata."""

    @contextlib.asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Set ``request_id`` for the rest of the RPC's task."""
        metadata: dict[str, Any] = dict(call.context.invocation_metadata() or ())
        offered = metadata.get(REQUEST_ID_KEY, "")
        # An id that is not safe to log is replaced.
        value = offered if _ACCEPTED_ID.fullmatch(offered) else uuid.uuid4().hex
        request_id.set(value)
        call.context.set_trailing_metadata(((REQUEST_ID_KEY, value),))
        yield


class AccessLog(AroundInterceptor):
    """Logs one line an RPC: method, code, milliseconds, peer, client, error. Health checks at DEBUG."""

    @contextlib.asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Log when the RPC ends, however it ends."""
        start = time.perf_counter()
        level = logging.DEBUG if call.method.startswith(QUIET) else logging.INFO
        code: grpc.StatusCode | None = None
        try:
            yield
        except asyncio.CancelledError:
            code = code_of(call, cancelled=True)
            raise
        finally:
            code = code or code_of(call)
            milliseconds = (time.perf_counter() - start) * 1000
            details = call.context.details()
            _access.log(
                level,
                "%s %s %.1f ms %s%s%s",
                call.method,
                code.name,
                milliseconds,
                call.context.peer(),
                f" client={who}" if (who := caller.get().name) else "",
                f" {details!r}" if details else "",
            )


class Errors(AroundInterceptor):
    """Turns exceptions into rich statuses; an unexpected one is logged and becomes INTERNAL."""

    def __init__(self, error_map: ErrorMap | None = None) -> None:
        self._error_map = error_map or {}

    def deserializer(self, handler: Handler) -> Callable[[bytes], Any] | None:
        """Return a parser that gives a ``_Malformed`` for a single request that cannot be parsed.

        gRPC parses it before the handler runs, out of reach of any context manager.
        """
        parse = handler.request_deserializer
        return parse if handler.request_streaming or parse is None else _tolerant(parse)

    @contextlib.asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Abort the RPC when it raises; cancellation by the client passes."""
        try:
            if isinstance(call.request, _Malformed):
                raise call.request.error
            yield
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            # Something that this RPC waited for was cancelled; gRPC would leave the client hanging.
            await _abort(call.context, UnavailableError("the server cancelled this work", reason="CANCELLED"))
        except grpc.aio.BaseError:
            # Already aborted, or the connection is gone.
            raise
        except Exception as error:
            await _abort(call.context, self._expected(error) or _unexpected(error, call.method))

    def _expected(self, error: Exception) -> ServiceError | None:
        for kind in type(error).__mro__:
            if kind in self._error_map:
                return self._error_map[kind](error)
        if isinstance(error, DecodeError):
            return InvalidArgumentError("", "the request is no message of this method's type")
        return error if isinstance(error, ServiceError) else None


def wrap(
    handler: Handler, method: str, around: Around, deserializer: Callable[[bytes], Any] | None
) -> Handler:
    """Return ``handler`` with ``around`` around it, whichever of the four kinds it is.

    Handlers must be coroutine functions or async generator functions. A generator is driven from within,
    so that it is closed in this very task when the client goes away, and not when it is collected.
    """
    requests = "stream" if handler.request_streaming else "unary"
    responses = "stream" if handler.response_streaming else "unary"
    inner = getattr(handler, f"{requests}_{responses}")
    make = getattr(grpc, f"{requests}_{responses}_rpc_method_handler")

    async def run(request: Any, context: Context) -> Any:
        async with around(Call(method, request, context)):
            answer = inner(request, context)
            if not hasattr(answer, "__aiter__"):
                return await answer
            async with contextlib.aclosing(answer):
                async for response in answer:
                    await context.write(response)
            return None

    wrapped: Handler = make(run, deserializer, handler.response_serializer)
    return wrapped


def code_of(call: Call, *, cancelled: bool = False) -> grpc.StatusCode:
    """Return how a call ended: to be read when it is over, outside of :class:`Errors`."""
    if cancelled:
        # The client went away or its deadline passed; a deadline leaves no time.
        over = call.context.time_remaining() == 0
        return grpc.StatusCode.DEADLINE_EXCEEDED if over else grpc.StatusCode.CANCELLED
    code: grpc.StatusCode | None = call.context.code()
    return code or grpc.StatusCode.OK


def interceptors(
    error_map: ErrorMap | None = None,
    watching: Sequence[AroundInterceptor] = (),
    inner: Sequence[grpc.aio.ServerInterceptor] = (),
) -> tuple[grpc.aio.ServerInterceptor, ...]:
    """Return the interceptors of every server, outermost first.

    ``watching`` see each RPC with its request id and its final code; the exceptions of ``inner`` become
    statuses as those of the handlers do.
    """
    return RequestIds(), *watching, AccessLog(), Errors(error_map), *inner


@dataclass(frozen=True)
class _Malformed:
    """Replaces a request whose bytes could not be parsed."""

    error: DecodeError


def _tolerant(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parse(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except DecodeError as error:
            return _Malformed(error)

    return parse


def _unexpected(error: Exception, method: str) -> ServiceError:
    _log.error("%s failed unexpectedly", method, exc_info=error)
    return ServiceError(
        f"internal error; see the server's log for request {request_id.get()}", reason="INTERNAL"
    )


async def _abort(context: Context, error: ServiceError) -> None:
    status = rpc_status.to_status(to_status(error))
    # abort() replaces what was set before, so the request id goes along.
    metadata = (*context.trailing_metadata(), *status.trailing_metadata)
    await context.abort(status.code, status.details, metadata)
