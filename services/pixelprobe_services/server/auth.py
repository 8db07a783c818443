"""Authorization of RPCs: bearer tokens, and the table of the scopes that each RPC needs."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from pixelprobe_services.common.errors import PermissionDeniedError, ServiceError, UnauthenticatedError
from pixelprobe_services.server.caller import ADMIN, ATTACK, READ, Caller, caller
from pixelprobe_services.server.interceptors import AroundInterceptor, Call, Context, Handler, wrap
from pixelprobe_services.server.tokens import Tokens

_ATTACKS = "/pixelprobe.attack.v1.AttackService/"
_LOAD = "/pixelprobe.attack.v1.LoadTestService/"
_MASKS = "/pixelprobe.segmentation.v1.SegmentationService/"
_REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/"

NEEDED: dict[str, tuple[str, ...]] = {
    f"{_ATTACKS}ListTargets": (READ,),
    f"{_ATTACKS}CheckTarget": (ATTACK,),
    f"{_ATTACKS}UploadImages": (ATTACK,),
    f"{_ATTACKS}GetImage": (READ,),
    f"{_ATTACKS}CreateCampaign": (ATTACK,),
    f"{_ATTACKS}GetCampaign": (READ,),
    f"{_ATTACKS}ListCampaigns": (READ,),
    f"{_ATTACKS}CancelCampaign": (ATTACK, ADMIN),
    f"{_ATTACKS}ResumeCampaign": (ATTACK, ADMIN),
    f"{_ATTACKS}DeleteCampaign": (ATTACK, ADMIN),
    f"{_ATTACKS}WatchCampaign": (READ,),
    f"{_ATTACKS}GetAttack": (READ,),
    f"{_ATTACKS}ListAttacks": (READ,),
    f"{_ATTACKS}ListResults": (READ,),
    f"{_LOAD}RunLoadTest": (ATTACK,),
    f"{_MASKS}Segment": (ATTACK,),
    f"{_MASKS}ListSegmenters": (READ,),
    f"{_REFLECTION}ServerReflectionInfo": (READ,),
}
"""Scopes by RPC, of which a caller needs one. An RPC that is not listed is refused to all callers.

Reading is not divided by owner: a caller with READ sees all campaigns. Cancelling and resuming another
owner's campaign needs ADMIN, which pixelprobe_services.orchestrator.servicer checks.
"""

OPEN = ("/grpc.health.v1.Health/",)
"""Services that need no token: supervisors and load balancers have none."""

_SCHEME = "bearer "


class Authorization(AroundInterceptor):
    """Admits an RPC if its caller's token allows it, and sets ``caller`` for it.

    >>> server = grpc.aio.server(interceptors=(Authorization(load_tokens(path)),))
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler, or one that refuses without reading the request, which may be large."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(OPEN):
            return handler
        try:
            check(self._caller(handler_call_details.invocation_metadata), method)
        except ServiceError as error:
            return _refusal(error)
        return wrap(handler, method, self.around, self.deserializer(handler))

    @contextlib.asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Set ``caller`` for the rest of the RPC's task."""
        caller.set(self._caller(call.context.invocation_metadata()))
        yield

    def _caller(self, metadata: Any) -> Caller:
        given = [value for key, value in metadata or () if key == "authorization"]
        if not given:
            raise UnauthenticatedError("the request came without a token", reason="TOKEN_MISSING")
        if len(given) > 1 or not isinstance(given[0], str) or not given[0].lower().startswith(_SCHEME):
            raise UnauthenticatedError(
                "the request's authorization is not of the form 'Bearer TOKEN'", reason="TOKEN_MALFORMED"
            )
        found = self._tokens.find(given[0][len(_SCHEME) :].strip())
        if found is None:
            raise UnauthenticatedError("the server does not know this token", reason="TOKEN_UNKNOWN")
        return found


def check(who: Caller, method: str) -> None:
    """Check that ``who`` has one of the scopes that ``method`` needs.

    Raises:
        PermissionDeniedError: it has none of them.
    """
    wanted = NEEDED.get(method, ())
    if not who.scopes.intersection(wanted):
        scopes = " or ".join(repr(scope) for scope in wanted) or "that no client has"
        raise PermissionDeniedError(
            f"{method.rpartition('/')[2]} needs the scope {scopes}, which client {who.name!r} lacks",
            reason="SCOPE_MISSING",
        )


def _refusal(error: ServiceError) -> Handler:
    async def refuse(requests: Any, context: Context) -> None:  # noqa: ARG001 - gRPC gives them
        raise error

    # A stream of requests is read only on demand, and on the wire all kinds of methods are the same.
    refusal: Handler = grpc.stream_stream_rpc_method_handler(refuse)
    return refusal
