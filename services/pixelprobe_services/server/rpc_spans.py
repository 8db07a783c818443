"""Span of each RPC of a server, under the caller's span where the call carries one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from pixelprobe_services.common import tracing
from pixelprobe_services.server.interceptors import QUIET, AroundInterceptor, Call, code_of


class RpcSpans(AroundInterceptor):
    """Traces every RPC but health checks and reflection."""

    @contextlib.asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Trace the RPC to its end, with its code."""
        if not tracing.is_on() or call.method.startswith(QUIET):
            yield
            return
        metadata: dict[str, Any] = dict(call.context.invocation_metadata() or ())
        parent = str(metadata.get(tracing.TRACEPARENT, ""))
        name = call.method.removeprefix("/")
        with tracing.span(name, tracing.Kind.SERVER, parent=parent, rpc__system="grpc") as span:
            code = ""
            try:
                yield
            except asyncio.CancelledError:
                code = code_of(call, cancelled=True).name
                raise
            finally:
                code = code or code_of(call).name
                span.set("rpc.response.status_code", code)
                if code != "OK":
                    span.fail(code)
