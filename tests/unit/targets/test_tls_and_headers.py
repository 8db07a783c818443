"""Encryption and secret headers, over both protocols against real TLS sockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import trustme

from services.common import tracing
from services.orchestrator.targets.base import TargetUnavailableError
from services.orchestrator.targets.registry import open_target
from tests.collector import collecting
from tests.unit.targets import fake_grpc, fake_http
from tests.unit.targets.batches import config, random_batch

SECRET = "Bearer s3cret"


class Place:
    """Where a fake listens, and the headers that its last query carried."""

    def __init__(self, protocol: str, address: str, fake: Any) -> None:
        self.protocol, self.address, self.fake = protocol, address, fake


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["kserve-grpc", "kserve-http"])
async def place(request: pytest.FixtureRequest, authority: trustme.CA) -> AsyncIterator[Place]:
    certificate = authority.issue_cert("127.0.0.1")
    if request.param == "kserve-grpc":
        servicer = fake_grpc.FakeServer()
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
        server, address = await fake_grpc.serve(servicer, "127.0.0.1:0", credentials)
        yield Place(request.param, address, servicer)
        await server.stop(None)
    else:
        fake = fake_http.FakeServer()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        runner, address = await fake_http.serve(fake, context)
        yield Place(request.param, address, fake)
        await runner.cleanup()


async def test_a_registered_authority_is_trusted_and_headers_travel(
    place: Place, authority: trustme.CA
) -> None:
    target = open_target(
        config(
            place.address,
            place.protocol,
            tls=True,
            tls_ca=authority.cert_pem.bytes().decode(),
            headers=(("authorization", SECRET),),
        )
    )
    answer = await target.query(random_batch(3))
    assert answer.top_classes.shape == (3, 3)
    assert place.fake.headers["authorization"] == SECRET
    await target.close()


async def test_the_span_in_hand_travels_beside_the_headers(
    place: Place, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = open_target(
        config(
            place.address,
            place.protocol,
            tls=True,
            tls_ca=authority.cert_pem.bytes().decode(),
            headers=(("authorization", SECRET),),
        )
    )
    await target.query(random_batch(3))
    assert "traceparent" not in place.fake.headers
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        tracing.configure("test")
        with tracing.span("target request") as span:
            await target.query(random_batch(3))
            assert place.fake.headers["traceparent"] == span.traceparent
        tracing.close()
    assert place.fake.headers["authorization"] == SECRET
    await target.close()


async def test_an_unknown_authority_is_not(place: Place) -> None:
    target = open_target(
        config(place.address, place.protocol, tls=True, headers=(("authorization", SECRET),))
    )
    with pytest.raises(TargetUnavailableError, match=r"(?i)certificate") as caught:
        await target.describe()
    assert "s3cret" not in str(caught.value)
    await target.close()


async def test_plain_text_does_not_reach_a_tls_server(place: Place) -> None:
    target = open_target(config(place.address, place.protocol))
    with pytest.raises(TargetUnavailableError):
        await target.describe()
    await target.close()
