"""Every RPC of both services with every scope, over a real server; and what never gets through."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from pixelprobe_services.common.errors import PermissionDeniedError, UnauthenticatedError
from pixelprobe_services.common.status import from_rpc_error
from pixelprobe_services.server.auth import NEEDED, check
from pixelprobe_services.server.caller import SCOPES, Caller, caller, check_owner
from pixelprobe_services.server.security import Security
from tests.unit.common.locks import RPCS, SERVICES, kind, locked, one_each, token_of

REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture
def seen() -> list[Caller]:
    return []


@pytest.fixture
async def channel(seen: list[Caller]) -> AsyncIterator[grpc.aio.Channel]:
    async with (
        locked(Security(tokens=one_each()), seen) as address,
        grpc.aio.insecure_channel(address) as opened,
    ):
        yield opened


async def call(channel: grpc.aio.Channel, rpc: str, token: str | None, body: bytes = b"") -> None:
    """One RPC with an empty request."""
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    method: Any = getattr(channel, kind(RPCS[rpc]))(rpc)
    request = iter([body]) if RPCS[rpc].client_streaming else body
    answer = method(request, timeout=10, metadata=metadata)
    if RPCS[rpc].server_streaming:
        async for _ in answer:
            pass
    else:
        await answer


def test_the_table_names_every_rpc_and_no_other() -> None:
    assert NEEDED.keys() == {*RPCS, REFLECTION}
    assert len(RPCS) >= 14
    assert all(set(scopes) <= set(SCOPES) and scopes for scopes in NEEDED.values())


def test_an_rpc_that_the_table_does_not_name_is_refused_to_everybody() -> None:
    with pytest.raises(PermissionDeniedError, match="Invented needs the scope that no client has"):
        check(Caller("root"), "/pixelprobe.attack.v1.AttackService/Invented")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("rpc", RPCS)
async def test_each_rpc_with_each_scope(
    channel: grpc.aio.Channel, seen: list[Caller], rpc: str, scope: str
) -> None:
    if scope in NEEDED[rpc]:
        await call(channel, rpc, token_of(scope))
        assert [who.name for who in seen] == [scope]
        return
    with pytest.raises(grpc.RpcError) as refused:
        await call(channel, rpc, token_of(scope))
    told = from_rpc_error(refused.value)
    assert type(told) is PermissionDeniedError
    assert told.reason == "SCOPE_MISSING"
    assert rpc.rpartition("/")[2] in told.message
    assert repr(NEEDED[rpc][0]) in told.message
    assert seen == []


@pytest.mark.parametrize("token", [None, "", "unknown", "s3cret-token-of-", token_of("read") + "x"])
@pytest.mark.parametrize("rpc", RPCS)
async def test_no_rpc_without_a_known_token(
    channel: grpc.aio.Channel, seen: list[Caller], rpc: str, token: str | None
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        await call(channel, rpc, token)
    told = from_rpc_error(refused.value)
    assert type(told) is UnauthenticatedError
    assert told.reason == ("TOKEN_MISSING" if token is None else "TOKEN_UNKNOWN")
    assert seen == []


@pytest.mark.parametrize(
    "metadata",
    [
        (("authorization", f"Basic {token_of('read')}"),),
        (("authorization", token_of("read")),),
        (("authorization", f"Bearer {token_of('read')}"), ("authorization", f"Bearer {token_of('read')}")),
    ],
)
async def test_other_forms_are_refused(channel: grpc.aio.Channel, metadata: Any) -> None:
    method: Any = channel.unary_unary("/pixelprobe.attack.v1.AttackService/ListTargets")
    with pytest.raises(grpc.RpcError) as refused:
        await method(b"", timeout=10, metadata=metadata)
    assert from_rpc_error(refused.value).reason == "TOKEN_MALFORMED"


async def test_a_large_request_without_a_token_is_refused_unread(channel: grpc.aio.Channel) -> None:
    """Bytes that are no message: whoever had parsed them would have said INVALID_ARGUMENT."""
    rpc = "/pixelprobe.attack.v1.AttackService/CreateCampaign"
    with pytest.raises(grpc.RpcError) as refused:
        await call(channel, rpc, None, b"\xff" * 2**20)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_health_is_open_and_reflection_takes_read(channel: grpc.aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    async def ask(*metadata: tuple[str, str]) -> Any:
        return await stub.ServerReflectionInfo(iter([request]), timeout=5, metadata=metadata).read()

    listed = await ask(("authorization", f"Bearer {token_of('read')}"))
    assert len(listed.list_services_response.service) == len(SERVICES) + 2  # health and reflection
    for metadata in ((), (("authorization", f"bearer {token_of('attack')}"),)):
        with pytest.raises(grpc.RpcError):
            await ask(*metadata)


async def test_no_token_is_logged_and_the_clients_name_is(
    channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture
) -> None:
    rpc = "/pixelprobe.attack.v1.AttackService/ListTargets"
    with caplog.at_level(logging.DEBUG):
        await call(channel, rpc, token_of("read"))
        for token in (token_of("attack"), "s3cret-unknown"):
            with pytest.raises(grpc.RpcError) as refused:
                await call(channel, rpc, token)
            assert "s3cret" not in str(refused.value)
    assert "client=read" in caplog.text
    assert "PERMISSION_DENIED" in caplog.text
    assert "UNAUTHENTICATED" in caplog.text
    assert "s3cret" not in caplog.text


async def test_without_a_tokens_file_everybody_may_do_everything(seen: list[Caller]) -> None:
    async with locked(Security(), seen) as address, grpc.aio.insecure_channel(address) as channel:
        for rpc in RPCS:
            await call(channel, rpc, None)
    assert {who.name for who in seen} == {""}


@pytest.mark.parametrize(
    ("who", "owner", "allowed"),
    [
        (Caller("ann", frozenset({"attack"})), "ann", True),
        (Caller("ann", frozenset({"attack"})), "bob", False),
        (Caller("ann", frozenset({"attack"})), "", False),
        (Caller("root", frozenset({"admin"})), "bob", True),
        (Caller("root", frozenset({"admin"})), "", True),
        (Caller(), "bob", True),
    ],
)
def test_owners_and_admins_may_change_a_campaign(who: Caller, owner: str, allowed: bool) -> None:
    before = caller.set(who)
    try:
        if allowed:
            check_owner(owner, "campaign x")
        else:
            with pytest.raises(PermissionDeniedError, match="lacks the scope 'admin'"):
                check_owner(owner, "campaign x")
    finally:
        caller.reset(before)
