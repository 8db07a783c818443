"""TLS, client certificates, and plaintext that has to be asked for."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from pathlib import Path

import click
import grpc
import pytest
import trustme

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.tls_errors import TlsError
from pixelprobe_services.common.peers import PLAIN, Peer, PeerError, is_loopback, read_peer
from pixelprobe_services.server.security import OPEN, Security, check_peer, peer_options, security_options
from pixelprobe_services.server.server import serve
from pixelprobe_services.server.settings import StartError
from tests.unit.common.locks import Authority, locked, one_each, token_of


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def ask(address: str, peer: Peer) -> None:
    """ListTargets by the client, in a thread of its own."""

    def call() -> None:
        with PixelprobeClient(Addresses(address, address), peer) as client:
            client.list_targets()
            client.list_segmenters()

    await asyncio.to_thread(call)


async def test_tls_and_a_token(authority: Authority) -> None:
    async with locked(authority.security(known=one_each())) as address:
        await ask(address, authority.peer(token=token_of("read")))


async def test_client_certificates(authority: Authority) -> None:
    async with locked(authority.security(clients=authority.pem)) as address:
        await ask(address, authority.peer(certificate=True))
        with pytest.raises(TlsError, match="give --tls-cert and --tls-key"):
            await ask(address, authority.peer())
        stranger = Authority().peer(certificate=True)
        wrong = Peer(True, authority.pem, stranger.certificate, stranger.key)
        with pytest.raises(TlsError, match="does not accept this client certificate"):
            await ask(address, wrong)


async def test_what_is_wrong_with_a_connection_is_told(authority: Authority) -> None:
    async with locked(authority.security()) as address:
        with pytest.raises(TlsError, match="give the right one with --tls-ca"):
            await ask(address, Authority().peer())
        with pytest.raises(TlsError, match="not trusted"):
            await ask(address, Peer(tls=True))
        with pytest.raises(TlsError, match="if it uses TLS, give --tls-ca"):
            await ask(address, PLAIN)
    async with locked(authority.security("elsewhere.example")) as address:
        with pytest.raises(TlsError, match=r"is for another name than '127\.0\.0\.1'"):
            await ask(address, authority.peer())
    async with locked(expired(authority)) as address:
        with pytest.raises(TlsError, match="has expired"):
            await ask(address, authority.peer())
    async with locked(OPEN) as address:
        with pytest.raises(TlsError, match="does not use TLS"):
            await ask(address, authority.peer())


def expired(authority: Authority) -> Security:
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    leaf = authority.ca.issue_cert("127.0.0.1", not_after=yesterday)
    return Security(leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes())


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "example.org:1", "10.0.0.1:1"])
async def test_plaintext_beyond_loopback_is_refused(listen: str) -> None:
    with pytest.raises(StartError) as refused:
        await serve(listen=listen, add_servicers=lambda _: [])
    assert refused.value.message.startswith(f"cannot listen on {listen} in plaintext")
    assert "--tls-cert" in refused.value.message
    assert "--allow-plaintext" in refused.value.message
    Security(allow_plaintext=True).check_address(listen)
    Authority().security().check_address(listen)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("localhost:1", True),
        ("0.0.0.0:1", False), ("[::]:1", False), ("localhost.example:1", False), ("192.168.0.1:1", False),
    ],
)  # fmt: skip
def test_what_is_loopback(address: str, local: bool) -> None:
    assert is_loopback(address) is local


def test_a_token_in_plaintext_stays_on_this_machine() -> None:
    with_token = Peer(token="s3cret")
    assert with_token.credentials("127.0.0.1:1") is None
    with pytest.raises(PeerError, match=r"unencrypted to example\.org:1") as refused:
        with_token.credentials("example.org:1")
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(with_token)
    with pytest.raises(PeerError):
        PixelprobeClient(Addresses("example.org:1"), with_token)
    with pytest.raises(StartError, match="unencrypted"):
        check_peer(with_token, "example.org:1")
    assert Peer(token="s3cret", allow_plaintext=True).credentials("example.org:1") is None
    assert isinstance(Peer(tls=True, token="s3cret").credentials("example.org:1"), grpc.ChannelCredentials)


class Files:
    """PEM files of a server's certificate."""

    def __init__(self, folder: Path) -> None:
        leaf = trustme.CA().issue_cert("localhost")
        self.cert, self.key, self.other, self.junk = (
            folder / name for name in ("c.pem", "k.pem", "o.pem", "junk")
        )
        self.cert.write_bytes(leaf.cert_chain_pems[0].bytes())
        self.key.write_bytes(leaf.private_key_pem.bytes())
        self.other.write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
        self.junk.write_text("junk")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def started(arguments: Sequence[str]) -> tuple[Security, Peer]:
    found: list[tuple[Security, Peer]] = []

    @click.command()
    @security_options
    @peer_options("triton", "Triton")
    def command(security: Security, triton_peer: Peer) -> None:
        found.append((security, triton_peer))

    command.main(args=list(arguments), standalone_mode=False)
    return found[0]


def test_options_become_a_servers_and_a_clients_security(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("abc\n")
    monkeypatch.setenv("PIXELPROBE_TLS_CERT", str(files.cert))
    monkeypatch.setenv("PIXELPROBE_TRITON_TOKEN_FILE", str(token))
    monkeypatch.setenv("PIXELPROBE_TRITON_TLS", "true")
    security, peer = started(["--tls-key", str(files.key), "--tls-client-ca", str(files.cert)])
    assert security.certificate == files.cert.read_bytes()
    assert security.client_authorities == files.cert.read_bytes()
    assert (peer.tls, peer.authorities, peer.token) == (True, None, "abc")
    assert str(security) == "TLS with client certificates, no tokens"


def test_what_cannot_be_used_is_one_line_that_names_it(files: Files, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text("[clients]\n")
    none = tmp_path / "none"
    for arguments, told in (
        (["--tls-cert", files.cert], "go together"),
        (["--tls-client-ca", files.cert], "--tls-client-ca needs --tls-cert"),
        (["--tls-cert", files.cert, "--tls-key", files.other], "not a certificate and its unencrypted"),
        (["--tls-cert", files.junk, "--tls-key", files.key], "not a certificate and its unencrypted"),
        (["--tls-cert", none, "--tls-key", files.key], f"--tls-cert: {none}: No such file"),
        (["--tokens-file", tokens], f"--tokens-file {tokens}: clients: expected at least one"),
        (["--triton-tls-ca", files.junk], f"--triton-tls-ca: {files.junk}: holds no certificates"),
        (["--triton-tls-key", files.key], "--triton-tls-key needs --triton-tls-cert"),
        (["--triton-token-file", none], f"--triton-token-file: {none}: No such file"),
    ):
        with pytest.raises(StartError) as refused:
            started([str(argument) for argument in arguments])
        assert told in refused.value.message, arguments
        assert "\n" not in refused.value.message


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"sp ace", b"\xff\xfe", b"x" * 5000])
def test_a_token_file_holds_one_token(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(PeerError, match="must hold one line, the token"):
        read_peer(token_file=file)
