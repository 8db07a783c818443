"""Certificates and tokens for tests, and servers locked with them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import trustme
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from pixelprobe_api.attack.v1 import attack_service_pb2, load_test_service_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2
from pixelprobe_services.common.peers import Peer
from pixelprobe_services.server.caller import SCOPES, Caller, caller
from pixelprobe_services.server.security import Security
from pixelprobe_services.server.server import serve
from pixelprobe_services.server.tokens import Entry, Tokens

SERVICES: tuple[ServiceDescriptor, ...] = (
    attack_service_pb2.DESCRIPTOR.services_by_name["AttackService"],
    load_test_service_pb2.DESCRIPTOR.services_by_name["LoadTestService"],
    segmentation_service_pb2.DESCRIPTOR.services_by_name["SegmentationService"],
)
RPCS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods
}


def token_of(name: str) -> str:
    """A token that is easy to find where it must not be."""
    return f"s3cret-token-of-{name}"


def tokens(**scopes: tuple[str, ...]) -> Tokens:
    """A client of each name with those scopes."""
    return Tokens(
        Entry(Caller(name, frozenset(wanted)), hashlib.sha256(token_of(name).encode()).digest())
        for name, wanted in scopes.items()
    )


def one_each() -> Tokens:
    """A client for each scope, named like it."""
    return tokens(**{scope: (scope,) for scope in SCOPES})


class Authority:
    """A certificate authority, what it issues as PEM bytes."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.pem = self.ca.cert_pem.bytes()

    def security(self, *names: str, clients: bytes | None = None, known: Tokens | None = None) -> Security:
        """A server's, for these names (localhost and 127.0.0.1)."""
        leaf = self.ca.issue_cert(*(names or ("localhost", "127.0.0.1")))
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
        return Security(chain, leaf.private_key_pem.bytes(), clients, known)

    def peer(self, *, certificate: bool = False, token: str = "") -> Peer:
        """Somebody who trusts this authority, with a certificate of it if asked for."""
        if not certificate:
            return Peer(tls=True, authorities=self.pem, token=token)
        leaf = self.ca.issue_cert("client.example")
        chain = b"".join(part.bytes() for part in leaf.cert_chain_pems)
        return Peer(True, self.pem, chain, leaf.private_key_pem.bytes(), token)


@contextlib.asynccontextmanager
async def locked(security: Security, seen: list[Caller] | None = None) -> AsyncIterator[str]:
    """A server of all RPCs of all services, which answers each with an empty message; its address.

    ``seen`` takes the callers of the RPCs that were let through.
    """

    def add(server: grpc.aio.Server) -> list[str]:
        for service in SERVICES:
            handlers = {method.name: _handler(method, seen) for method in service.methods}
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service.full_name, handlers),)
            )
        return [service.full_name for service in SERVICES]

    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    running = asyncio.create_task(
        serve(
            listen="127.0.0.1:0",
            add_servicers=add,
            on_listening=address.set_result,
            stop=stop,
            security=security,
        )
    )
    try:
        yield await asyncio.wait_for(address, 10)
    finally:
        stop.set()
        await asyncio.wait_for(running, 15)


def _handler(method: MethodDescriptor, seen: list[Caller] | None) -> Any:
    answer = GetMessageClass(method.output_type)()

    async def take(request: Any) -> None:
        if method.client_streaming:
            async for _ in request:
                pass
        if seen is not None:
            seen.append(caller.get())

    async def unary(request: Any, context: Any) -> Any:
        await take(request)
        return answer

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        await take(request)
        yield answer

    make = getattr(grpc, f"{kind(method)}_rpc_method_handler")
    handle: Callable[..., Any] = stream if method.server_streaming else unary
    return make(
        handle,
        GetMessageClass(method.input_type).FromString,
        GetMessageClass(method.output_type).SerializeToString,
    )


def kind(method: MethodDescriptor) -> str:
    """As gRPC calls it: unary_unary and so on."""
    requests = "stream" if method.client_streaming else "unary"
    return f"{requests}_{'stream' if method.server_streaming else 'unary'}"
