"""Arguments and options that the campaign commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pixelprobe.cli.options import PATH
from pixelprobe.cli.shell import Decorator, sectioned

DATA = "Data"


def spec_argument() -> Decorator:
    """A spec file, or the name of a shipped one."""
    return click.argument("spec", metavar="SPEC")


def name_argument() -> Decorator:
    """A run or a campaign."""
    return click.argument("name", metavar="NAME")


def data_option() -> Callable[..., Any]:
    """Where the images are."""
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
