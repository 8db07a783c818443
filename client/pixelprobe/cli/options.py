"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pixelprobe.addresses import ORCHESTRATOR_VARIABLE, SEGMENTATION_VARIABLE
from pixelprobe.cli.connecting import CONNECTION, security_options
from pixelprobe.cli.shell import Decorator, sectioned

PATH = click.Path(path_type=Path)
OUTPUT = "Output"


def orchestrator_option() -> Decorator:
    """Where the orchestrator is, and how to connect."""
    return _with_security(
        "--orchestrator",
        metavar="HOST:PORT",
        help=f"The orchestrator. Default: ${ORCHESTRATOR_VARIABLE}, else the running local stack.",
    )


def segmentation_option() -> Decorator:
    """Where the segmentation service is, and how to connect."""
    return _with_security(
        "--segmentation",
        metavar="HOST:PORT",
        help=f"The segmentation service. Default: ${SEGMENTATION_VARIABLE}, else the running local stack.",
    )


def _with_security(option: str, **settings: str) -> Decorator:
    address, security = sectioned(CONNECTION)(option, **settings), security_options()
    return lambda command: address(security(command))


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


def make_folder(path: Path) -> Path:
    """The folder, made if missing; a click error when something else is in its place."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise click.BadParameter(f"{path} is not a folder", param_hint="'--out'") from error
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}", param_hint="'--out'") from error
    return path
