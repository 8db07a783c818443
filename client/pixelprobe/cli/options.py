"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from pixelprobe.addresses import (
    ORCHESTRATOR,
    ORCHESTRATOR_VARIABLE,
    SEGMENTATION,
    SEGMENTATION_VARIABLE,
    find_addresses,
    locate,
)
from pixelprobe.api import PixelprobeClient
from pixelprobe.cli.connecting import CONNECTION, NAMES, security_options
from pixelprobe.cli.shell import Decorator, sectioned
from pixelprobe.connection import ConnectionOptions, find_peer
from pixelprobe_services.common.text import terminal_text

PATH = click.Path(path_type=Path)
OUTPUT = "Output"
_VARIABLES = {ORCHESTRATOR: ORCHESTRATOR_VARIABLE, SEGMENTATION: SEGMENTATION_VARIABLE}


def orchestrator_option(*, takes_images: bool = False) -> Decorator:
    """The address of the orchestrator, and how to connect.

    Args:
        takes_images: accept ``--segmentation`` as well, so that the same options go with every command that
            takes images; the orchestrator has a segmentation service of its own, so it is only checked.
    """
    return _address_option(ORCHESTRATOR, SEGMENTATION if takes_images else "")


def segmentation_option() -> Decorator:
    """The address of the segmentation service, and how to connect; ``--orchestrator`` is only checked."""
    return _address_option(SEGMENTATION, ORCHESTRATOR)


def _address_option(used: str, accepted: str) -> Decorator:
    option = sectioned(CONNECTION)
    decorators = [
        option(
            f"--{used}",
            metavar="HOST:PORT",
            help=f"{NAMES[used]}. Default: ${_VARIABLES[used]}, else the running local stack.",
        )
    ]
    if accepted:
        decorators.append(
            option(
                f"--{accepted}",
                metavar="HOST:PORT",
                expose_value=False,
                callback=_check_address,
                help=f"Accepted as by other commands; this one calls the {NAMES[used].lower()} only.",
            )
        )
    decorators.append(security_options())

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def _check_address(_context: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and param.name:
        locate(param.name, value)
    return value


def output_options(default_out: str, what: str) -> Decorator:
    """The options --out and --json.

    Args:
        default_out: the folder when none is given.
        what: is written there.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        out = sectioned(OUTPUT)(
            "--out",
            type=PATH,
            default=Path(default_out),
            metavar="DIR",
            show_default=True,
            help=f"Folder for {what}; made if missing.",
        )
        return out(json_option()(command))

    return decorate


def json_option() -> Decorator:
    """Machine-readable output."""
    return sectioned(OUTPUT)(
        "--json",
        "as_json",
        is_flag=True,
        help="Print the results as JSON on stdout, and nothing else there.",
    )


def complete_target(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete the name of a target, for the shell; nothing where no orchestrator answers."""
    try:
        addresses = find_addresses(context.params.get("orchestrator"))
        with PixelprobeClient(addresses, find_peer(ConnectionOptions())) as client:
            names = [target.name for target in client.list_targets()]
    except Exception:  # a shell that completes has no place for messages
        return []
    return [CompletionItem(terminal_text(name)) for name in names if name.startswith(incomplete)]


def make_folder(path: Path) -> Path:
    """The folder, made if missing; a click error when something else is in its place."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise click.BadParameter(f"{path} is not a folder", param_hint="'--out'") from error
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}", param_hint="'--out'") from error
    return path


DATA = "Data"


def spec_argument() -> Decorator:
    """A spec file, or the name of a shipped one."""
    return click.argument("spec", metavar="SPEC")


def name_argument() -> Decorator:
    """A run or a campaign."""
    return click.argument("name", metavar="NAME")


def data_option() -> Callable[..., Any]:
    """The option ``--data``: the folder of the images."""
    return sectioned(DATA)(
        "--data",
        type=PATH,
        metavar="DIR",
        help="The images' folder, instead of the one that SPEC names (data.folder).",
    )


def check_file(path: Path) -> Path:
    """The path of a file to be written; a click error when a folder is in its place."""
    if path.is_dir():
        raise click.BadParameter(f"{path} is a folder", param_hint="'--out'")
    return path
