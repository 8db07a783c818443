"""Behaviour of every command: help in sections, any failure as one line on stderr, the right exit code.

Exit codes: 0 done, 1 it failed, 2 the command line, a file or a name in them is wrong, 130 interrupted.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from pixelprobe.addresses import AddressError, NoStackError
from pixelprobe.inputs.images import ImageError
from pixelprobe.inputs.planned import PlanError, TargetNotAvailableError
from pixelprobe.model import InvalidSpecError
from pixelprobe.rpc import UnreachableError
from pixelprobe_services.common.errors import (
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ServiceError,
    UnauthenticatedError,
)
from pixelprobe_services.common.peers import PeerError
from pixelprobe_services.common.text import terminal_text

DEBUG_VARIABLE = "PIXELPROBE_DEBUG"
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
"""An option of click, as a decorator."""


class SectionedOption(click.Option):
    """An option that is listed under its section's heading in the help."""

    def __init__(self, *args: Any, section: str = "Options", **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.section = section


def sectioned(section: str) -> Callable[..., Decorator]:
    """``click.option`` for options of one section."""
    return functools.partial(click.option, cls=SectionedOption, section=section)


class SectionedCommand(click.Command):
    """A command whose help groups its options by section, in order of appearance."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        sections: dict[str, list[tuple[str, str]]] = {}
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        # Click's own --help comes with no section; it goes last.
        for option in sorted(options, key=lambda option: not isinstance(option, SectionedOption)):
            record = option.get_help_record(ctx)
            if record is not None:
                section = option.section if isinstance(option, SectionedOption) else "Other"
                sections.setdefault(section, []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


class Shell(click.Group):
    """A group of commands, listed in sections, whose failures are one line."""

    def __init__(
        self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.sections = dict(sections or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the sections."""
        ordered = [name for names in self.sections.values() for name in names if name in self.commands]
        return ordered + [name for name in super().list_commands(ctx) if name not in ordered]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands."""
        listed = self.sections or {"Commands": self.list_commands(ctx)}
        width = max(len(name) for name in self.commands)
        for section, names in listed.items():
            rows = [
                (name.ljust(width), self.commands[name].get_short_help_str(limit=90))
                for name in names
                if name in self.commands
            ]
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; in standalone mode exit with a code, never with a traceback."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, **extra)
        with one_line_errors():
            code = super().main(args, prog_name, complete_var, False, **extra)
        sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print any exception inside as one line on stderr, and exit."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        sys.exit(0)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            traceback.print_exc()
        message, code = explain(error)
        click.echo(f"Error: {terminal_text(' '.join(message.split()))}", err=True)
        sys.exit(code)


def explain(error: Exception) -> tuple[str, int]:
    """Return the message of a failure and its exit code."""
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    if isinstance(error, NoStackError):
        return str(error), EXIT_FAILED
    if isinstance(
        error, ImageError | PlanError | AddressError | PeerError | InvalidArgumentError | InvalidSpecError
    ):
        return str(error), EXIT_BAD_INPUT
    if isinstance(error, NotFoundError):  # a name on the command line
        return str(error), EXIT_BAD_INPUT
    if isinstance(error, UnreachableError):
        return f"{error.message}; start the local stack with `pixelprobe up`", EXIT_FAILED
    if isinstance(error, UnauthenticatedError):
        return f"{error.message}; give --token-file, or set PIXELPROBE_TOKEN_FILE", EXIT_FAILED
    if isinstance(error, PermissionDeniedError):
        return f"{error.message}; the service's operator grants that in its tokens file", EXIT_FAILED
    if isinstance(error, ServiceError | TargetNotAvailableError):
        return str(error), EXIT_FAILED
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", EXIT_FAILED
    hint = f"set {DEBUG_VARIABLE}=1 and run it again to see where"
    return f"unexpected {type(error).__name__}: {error} ({hint})", EXIT_FAILED


def interrupt_on_terminate() -> None:
    """Make SIGTERM behave like Ctrl-C, so that nothing is left running behind a killed command."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
