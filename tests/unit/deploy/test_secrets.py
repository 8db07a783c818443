"""The folder of secrets: its files work together, belong to their owner alone, and are never replaced."""

from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509

from pixelprobe_deploy.secrets.__main__ import main
from pixelprobe_deploy.secrets.folder import MOUNTED, OWN_HOSTS, FolderError, make
from pixelprobe_services.common.peers import read_peer
from pixelprobe_services.server.caller import SCOPES, Caller
from pixelprobe_services.server.security import read_security
from pixelprobe_services.server.tokens import load_tokens

CLIENTS = {"admin": SCOPES, "b.ot": ("read",)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "secrets"
    make(made, ("example.org", "10.0.0.5"), CLIENTS, 30)
    return made


def test_services_and_clients_take_it_as_it_is(folder: Path) -> None:
    security = read_security(
        folder / "server.pem", folder / "server-key.pem", folder / "ca.pem", folder / "tokens.toml", False
    )
    assert security.tokens is not None
    assert security.tokens.callers == (
        Caller("admin", frozenset(SCOPES)),
        Caller("b.ot", frozenset({"read"})),
        Caller("orchestrator", frozenset({"read", "attack"})),
    )
    for name in ("admin", "b.ot", "orchestrator"):
        peer = read_peer(
            authorities=folder / "ca.pem",
            certificate=folder / "client.pem",
            key=folder / "client-key.pem",
            token_file=folder / f"{name}.token",
        )
        found = load_tokens(folder / "tokens.toml").find(peer.token)
        assert found is not None
        assert found.name == name
        assert len(peer.token) >= 43  # 256 bits


def test_certificates_come_from_the_authority_for_the_hosts_and_days(folder: Path) -> None:
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    names = x509.SubjectAlternativeName
    for file in ("server.pem", "client.pem", "internal.pem"):
        certificate = x509.load_pem_x509_certificate((folder / file).read_bytes())
        certificate.verify_directly_issued_by(authority)
        left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        assert datetime.timedelta(days=29) < left <= datetime.timedelta(days=30)
        if file == "server.pem":
            listed = certificate.extensions.get_extension_for_class(names).value
            hosts = {str(name.value) for name in listed}
            assert hosts == {*OWN_HOSTS, "example.org", "10.0.0.5"}
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # all extensions that RFC 5280 asks for
    assert len(context.get_ca_certs()) == 1


def test_nobody_else_gets_in(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == (0o644 if file.name in MOUNTED else 0o600), file.name
    assert not {"ca-key.pem", "client-key.pem", "admin.token"} & MOUNTED


def test_what_is_there_stays(folder: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(FolderError, match="is not empty; nothing is replaced"):
        make(folder, (), {}, 1)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_two_folders_share_nothing(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make(other, (), CLIENTS, 30)
    for file in folder.iterdir():
        assert file.read_bytes() != (other / file.name).read_bytes(), file.name


def test_the_command_prints_names_and_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    done = CliRunner().invoke(main, ["make", str(folder), "--host", "h.example", "--client", "me=read"])
    assert done.exit_code == 0, done.output
    assert f"export PIXELPROBE_SECRETS={folder}" in done.output
    assert "me.token" in done.output
    assert (folder / "me.token").read_text().strip() not in done.output
    assert not (folder / "admin.token").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--client", "me"], "'me' is not NAME=SCOPE,SCOPE"),
        (["--client", "me=write"], "with scopes read, attack, admin"),
        (["--client", "me=read,read"], "is not NAME=SCOPE,SCOPE"),
        (["--client", "a/b=read"], "is not NAME=SCOPE,SCOPE"),
        (["--client", "me=read", "--client", "me=attack"], "'me' is taken"),
        (["--client", "orchestrator=read"], "'orchestrator' is taken"),
        (["--host", "a b"], "'a b' is no name or IP address"),
        (["--days", "0"], "--days"),
    ],
)
def test_what_is_off_is_told_and_nothing_made(tmp_path: Path, options: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["make", str(tmp_path / "made"), *options])
    assert done.exit_code == 2
    assert told in done.output
    assert not (tmp_path / "made").exists()


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = CliRunner().invoke(main, ["make", str(file / "below")])
    assert done.exit_code == 1
    assert done.output.strip().startswith("Error: ")
    assert "Not a directory" in done.output
