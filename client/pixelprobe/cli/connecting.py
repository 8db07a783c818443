"""Connect a command to the services: addresses, and the TLS and token options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pixelprobe.addresses import ORCHESTRATOR, SEGMENTATION, find_addresses, locate
from pixelprobe.api import PixelprobeClient
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.shell import Decorator, sectioned
from pixelprobe.connection import (
    CA_VARIABLE,
    CERTIFICATE_VARIABLE,
    KEY_VARIABLE,
    PLAINTEXT_VARIABLE,
    TLS_VARIABLE,
    TOKEN_FILE_VARIABLE,
    TOKEN_VARIABLE,
    ConnectionOptions,
    find_peer,
)

CONNECTION = "Connection"
NAMES = {ORCHESTRATOR: "Orchestrator", SEGMENTATION: "Segmentation service"}
_KEPT = "pixelprobe.cli.connecting"
_FILE = click.Path(path_type=Path)


def open_client(
    orchestrator: str | None = None, segmentation: str | None = None, *, service: str = ORCHESTRATOR
) -> PixelprobeClient:
    """Make the client of the running command, and print on stderr which address it uses.

    Args:
        orchestrator: what ``--orchestrator`` says.
        segmentation: what ``--segmentation`` says.
        service: the one that the command calls.

    Raises:
        AddressError: something that was given is no address.
        NoStackError: no address was given and no local stack runs.
        PeerError: a certificate, key or token cannot be used, or may not travel like this.
    """
    context = click.get_current_context(silent=True)
    given = context.meta.get(_KEPT, {}) if context else {}
    options = {ORCHESTRATOR: orchestrator, SEGMENTATION: segmentation}
    addresses = find_addresses(**options, needed=(service,))
    client = PixelprobeClient(addresses, find_peer(ConnectionOptions(**given)))
    located = locate(service, options[service])
    if located:
        line = f"{NAMES[service]} at {located.address} ({located.origin})"
        make_console(stderr=True).print(safe(line), style="dim", soft_wrap=True)
    return client


def security_options() -> Decorator:
    """The options that :func:`open_client` takes into account; the command itself does not get them."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(_options()):
            command = option(command)
        return command

    return decorate


def _options() -> list[Decorator]:
    option = sectioned(CONNECTION)
    shared: dict[str, Any] = {"expose_value": False, "callback": _keep}
    file: dict[str, Any] = {**shared, "type": _FILE, "metavar": "FILE"}
    return [
        option(
            "--tls-ca",
            **file,
            help=f"Authorities (PEM) to trust with the server's certificate; turns TLS on. ${CA_VARIABLE}.",
        ),
        option("--tls", **shared, is_flag=True, help=f"TLS by the public authorities. ${TLS_VARIABLE}."),
        option(
            "--tls-cert",
            **file,
            help=f"Own certificate (PEM), for a server that asks for one. ${CERTIFICATE_VARIABLE}.",
        ),
        option("--tls-key", **file, help=f"Its private key (PEM). ${KEY_VARIABLE}."),
        option(
            "--token-file",
            **file,
            help=f"File with the token. ${TOKEN_FILE_VARIABLE}, or the token itself in ${TOKEN_VARIABLE}.",
        ),
        option(
            "--allow-plaintext",
            **shared,
            is_flag=True,
            help=f"Send the token unencrypted to another machine. ${PLAINTEXT_VARIABLE}.",
        ),
    ]


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if value and param.name:
        ctx.meta.setdefault(_KEPT, {})[param.name] = value
    return value
