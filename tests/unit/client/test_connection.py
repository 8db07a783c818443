"""Where the client's TLS and token come from, and which wins."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from pixelprobe import connection
from pixelprobe.connection import ConnectionOptions, find_peer
from pixelprobe_services.common.peers import PLAIN, PeerError

VARIABLES = [getattr(connection, name) for name in dir(connection) if name.endswith("_VARIABLE")]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(VARIABLES) == 7
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(file))
    return file


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_nothing_said_is_plaintext_without_a_token() -> None:
    assert find_peer() == PLAIN


def test_an_authority_alone_turns_tls_on(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = find_peer(ConnectionOptions(tls_ca=ca))
    assert (peer.tls, peer.authorities) == (True, ca.read_bytes())
    monkeypatch.setenv("PIXELPROBE_TLS_CA", str(ca))
    assert find_peer() == peer


def test_options_over_variables_and_files_over_the_tokens_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPROBE_TOKEN", "of-the-environment\n")
    assert find_peer().token == "of-the-environment"
    monkeypatch.setenv("PIXELPROBE_TOKEN_FILE", str(written(tmp_path / "one", "of-a-file\n")))
    assert find_peer().token == "of-a-file"
    option = written(tmp_path / "two", "of-the-option")
    assert find_peer(ConnectionOptions(token_file=option)).token == "of-the-option"


@pytest.mark.parametrize(("value", "tls"), [("true", True), ("1", True), ("no", False), ("", False)])
def test_flags_from_the_environment(value: str, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELPROBE_TLS", value)
    assert find_peer().tls is tls


def test_what_cannot_be_used_is_told_by_name(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PeerError, match="--tls-cert needs --tls-key beside it"):
        find_peer(ConnectionOptions(tls_cert=ca))
    with pytest.raises(PeerError, match="not a certificate and its unencrypted private key"):
        find_peer(ConnectionOptions(tls_cert=ca, tls_key=ca))
    monkeypatch.setenv("PIXELPROBE_TLS", "perhaps")
    with pytest.raises(PeerError, match="PIXELPROBE_TLS: 'perhaps' is neither true nor false"):
        find_peer()
    monkeypatch.delenv("PIXELPROBE_TLS")
    monkeypatch.setenv("PIXELPROBE_TOKEN", "s3cret with spaces")
    with pytest.raises(PeerError, match="PIXELPROBE_TOKEN: is no bearer token") as refused:
        find_peer()
    assert "s3cret" not in str(refused.value)
