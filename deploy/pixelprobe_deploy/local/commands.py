"""The command line of the local stack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pixelprobe_deploy.local.errors import Interrupted, LocalStackError
from pixelprobe_deploy.local.interrupts import Interrupts
from pixelprobe_deploy.local.parts import NAMES, TRITON
from pixelprobe_deploy.local.ports import KINDS
from pixelprobe_deploy.local.stack import LocalStack, Status, Wish
from pixelprobe_deploy.local.state import StateFolder
from pixelprobe_deploy.modelzoo.catalogue import WeightsError
from pixelprobe_deploy.triton.config import ConfigError
from pixelprobe_deploy.triton.contract import ContractError
from pixelprobe_deploy.triton.interpreter import RuntimeSetupError
from pixelprobe_deploy.triton.repository import RepositoryError
from pixelprobe_services.common.text import terminal_text

EXIT_UNHEALTHY = 3
EXPECTED = (ConfigError, ContractError, LocalStackError, RepositoryError, RuntimeSetupError, WeightsError)

Result = TypeVar("Result")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_home: Decorator = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="State folder: logs, models, the Triton runtime. [default: $PIXELPROBE_HOME or ~/.pixelprobe]",
)
_json: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; progress goes to stderr."
)


def _ports(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each port."""
    for key, kind in reversed(KINDS.items()):
        option: Decorator = click.option(
            kind.option,
            key,
            type=click.IntRange(0, 65535),
            metavar="PORT",
            help=f"{kind.title}; 0: any free port. [default: {kind.default}]",
        )
        function = option(function)
    return function


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """The local stack: a Triton server with the classifiers, and both services.

    Beside those that ship it serves what `python -m pixelprobe_deploy.modelzoo imagenet|u2net` built.
    """
    context.ensure_object(Interrupts)


@main.command()
@_home
@_ports
@click.option("--free-ports", is_flag=True, help="Any free port for those not given by number.")
@click.option("--only", type=click.Choice([TRITON]), help="Start Triton alone, without the services.")
@click.option(
    "--targets",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A targets file of your own: its targets join the stack's, now and at later starts.",
)
@_json
@click.pass_obj
def up(
    interrupts: Interrupts,
    /,
    home: Path | None,
    free_ports: bool,
    only: str | None,
    targets: Path | None,
    as_json: bool,
    **ports: int | None,
) -> None:
    """Start the local stack, and return when it is healthy.

    The first time this installs the Triton runtime, which takes about a minute. A stack that already runs and
    is healthy is left as it is, and only parts that have died are started again, on their ports. After a
    failure or Ctrl-C nothing that this command started is left running.
    """
    wish = Wish(
        names=(only,) if only else NAMES,
        ports={key: port for key, port in ports.items() if port is not None},
        free_ports=free_ports,
        targets=targets,
    )
    stack = LocalStack(StateFolder(home), interrupts, lambda line: click.echo(line, err=as_json))
    found = _guarded(lambda: stack.up(wish))
    interrupts.ignore()
    _show(found, as_json)


@main.command()
@_home
@_json
@click.pass_obj
def down(interrupts: Interrupts, home: Path | None, as_json: bool) -> None:
    """Stop the local stack."""
    stack = LocalStack(StateFolder(home), interrupts, lambda line: click.echo(line, err=as_json))
    stopped = _guarded(stack.down)
    if as_json:
        click.echo(json.dumps({"stopped": stopped}))
    else:
        click.echo(f"Stopped {', '.join(stopped)}." if stopped else "Nothing is running.")


@main.command()
@_home
@_json
@click.pass_obj
def status(interrupts: Interrupts, home: Path | None, as_json: bool) -> None:
    """Show each part's address and whether it is healthy now; exit code 3 unless all are."""
    stack = LocalStack(StateFolder(home), interrupts, click.echo)
    found = _guarded(stack.status)
    _show(found, as_json)
    if not all(part["healthy"] for part in found.values()):
        raise click.exceptions.Exit(EXIT_UNHEALTHY)


def _guarded(action: Callable[[], Result]) -> Result:
    """Turn expected errors into one line and an exit code."""
    try:
        return action()
    except Interrupted as error:
        click.echo("Interrupted; nothing is left running.", err=True)
        raise click.exceptions.Exit(error.exit_code) from error
    except EXPECTED as error:
        # It may quote a log, which quotes others.
        raise click.ClickException(terminal_text(str(error))) from error


def _show(found: Status, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found))
        return
    for name, part in found.items():
        where = ", ".join(f"{kind} {part[kind]}" for kind in part if kind != "healthy")
        click.echo(f"{name:13} {'healthy' if part['healthy'] else 'not healthy':12} {where}")
