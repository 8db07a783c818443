"""``python -m pixelprobe_deploy.secrets make DIR``: certificates and tokens for services and clients."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

SCOPES = ("read", "attack", "admin")
DAYS = 365
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HOST = re.compile(r"[A-Za-z0-9.:-]{1,253}")


def _hosts(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for host in value:
        if not _HOST.fullmatch(host):
            raise click.BadParameter(f"{host!r} is no name or IP address of a host")
    return value


def _clients(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    clients: dict[str, tuple[str, ...]] = {}
    for text in value:
        name, *listed = text.split("=", 1)
        scopes = tuple(",".join(listed).split(","))
        if not _NAME.fullmatch(name) or not set(scopes) <= set(SCOPES) or len(set(scopes)) < len(scopes):
            raise click.BadParameter(f"{text!r} is not NAME=SCOPE,SCOPE with scopes {', '.join(SCOPES)}")
        if name in clients or name == "orchestrator":
            raise click.BadParameter(f"{name!r} is taken")
        clients[name] = scopes
    return clients


@click.group()
def main() -> None:
    """Certificates and tokens, where there is nothing else that issues them."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    callback=_hosts,
    metavar="NAME",
    help="Of the services.",
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    callback=_clients,
    default=("admin=read,attack,admin", "user=read,attack"),
    metavar="NAME=SCOPE,SCOPE",
    show_default=True,
    help="A client and what it may do.",
)
@click.option(
    "--days", type=click.IntRange(1, 3650), default=DAYS, show_default=True, help="Certificates are valid."
)
def make(folder: Path, hosts: tuple[str, ...], clients: dict[str, tuple[str, ...]], days: int) -> None:
    """Make FOLDER with an authority, certificates of the services and of clients, and tokens.

    The certificates hold localhost and the services' names within the stack; --host adds others.
    """
    try:
        from pixelprobe_deploy.secrets.folder import FolderError
        from pixelprobe_deploy.secrets.folder import make as make_folder
    except ImportError as error:
        raise click.ClickException(f"needs pip install 'pixelprobe[secrets]' ({error})") from error
    try:
        names = make_folder(folder, hosts, clients, days)
    except FolderError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{folder}: {', '.join(names)}")
    click.echo(f"export PIXELPROBE_SECRETS={folder.absolute()}")


if __name__ == "__main__":
    sys.exit(main(prog_name="python -m pixelprobe_deploy.secrets"))
