"""Tokens file: the clients that may call a service, with their scopes and limits.

    [clients.ci]
    token_sha256 = "..."            # of the token, in hex; the token itself is only with the client
    scopes = ["read", "attack"]     # read, attack, admin; none implies another
    max_running_campaigns = 4       # optional
    max_queries_per_day = 2000000   # optional
    max_attacks = 100000            # optional: of its open campaigns together
    max_stored_bytes = 10000000000  # optional: specs, images and results of its campaigns together

TOML, read once, at start: a new token needs a restart. Tokens are long random texts, so that a plain hash
protects them: reading the file gives no access, and it must only be safe from being written.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from pixelprobe_services.common.toml import FileError, read_toml
from pixelprobe_services.common.validation import FileModel, Whole, check
from pixelprobe_services.server.caller import Caller

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")

_Limit = Annotated[Whole, Field(ge=1, le=2**53)]


class TokensFileError(FileError):
    """A tokens file cannot be used; one line that names the file, the key and what to do."""


def _each_once(scopes: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(scopes)) < len(scopes):
        raise ValueError("expected each scope at most once")
    return scopes


class ClientTable(FileModel):
    """A ``[clients.NAME]`` table."""

    token_sha256: Annotated[
        str,
        StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$"),
        # Messages must not show what stands there: it may be the token itself.
        Field(repr=False, description="the token's SHA-256, 64 lower-case hex digits"),
    ]
    scopes: Annotated[
        tuple[Literal["read", "attack", "admin"], ...],
        AfterValidator(_each_once),
        Field(min_length=1, description="a list of read, attack, admin, each at most once"),
    ]
    max_running_campaigns: _Limit | None = None
    max_queries_per_day: _Limit | None = None
    max_attacks: _Limit | None = None
    max_stored_bytes: _Limit | None = None

    def caller(self, name: str) -> Caller:
        """Return the client that this table describes."""
        limits = self.model_dump(exclude={"token_sha256", "scopes"})
        return Caller(name, frozenset(self.scopes), **limits)


class TokensFile(FileModel):
    """A tokens file."""

    clients: Annotated[
        dict[str, ClientTable],
        Field(min_length=1, description="at least one [clients.NAME] table"),
    ]


@dataclass(frozen=True)
class Entry:
    """A client and the SHA-256 of its token."""

    caller: Caller
    digest: bytes = field(repr=False)


class Tokens:
    """All clients of a tokens file.

    >>> tokens = load_tokens(Path("tokens.toml"))
    >>> tokens.find("the token that a client sent")
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)

    @property
    def callers(self) -> tuple[Caller, ...]:
        """Return all clients, in the file's order."""
        return tuple(entry.caller for entry in self._entries)

    def find(self, token: str) -> Caller | None:
        """Return the client whose token it is. Takes the same time for every token, found or not."""
        digest = token_digest(token)
        found: Caller | None = None
        for entry in self._entries:
            if hmac.compare_digest(entry.digest, digest):
                found = entry.caller
        return found


def token_digest(token: str) -> bytes:
    """Return the SHA-256 of a token."""
    return hashlib.sha256(token.encode()).digest()


def load_tokens(path: Path) -> Tokens:
    """Read a tokens file.

    Raises:
        TokensFileError: it cannot be read, others may write it, or something in it is off.
    """
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise TokensFileError(f"{path}: others than its owner may write it: run chmod go-w {path}")
        document = read_toml(path)
        _check_names(path, document.get("clients"))
        return Tokens(_entries(path, check(TokensFile, document, path)))
    except OSError as error:
        raise TokensFileError(f"{path}: {error.strerror or error}") from error
    except TokensFileError:
        raise
    except FileError as error:
        raise TokensFileError(str(error)) from error


def _check_names(path: Path, clients: Any) -> None:
    for name in clients if isinstance(clients, dict) else ():
        if not _NAME.fullmatch(name):
            raise TokensFileError(
                f"{path}: clients.{name!r}: expected a name of letters, digits, '_', '.' and '-', at most 63"
            )


def _entries(path: Path, file: TokensFile) -> list[Entry]:
    owners: dict[str, str] = {}
    for name, client in file.clients.items():
        if client.token_sha256 in owners:
            raise TokensFileError(
                f"{path}: clients.{name}.token_sha256: the same token as"
                f" clients.{owners[client.token_sha256]}'s; each client needs its own"
            )
        owners[client.token_sha256] = name
    return [
        Entry(client.caller(name), bytes.fromhex(client.token_sha256))
        for name, client in file.clients.items()
    ]
