"""Start of a service: options from command line or environment, logging, one-line errors.

@click.command()
@setting("--listen", "PIXELPROBE_LISTEN", type=address, help="HOST:PORT to listen on.")
def command(listen: str) -> None: ...

run(command)
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from pixelprobe_services.common import tracing
from pixelprobe_services.common.address import split_address
from pixelprobe_services.server import logs

LOG_LEVEL_ENV = "PIXELPROBE_LOG_LEVEL"
LOG_FORMAT_ENV = "PIXELPROBE_LOG_FORMAT"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

F = TypeVar("F", bound=Callable[..., Any])


class StartError(click.ClickException):
    """A service cannot start as it is configured: one line on stderr and exit code 2."""

    exit_code = 2


def address(value: str) -> str:
    """Click type of an address: ``HOST:PORT``, port 0 to 65535, an IPv6 host in brackets.

    Raises:
        click.BadParameter: ``value`` is something else.
    """
    try:
        split_address(value, lowest_port=0)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return value


def optional_address(value: str) -> str:
    """Click type of an address, or "" for none: what an empty variable says."""
    return address(value) if value else ""


def setting(option: str, env: str, **attributes: Any) -> Callable[[F], F]:
    """Return a click option that may come from ``env``; required unless it has a default."""
    attributes.setdefault("required", "default" not in attributes)
    return click.option(option, envvar=env, show_envvar=True, **attributes)


def metrics_setting(command: F) -> F:
    """Add the option of the address that serves metrics to Prometheus."""
    return setting(
        "--metrics",
        "PIXELPROBE_METRICS_LISTEN",
        type=optional_address,
        default="",
        help="HOST:PORT to serve Prometheus metrics on, over plain HTTP; without it there are none.",
    )(command)


def run(command: click.Command, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``command`` and exit: 0, or 2 after one clear line on stderr when it cannot start as asked."""
    try:
        command.main(args=arguments, standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        click.echo(f"{_name()}: {_one_line(error)}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(0)


def configure_logging() -> None:
    """Log to stderr, each line with its request id.

    PIXELPROBE_LOG_LEVEL names the lowest level (INFO), PIXELPROBE_LOG_FORMAT is text (the default) or json.

    Raises:
        StartError: no such level or format.
    """
    level = os.environ.get(LOG_LEVEL_ENV, "INFO")
    if level.upper() not in _LEVELS:
        raise StartError(f"{LOG_LEVEL_ENV}: '{level}' is none of {', '.join(_LEVELS)}")
    style = os.environ.get(LOG_FORMAT_ENV) or "text"
    if style not in logs.FORMATTERS:
        raise StartError(f"{LOG_FORMAT_ENV}: '{style}' is none of {', '.join(logs.FORMATTERS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logs.FORMATTERS[style]())
    handler.addFilter(logs.stamp)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if style == "json":
        logging.captureWarnings(True)


@contextlib.contextmanager
def traces(program: str) -> Iterator[None]:
    """Export traces while the block runs if an endpoint is set; see pixelprobe_services.common.tracing.

    Raises:
        StartError: the packages for them are not installed.
    """
    try:
        tracing.configure(program)
    except tracing.TracingError as error:
        raise StartError(error.message) from error
    try:
        yield
    finally:
        tracing.close()


def _one_line(error: click.ClickException) -> str:
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"missing setting: give {error.param.opts[0]} or set {error.param.envvar}"
    return " ".join(error.format_message().split())


def _name() -> str:
    package = getattr(sys.modules["__main__"], "__package__", None)
    return package or Path(sys.argv[0]).name
