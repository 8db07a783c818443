"""The store's location: a URL from an option, the environment or a file, checked and never shown in full.

``store_options`` gives a command the options; ``locate`` checks their values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from click.core import ParameterSource

from pixelprobe_services.common.files import state_folder
from pixelprobe_services.orchestrator.store.errors import StoreSetupError
from pixelprobe_services.server.settings import StartError

FORMS = "memory://, sqlite:///FILE or postgresql://USER@HOST:PORT/DATABASE"
_POSTGRESQL = "postgresql+psycopg"
_SECRET_PARAMETERS = frozenset({"password", "sslpassword"})


@dataclass(frozen=True)
class StoreLocation:
    """A checked location; ``url`` is None for the store in memory. Printing one shows no secret."""

    url: sa.URL | None

    def __str__(self) -> str:
        if self.url is None:
            return "memory://"
        return self.url.set(query={}).render_as_string(hide_password=True)

    __repr__ = __str__

    @property
    def file(self) -> Path | None:
        """The SQLite file, if it is one."""
        if self.url is None or self.url.get_backend_name() != "sqlite":
            return None
        return Path(self.url.database or "")


def default_location() -> str:
    """Return a file in the state folder, ``$PIXELPROBE_HOME`` or ``~/.pixelprobe``."""
    return f"sqlite:///{state_folder() / 'pixelprobe.db'}"


def locate(url: str | None, file: Path | None, *, on_command_line: bool = False) -> StoreLocation:
    """Return the location that ``url`` gives, or the first line of ``file``; the default without either.

    Raises:
        StoreSetupError: both are given, or neither can be used; or a password stands on the command line.
    """
    if url and file:
        raise StoreSetupError("give --store or --store-file, not both")
    if file:
        location = _parse(_first_line(file), f"the URL in {file}")
    else:
        location = _parse(url or default_location(), "--store")
        if on_command_line and _has_secret(location):
            raise StoreSetupError(
                "--store: a password on the command line is seen by every user of the machine;"
                " put the URL into a file and give --store-file, or use PGPASSFILE"
            )
    return location


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the options ``--store`` and ``--store-file``; it gets one argument, ``store``."""

    @click.option(
        "--store",
        envvar="PIXELPROBE_STORE",
        show_envvar=True,
        help=f"Where campaigns are kept: {FORMS}.  [default: pixelprobe.db in $PIXELPROBE_HOME]",
    )
    @click.option(
        "--store-file",
        envvar="PIXELPROBE_STORE_FILE",
        show_envvar=True,
        type=click.Path(path_type=Path),
        help="A file that holds the URL of the store, for one with a password.",
    )
    @click.pass_context
    @wraps(command)
    def located(context: click.Context, /, store: str | None, store_file: Path | None, **others: Any) -> Any:
        typed = context.get_parameter_source("store") is ParameterSource.COMMANDLINE
        try:
            location = locate(store, store_file, on_command_line=typed)
        except StoreSetupError as error:
            raise StartError(str(error)) from error
        return command(store=location, **others)

    return located


def _first_line(file: Path) -> str:
    try:
        lines = file.read_text(encoding="utf-8").strip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise StoreSetupError(f"--store-file {file}: {reason}") from error
    if len(lines) != 1:
        raise StoreSetupError(f"--store-file {file}: must hold one line, the URL")
    return lines[0].strip()


def _parse(text: str, what: str) -> StoreLocation:
    if text == "memory://":
        return StoreLocation(None)
    wrong = StoreSetupError(f"{what} is none of {FORMS}")  # without the text: it may hold a password
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise wrong from None
    if url.drivername == "sqlite":
        if not url.database or url.database == ":memory:" or url.host or url.query:
            raise wrong
        return StoreLocation(url)
    if url.drivername in ("postgresql", "postgres", _POSTGRESQL):
        return StoreLocation(url.set(drivername=_POSTGRESQL))
    raise wrong


def _has_secret(location: StoreLocation) -> bool:
    url = location.url
    return url is not None and (bool(url.password) or bool(_SECRET_PARAMETERS & url.query.keys()))
