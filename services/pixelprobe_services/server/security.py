"""Security settings of a service: TLS certificate, authority of clients' certificates, tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import click
import grpc

from pixelprobe_services.common.peers import (
    Peer,
    PeerError,
    PeerNames,
    check_pair,
    is_loopback,
    read_authorities,
    read_file,
    read_peer,
)
from pixelprobe_services.server.settings import StartError
from pixelprobe_services.server.tokens import Tokens, TokensFileError, load_tokens

_PATH = click.Path(path_type=Path)


@dataclass(frozen=True)
class Security:
    """What a server requires of clients. The default requires nothing, in plaintext, on loopback only.

    Attributes:
        certificate: certificate chain (PEM), with ``key``; None for plaintext.
        client_authorities: clients must show a certificate that one of these (PEM) signed.
        tokens: clients must send one of these.
        allow_plaintext: listen in plaintext on any address.
    """

    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    client_authorities: bytes | None = field(default=None, repr=False)
    tokens: Tokens | None = field(default=None, repr=False)
    allow_plaintext: bool = False

    def add_port(self, server: grpc.aio.Server, listen: str) -> int:
        """Make ``server`` listen there and return the port.

        Raises:
            RuntimeError: gRPC cannot.
        """
        if self.certificate is None or self.key is None:
            return server.add_insecure_port(listen)
        credentials = grpc.ssl_server_credentials(
            [(self.key, self.certificate)],
            self.client_authorities,
            require_client_auth=self.client_authorities is not None,
        )
        return server.add_secure_port(listen, credentials)

    def check_address(self, listen: str) -> None:
        """Check that nothing secret goes over a network in plaintext unless that was asked for.

        Raises:
            StartError: ``listen`` is not loopback, without TLS or ``allow_plaintext``.
        """
        if self.certificate is None and not self.allow_plaintext and not is_loopback(listen):
            raise StartError(
                f"cannot listen on {listen} in plaintext, where others could read and change what passes:"
                " give --tls-cert and --tls-key, or --allow-plaintext if something else protects it"
            )

    def __str__(self) -> str:
        how = "plaintext" if self.certificate is None else "TLS"
        if self.client_authorities is not None:
            how += " with client certificates"
        return how + (f", {len(self.tokens.callers)} tokens" if self.tokens else ", no tokens")


OPEN = Security()


def security_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a server to ``command``, which gets one argument, ``security``, a Security."""

    @_option("--tls-cert", "PIXELPROBE_TLS_CERT", type=_PATH, help="Certificate chain (PEM) to serve with.")
    @_option("--tls-key", "PIXELPROBE_TLS_KEY", type=_PATH, help="File of its private key (PEM).")
    @_option(
        "--tls-client-ca",
        "PIXELPROBE_TLS_CLIENT_CA",
        type=_PATH,
        help="Clients must show a certificate that one of these authorities (PEM) signed.",
    )
    @_option(
        "--tokens-file",
        "PIXELPROBE_TOKENS_FILE",
        type=_PATH,
        help="Clients, hashes of their tokens, scopes and quotas (TOML); without it no client needs a token.",
    )
    @_option(
        "--allow-plaintext",
        "PIXELPROBE_ALLOW_PLAINTEXT",
        is_flag=True,
        help="Do without TLS on addresses that are not loopback.",
    )
    @wraps(command)
    def secured(
        tls_cert: Path | None,
        tls_key: Path | None,
        tls_client_ca: Path | None,
        tokens_file: Path | None,
        allow_plaintext: bool,
        **others: Any,
    ) -> Any:
        try:
            security = read_security(tls_cert, tls_key, tls_client_ca, tokens_file, allow_plaintext)
        except PeerError as error:
            raise StartError(str(error)) from error
        except TokensFileError as error:
            raise StartError(f"--tokens-file {error}") from error
        return command(security=security, **others)

    return secured


def read_security(
    certificate: Path | None,
    key: Path | None,
    client_ca: Path | None,
    tokens_file: Path | None,
    allow_plaintext: bool,
) -> Security:
    """Read the files of the options.

    Raises:
        PeerError: a certificate or key cannot be read or used, or one of the pair is missing.
        TokensFileError: the tokens file cannot be used.
    """
    if (certificate is None) != (key is None):
        raise PeerError("--tls-cert and --tls-key go together: one of them is missing")
    if client_ca and certificate is None:
        raise PeerError("--tls-client-ca needs --tls-cert and --tls-key beside it")
    if certificate and key:
        check_pair(certificate, key, "--tls-cert", "--tls-key")
    return Security(
        certificate=read_file(certificate, "--tls-cert") if certificate else None,
        key=read_file(key, "--tls-key") if key else None,
        client_authorities=read_authorities(client_ca, "--tls-client-ca") if client_ca else None,
        tokens=load_tokens(tokens_file) if tokens_file else None,
        allow_plaintext=allow_plaintext,
    )


def peer_options(prefix: str, what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options of the connection to ``what``.

    They are called ``--PREFIX-tls-ca``, ``PIXELPROBE_PREFIX_TLS_CA`` and so on. The command gets
    one argument, ``PREFIX_peer``, a Peer.
    """
    variable = f"PIXELPROBE_{prefix.upper()}"
    keys = {
        "tls_ca": f"Authorities (PEM) that {what}'s certificate must come from; turns TLS on.",
        "tls_cert": f"Own certificate (PEM) for {what}, if it asks for one.",
        "tls_key": "File of its private key (PEM).",
        "token_file": f"File of the token for {what}.",
    }
    option = {key: f"--{prefix}-{key.replace('_', '-')}" for key in keys}
    names = PeerNames(option["tls_ca"], option["tls_cert"], option["tls_key"], option["token_file"])

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def connected(**arguments: Any) -> Any:
            files = {key: arguments.pop(f"{prefix}_{key}") for key in keys}
            tls = arguments.pop(f"{prefix}_tls")
            try:
                peer = read_peer(
                    tls=tls,
                    authorities=files["tls_ca"],
                    certificate=files["tls_cert"],
                    key=files["tls_key"],
                    token_file=files["token_file"],
                    allow_plaintext=arguments["security"].allow_plaintext,
                    names=names,
                )
            except PeerError as error:
                raise StartError(str(error)) from error
            return command(**{f"{prefix}_peer": peer}, **arguments)

        decorated: Callable[..., Any] = connected
        for key, text in reversed(keys.items()):
            decorated = _option(option[key], f"{variable}_{key.upper()}", type=_PATH, help=text)(decorated)
        return _option(
            f"--{prefix}-tls", f"{variable}_TLS", is_flag=True, help=f"TLS to {what}, by public authorities."
        )(decorated)

    return decorate


def check_peer(peer: Peer, address: str) -> None:
    """Check at the start that the connection may be made.

    Raises:
        StartError: a token would travel unencrypted to another machine.
    """
    try:
        peer.credentials(address)
    except PeerError as error:
        raise StartError(str(error)) from error


def _option(
    option: str, variable: str, **attributes: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(option, envvar=variable, show_envvar=True, **attributes)
