"""Credentials of a connection: TLS, a client certificate, a bearer token.

Used by the client for both services, by the orchestrator for segmentation and by segmentation for Triton.
Certificates, keys and tokens come from files, a token from the environment too; none is printed or logged.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc

LARGEST_FILE_BYTES = 2**20


class PeerError(ValueError):
    """The settings of a connection are invalid; one line names the setting and the cure."""


@dataclass(frozen=True)
class Peer:
    """Credentials of one connection; by default plaintext without a token.

    Attributes:
        tls: encrypt, and verify the server's certificate.
        authorities: certificates (PEM) of trusted authorities; None trusts the public ones.
        certificate: client certificate chain (PEM), with ``key``, for servers that require one.
        key: its private key (PEM).
        token: sent with every call as ``authorization: Bearer TOKEN``.
        allow_plaintext: permit sending the token unencrypted to an address that is not loopback.
    """

    tls: bool = False
    authorities: bytes | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    allow_plaintext: bool = False

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata of every call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def credentials(self, address: str) -> grpc.ChannelCredentials | None:
        """Return the credentials of a channel to ``address`` (HOST:PORT), None for plaintext.

        Raises:
            PeerError: the token would be sent unencrypted to another machine, without ``allow_plaintext``.
        """
        if self.tls:
            return grpc.ssl_channel_credentials(self.authorities, self.key, self.certificate)
        if self.token and not self.allow_plaintext and not is_loopback(address):
            raise PeerError(
                f"the token would be sent unencrypted to {address}: turn TLS on, or give --allow-plaintext"
            )
        return None


PLAIN = Peer()


@dataclass(frozen=True)
class PeerNames:
    """Names of the settings, for messages."""

    authorities: str = "--tls-ca"
    certificate: str = "--tls-cert"
    key: str = "--tls-key"
    token_file: str = "--token-file"  # noqa: S105 - a name


def read_peer(
    *,
    tls: bool = False,
    authorities: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    token_file: Path | None = None,
    token: str = "",
    allow_plaintext: bool = False,
    names: PeerNames | None = None,
) -> Peer:
    """Read the files; an authority or a certificate turns TLS on.

    Raises:
        PeerError: a file cannot be read or is invalid, or one of a pair is missing.
    """
    called = names or PeerNames()
    if (certificate is None) != (key is None):
        given, missing = (called.certificate, called.key) if certificate else (called.key, called.certificate)
        raise PeerError(f"{given} needs {missing} beside it")
    if certificate and key:
        check_pair(certificate, key, called.certificate, called.key)
    return Peer(
        tls=tls or authorities is not None or certificate is not None,
        authorities=read_authorities(authorities, called.authorities) if authorities else None,
        certificate=read_file(certificate, called.certificate) if certificate else None,
        key=read_file(key, called.key) if key else None,
        token=_token(token_file, token, called.token_file),
        allow_plaintext=allow_plaintext,
    )


def read_file(path: Path, name: str) -> bytes:
    """Return the bytes of the file of setting ``name``.

    Raises:
        PeerError: it cannot be read, or exceeds LARGEST_FILE_BYTES.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise PeerError(f"{name}: {path}: {error.strerror or error}") from error
    if len(content) > LARGEST_FILE_BYTES:
        raise PeerError(f"{name}: {path}: more than {LARGEST_FILE_BYTES} bytes")
    return content


def read_authorities(path: Path, name: str) -> bytes:
    """Return the certificates in ``path`` (PEM).

    Raises:
        PeerError: it cannot be read, or holds no certificate.
    """
    pem = read_file(path, name)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise PeerError(f"{name}: {path}: holds no certificates in PEM form") from error
    return pem


def check_pair(certificate: Path, key: Path, certificate_name: str, key_name: str) -> None:
    """Check that the private key belongs to the certificate.

    Raises:
        PeerError: it does not, or one of them is invalid.
    """
    for path, name in ((certificate, certificate_name), (key, key_name)):
        read_file(path, name)
    try:
        # With the empty password an encrypted key is an error; else OpenSSL would prompt on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise PeerError(
            f"{certificate_name} {certificate} and {key_name} {key}: not a certificate and its"
            " unencrypted private key in PEM form"
        ) from error


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT is certainly this machine; of names, only ``localhost`` is."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_token(text: str) -> bool:
    """Whether ``text`` is a valid bearer token (RFC 6750)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
    return 0 < len(text) <= 4096 and set(text) <= set(alphabet)


def _token(file: Path | None, token: str, name: str) -> str:
    if file is None:
        if token and not is_token(token.strip()):
            raise PeerError("PIXELPROBE_TOKEN: is no bearer token")
        return token.strip()
    text = read_file(file, name).decode("utf-8", errors="replace").strip()
    if not is_token(text):
        raise PeerError(f"{name}: {file}: must hold one line, the token")
    return text
