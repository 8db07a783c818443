"""Bounds on how clients send: how long a request may take to arrive, and how many arrive at once.

gRPC reads a single request whole before any handler or interceptor sees it, however long that takes, and does
not answer a client that ends its stream without one. Therefore every method is served as one that takes a
stream, which is the same on the wire, and its request is read here: under a time limit, and, for methods
with large requests, only once there is a place for it. Until then HTTP/2's flow control holds it back at its
sender, and it costs this process next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc

from pixelprobe_services.common.errors import InvalidArgumentError, ResourceExhaustedError
from pixelprobe_services.server.interceptors import Context, Handler

MESSAGE_SECONDS = 60.0
"""Time limit for a request, or the next one of a stream, to arrive: the largest image at 7 Mbit/s."""

STREAM_SECONDS = 600.0
"""Time limit for a whole stream: a message now and then must not hold a call for ever."""

READING_A_CONNECTION = 16
"""Requests of one connection that are read at once: 1 GiB if all have the largest size."""

WAITING = 1024
"""RPCs that may wait for a place, at some kilobytes each; further ones are refused."""


class Places:
    """Limits how many RPCs run at once, and of one connection at most ``share``; the others wait in order.

    A connection that fills its share with requests that never arrive whole does not block the others.

    >>> places = Places(64, share=8)
    >>> async with places.one(context.peer()):
    ...     ...
    """

    def __init__(self, count: int | None, share: int) -> None:
        """Limit to ``count`` in all; None is no limit but each connection's ``share``."""
        self._all = asyncio.Semaphore(count) if count else contextlib.nullcontext()
        self._share = share
        self._shares: dict[str, asyncio.Semaphore] = {}
        self._inside: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def one(self, peer: str) -> AsyncIterator[None]:
        """Hold a place for as long as the block runs; ``peer`` names the connection.

        Raises:
            ResourceExhaustedError: WAITING others wait already.
        """
        if self._inside.total() >= WAITING:
            raise ResourceExhaustedError(f"{WAITING} requests are waiting already; try again later")
        self._inside[peer] += 1
        share = self._shares.setdefault(peer, asyncio.Semaphore(self._share))
        try:
            async with share, self._all:
                yield
        finally:
            self._inside[peer] -= 1
            if not self._inside[peer]:
                del self._inside[peer], self._shares[peer]


class Bounds(grpc.aio.ServerInterceptor):
    """Innermost interceptor, next to the handlers: the others report and log what it raises."""

    def __init__(
        self,
        places: Mapping[str, Places] | None = None,
        *,
        message_seconds: float = MESSAGE_SECONDS,
        stream_seconds: float = STREAM_SECONDS,
    ) -> None:
        """Set the limits for all methods.

        Args:
            places: by method (``/package.Service/Method``): its RPCs hold a place from before they are read
                to their end. Those of other methods hold one of their connection's while a single request
                is read.
            message_seconds: see MESSAGE_SECONDS.
            stream_seconds: see STREAM_SECONDS.
        """
        self._places = dict(places or {})
        self._reading = Places(None, READING_A_CONNECTION)
        self._message_seconds = message_seconds
        self._stream_seconds = stream_seconds

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler, bounded; None (no such method) stays None."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        return self._bounded(handler, self._places.get(handler_call_details.method))

    def _bounded(self, handler: Handler, places: Places | None) -> Handler:
        requests = "stream" if handler.request_streaming else "unary"
        responses = "stream" if handler.response_streaming else "unary"
        inner = getattr(handler, f"{requests}_{responses}")

        @contextlib.asynccontextmanager
        async def asked(received: AsyncIterator[Any], peer: str) -> AsyncIterator[Any]:
            """Yield the handler's argument, while holding a place."""
            async with places.one(peer) if places else contextlib.nullcontext():
                if handler.request_streaming:
                    async with contextlib.aclosing(self._stream(received)) as stream:
                        yield stream
                    return
                async with contextlib.nullcontext() if places else self._reading.one(peer):
                    request = await self._only(received)
                yield request

        async def answered(received: AsyncIterator[Any], context: Context) -> Any:
            async with asked(received, context.peer()) as argument:
                return await inner(argument, context)

        async def streamed(received: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async with asked(received, context.peer()) as argument:
                answer = inner(argument, context)
                if not hasattr(answer, "__aiter__"):  # it writes its responses itself
                    await answer
                    return
                async with contextlib.aclosing(answer):
                    async for response in answer:
                        yield response

        make: Any = getattr(grpc, f"stream_{responses}_rpc_method_handler")
        run = streamed if handler.response_streaming else answered
        bounded: Handler = make(run, handler.request_deserializer, handler.response_serializer)
        return bounded

    async def _only(self, received: AsyncIterator[Any]) -> Any:
        """Return the single request of a method that takes one."""
        async with contextlib.aclosing(self._stream(received)) as stream:
            async for request in stream:
                return request
        raise InvalidArgumentError("", "the stream ended without a request")

    async def _stream(self, received: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """Yield messages while they arrive in time."""
        end = asyncio.get_running_loop().time() + self._stream_seconds
        # Closed at the end, whatever ends it: gRPC's iterator holds the last message and is part of a cycle,
        # so that every large image would stay until Python's next full collection, hundreds of calls later.
        messages: Any = aiter(received)
        async with contextlib.aclosing(messages):
            while True:
                try:
                    async with asyncio.timeout_at(end), asyncio.timeout(self._message_seconds):
                        message = await anext(messages)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise ResourceExhaustedError(
                        f"no request came within {self._message_seconds:g} s, or not the last within"
                        f" {self._stream_seconds:g} s",
                        reason="REQUEST_TOO_SLOW",
                    ) from None
                yield message
