"""The tokens file: who may call a service, what for, and how much of it.

    [clients.ci]
    token_sha256 = "..."            # of the token, in hex; the token itself is only with the client
    scopes = ["read", "attack"]     # read, attack, admin; none implies another
    max_running_campaigns = 4       # optional
    max_queries_per_day = 2000000   # optional

TOML, read once, at start: another token is another start. Tokens are long random texts, so that a plain hash
keeps them; the file gives nobody access, and must only be safe from being written.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixelprobe_services.server.caller import SCOPES, Caller

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEYS = ("token_sha256", "scopes", "max_running_campaigns", "max_queries_per_day")
_LIMITS = _KEYS[2:]
_LARGEST_LIMIT = 2**53


class TokensFileError(Exception):
    """The tokens file cannot be used; one line that names the file, the key and the cure."""


@dataclass(frozen=True)
class Entry:
    """A client and the SHA-256 of its token."""

    caller: Caller
    digest: bytes = field(repr=False)


class Tokens:
    """All clients of a tokens file."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)

    @property
    def callers(self) -> tuple[Caller, ...]:
        """All clients, in the file's order."""
        return tuple(entry.caller for entry in self._entries)

    def find(self, token: str) -> Caller | None:
        """Whose token it is. Takes the same time whatever the token, found or not."""
        digest = token_digest(token)
        found: Caller | None = None
        for entry in self._entries:
            if hmac.compare_digest(entry.digest, digest):
                found = entry.caller
        return found


def token_digest(token: str) -> bytes:
    """SHA-256 of a token."""
    return hashlib.sha256(token.encode()).digest()


def load_tokens(path: Path) -> Tokens:
    """Read a tokens file.

    Raises:
        TokensFileError: it cannot be read, others may write it, or something in it is off.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise TokensFileError(f"{path}: cannot be read: {reason}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TokensFileError(f"{path}: others than its owner may write it: run chmod go-w {path}")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TokensFileError(f"{path}: not valid TOML: {error}") from error
    return Tokens(_entries(path, document))


def _entries(path: Path, document: dict[str, Any]) -> list[Entry]:
    for key in document.keys() - {"clients"}:
        raise TokensFileError(f"{path}: {key}: unknown key; expected [clients.NAME] tables")
    tables = document.get("clients")
    if not isinstance(tables, dict) or not tables:
        raise TokensFileError(f"{path}: clients: expected at least one [clients.NAME] table")
    entries = [_entry(path, name, table) for name, table in tables.items()]
    owners: dict[bytes, str] = {}
    for entry in entries:
        if entry.digest in owners:
            raise TokensFileError(
                f"{path}: clients.{entry.caller.name}.token_sha256: the same token as"
                f" clients.{owners[entry.digest]}'s; each client needs its own"
            )
        owners[entry.digest] = entry.caller.name
    return entries


def _entry(path: Path, name: str, table: Any) -> Entry:
    where = f"{path}: clients.{name}"
    if not _NAME.fullmatch(name):
        raise TokensFileError(
            f"{path}: clients.{name!r}: expected a name of letters, digits, '_', '.' and '-', at most 63"
        )
    if not isinstance(table, dict):
        raise TokensFileError(f"{where}: expected a table")
    for key in table.keys() - set(_KEYS):
        raise TokensFileError(f"{where}.{key}: unknown key; known are {', '.join(_KEYS)}")
    digest = table.get("token_sha256")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        # Without what stands there: it may be the token itself.
        raise TokensFileError(f"{where}.token_sha256: expected the token's SHA-256, 64 lower-case hex digits")
    limits = {key: _limit(where, key, table[key]) for key in _LIMITS if key in table}
    return Entry(Caller(name, _scopes(where, table.get("scopes")), **limits), bytes.fromhex(digest))


def _scopes(where: str, value: Any) -> frozenset[str]:
    known = isinstance(value, list) and value and all(scope in SCOPES for scope in value)
    if not known or len(set(value)) < len(value):
        raise TokensFileError(f"{where}.scopes: expected a list of {', '.join(SCOPES)}, each at most once")
    return frozenset(value)


def _limit(where: str, key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST_LIMIT:
        raise TokensFileError(f"{where}.{key}: expected a whole number, at least 1")
    return value
