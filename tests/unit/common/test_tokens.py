"""The tokens file: what is accepted, and what is refused by its name."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from pixelprobe_services.server.caller import Caller
from pixelprobe_services.server.tokens import Tokens, TokensFileError, load_tokens

DIGESTS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two")}
ONE = f'[clients.one]\ntoken_sha256 = "{DIGESTS["one"]}"\nscopes = ["read"]\n'
TWO = (
    f'[clients.two]\ntoken_sha256 = "{DIGESTS["two"]}"\nscopes = ["read", "attack", "admin"]\n'
    "max_running_campaigns = 3\nmax_queries_per_day = 1000\n"
)


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    file = path / "tokens.toml"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_clients_are_found_by_their_tokens(tmp_path: Path) -> None:
    tokens = load_tokens(written(tmp_path, ONE + TWO))
    assert tokens.find("one") == Caller("one", frozenset({"read"}))
    assert tokens.find("two") == Caller("two", frozenset({"read", "attack", "admin"}), 3, 1000)
    for unknown in ("", "three", DIGESTS["one"], "one ", "ONE"):
        assert tokens.find(unknown) is None


def test_every_entry_is_compared_whatever_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = load_tokens(written(tmp_path, ONE + TWO))
    compared: list[bytes] = []
    original = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return original(one, other)

    monkeypatch.setattr("pixelprobe_services.server.tokens.hmac.compare_digest", counted)
    for token in ("one", "two", "neither"):
        compared.clear()
        tokens.find(token)
        assert [digest.hex() for digest in compared] == list(DIGESTS.values())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "clients: missing; expected at least one [clients.NAME] table"),
        ("clients = 3", "clients: expected at least one [clients.NAME] table"),
        ("[clients", "is not TOML"),
        (ONE + "[more]\n", "more: unknown key"),
        (ONE + "tokens = 1\n", "clients.one.tokens: unknown key; "),
        (ONE + ONE, "is not TOML"),
        (ONE + ONE.replace("clients.one", "clients.again"), "clients.again.token_sha256: the same token as"),
        (ONE.replace("clients.one", 'clients."a b"'), "clients.'a b': expected a name"),
        (
            ONE.replace("read", "write"),
            'clients.one.scopes[0]: expected one of read, attack, admin, got "write"',
        ),
        (ONE.replace('["read"]', "[]"), "clients.one.scopes"),
        (ONE.replace('["read"]', '["read", "read"]'), "clients.one.scopes"),
        (ONE.replace('["read"]', '"read"'), "clients.one.scopes"),
        (
            "[clients.one]\nscopes = ['read']\n",
            "clients.one.token_sha256: missing; expected the token's SHA-256",
        ),
        (ONE.replace(DIGESTS["one"], "hunter2-in-plain-sight"), "clients.one.token_sha256: expected"),
        (TWO.replace("= 3", "= 0"), "clients.two.max_running_campaigns: expected a whole number from 1"),
        (
            TWO.replace("= 1000", "= true"),
            "clients.two.max_queries_per_day: expected a whole number from 1 to",
        ),
    ],
)
def test_what_is_off_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(TokensFileError) as refused:
        load_tokens(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert told in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, ONE, mode)
    with pytest.raises(TokensFileError, match="others than its owner may write it: run chmod go-w"):
        load_tokens(file)
    file.chmod(0o444)
    assert load_tokens(file).find("one")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokensFileError, match=r"none\.toml: No such file"):
        load_tokens(tmp_path / "none.toml")


def test_printing_shows_no_digest(tmp_path: Path) -> None:
    tokens = load_tokens(written(tmp_path, ONE))
    assert DIGESTS["one"] not in repr(tokens) + repr(vars(tokens)) + str(Tokens(()))
