"""Encryption and secret headers, over both protocols against real TLS sockets."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from pixelprobe_services.common import tracing
from pixelprobe_services.orchestrator.targets.base import TargetError, TargetUnavailableError
from pixelprobe_services.orchestrator.targets.registry import RegistryError, load_targets, open_target
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
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def place(protocol: str, authority: trustme.CA) -> AsyncIterator[Place]:
    async with serving(protocol, authority) as found:
        yield found


@asynccontextmanager
async def serving(
    protocol: str,
    authority: trustme.CA,
    clients: trustme.CA | None = None,
    certificate: trustme.LeafCert | None = None,
) -> AsyncIterator[Place]:
    """A fake behind TLS, which asks for certificates of ``clients`` if there are any."""
    certificate = certificate or authority.issue_cert("127.0.0.1")
    if protocol == "kserve-grpc":
        servicer = fake_grpc.FakeServer()
        chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
        credentials = grpc.ssl_server_credentials(
            [(certificate.private_key_pem.bytes(), chain)],
            clients.cert_pem.bytes() if clients else None,
            require_client_auth=clients is not None,
        )
        server, address = await fake_grpc.serve(servicer, "127.0.0.1:0", credentials)
        yield Place(protocol, address, servicer)
        await server.stop(None)
    else:
        fake = fake_http.FakeServer()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        if clients:
            clients.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        runner, address = await fake_http.serve(fake, context)
        yield Place(protocol, address, fake)
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


async def test_a_target_that_asks_for_a_certificate_gets_it(
    protocol: str, authority: trustme.CA, tmp_path: Path
) -> None:
    own = authority.issue_cert("orchestrator.example")
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    own.cert_chain_pems[0].write_to_path(str(certificate))
    own.private_key_pem.write_to_path(str(key))
    trusted = {"tls": True, "tls_ca": authority.cert_pem.bytes().decode()}
    async with serving(protocol, authority, clients=authority) as place:
        target = open_target(
            config(place.address, place.protocol, **trusted, tls_cert=certificate, tls_key=key)
        )
        assert (await target.query(random_batch(3))).top_classes.shape == (3, 3)
        await target.close()
        without = open_target(config(place.address, place.protocol, **trusted))
        with pytest.raises(TargetUnavailableError):
            await without.describe()
        await without.close()
        key.unlink()
        lost = open_target(
            config(place.address, place.protocol, **trusted, tls_cert=certificate, tls_key=key)
        )
        with pytest.raises(TargetError, match="tls_cert or tls_key: No such file"):
            await lost.describe()
        await lost.close()


def test_a_certificate_that_cannot_be_used_is_refused_when_the_file_is_read(
    authority: trustme.CA, tmp_path: Path
) -> None:
    own, other = authority.issue_cert("one.example"), authority.issue_cert("two.example")
    own.cert_chain_pems[0].write_to_path(str(tmp_path / "c.pem"))
    other.private_key_pem.write_to_path(str(tmp_path / "k.pem"))
    table = '[targets.toy]\nprotocol = "kserve-grpc"\naddress = "h:1"\n'
    for more, told in (
        ('tls = true\ntls_cert = "c.pem"\n', "targets.toy.tls_cert: expected tls = true and tls_key"),
        ('tls_cert = "c.pem"\ntls_key = "k.pem"\n', "expected tls = true and tls_key beside it"),
        ('tls = true\ntls_cert = "c.pem"\ntls_key = "k.pem"\n', "not a certificate and its unencrypted"),
        ('tls = true\ntls_cert = "c.pem"\ntls_key = "none.pem"\n', "No such file"),
    ):
        file = tmp_path / "targets.toml"
        file.write_text(table + more)
        with pytest.raises(RegistryError) as refused:
            load_targets(file)
        assert told in refused.value.message


async def test_an_expired_certificate_is_named(protocol: str, authority: trustme.CA) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    expired = authority.issue_cert("127.0.0.1", not_before=past - timedelta(days=9), not_after=past)
    async with serving(protocol, authority, certificate=expired) as place:
        target = open_target(
            config(place.address, protocol, tls=True, tls_ca=authority.cert_pem.bytes().decode())
        )
        with pytest.raises(TargetUnavailableError, match=r"(?i)certificate.*expired"):
            await target.describe()
        await target.close()
