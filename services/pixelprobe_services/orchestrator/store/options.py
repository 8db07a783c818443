"""``--store`` and ``--store-file``, for every command that opens the store."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pixelprobe_services.orchestrator.store.errors import StoreSetupError
from pixelprobe_services.orchestrator.store.location import FORMS, locate
from pixelprobe_services.server.settings import StartError


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` the two options; it gets one argument, ``store``, a StoreLocation."""

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
