"""Credentials of the client, from the command line or the environment.

The token itself comes from the environment or a file, never from the command line, which every user of the
machine can read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pixelprobe_services.common.peers import Peer, PeerError, read_peer

TLS_VARIABLE = "PIXELPROBE_TLS"
CA_VARIABLE = "PIXELPROBE_TLS_CA"
CERTIFICATE_VARIABLE = "PIXELPROBE_TLS_CLIENT_CERT"
KEY_VARIABLE = "PIXELPROBE_TLS_CLIENT_KEY"
TOKEN_FILE_VARIABLE = "PIXELPROBE_TOKEN_FILE"  # noqa: S105 - a name
TOKEN_VARIABLE = "PIXELPROBE_TOKEN"  # noqa: S105 - a name
PLAINTEXT_VARIABLE = "PIXELPROBE_ALLOW_PLAINTEXT"

_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class ConnectionOptions:
    """Options of the command line; the environment supplies the others."""

    tls: bool = False
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    token_file: Path | None = None
    allow_plaintext: bool = False


def find_peer(options: ConnectionOptions | None = None) -> Peer:
    """Return the credentials: each option, else its variable; a token file precedes PIXELPROBE_TOKEN.

    Raises:
        PeerError: a setting is invalid; the message names it and the cure.
    """
    given = options or ConnectionOptions()
    return read_peer(
        tls=given.tls or _flag(TLS_VARIABLE),
        authorities=given.tls_ca or _path(CA_VARIABLE),
        certificate=given.tls_cert or _path(CERTIFICATE_VARIABLE),
        key=given.tls_key or _path(KEY_VARIABLE),
        token_file=given.token_file or _path(TOKEN_FILE_VARIABLE),
        token=os.environ.get(TOKEN_VARIABLE, ""),
        allow_plaintext=given.allow_plaintext or _flag(PLAINTEXT_VARIABLE),
    )


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else None


def _flag(variable: str) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value not in _YES | _NO:
        raise PeerError(f"{variable}: {value!r} is neither true nor false")
    return value in _YES
