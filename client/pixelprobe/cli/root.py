"""The command ``pixelprobe`` and its subcommands."""

from __future__ import annotations

import click

from pixelprobe.cli.attack import attack
from pixelprobe.cli.budgets import budgets
from pixelprobe.cli.campaign import campaign
from pixelprobe.cli.demo import demo
from pixelprobe.cli.loadtest import loadtest
from pixelprobe.cli.report import report
from pixelprobe.cli.segment import segment
from pixelprobe.cli.shell import Shell
from pixelprobe.cli.stack import down, status, up
from pixelprobe.cli.targets import targets
from pixelprobe.tracing import traced_command
from pixelprobe_services.common.version import own_version

SECTIONS = {
    "Local stack": ("up", "down", "status", "demo"),
    "Attacks": ("targets", "segment", "attack", "campaign", "report"),
    "Load and budgets": ("loadtest", "budgets"),
}


EXIT_CODES = """\b
Exit codes:
  0    done; an attack that found nothing is done, too
  1    it failed: a service, a target, an attack that ended in an error
  2    the command line, a file, or a name in them is wrong
  3    `status` alone: not every part of the local stack is healthy
  130  interrupted

\b
Completion of commands, options and targets, for bash (zsh and fish likewise):
  eval "$(_PIXELPROBE_COMPLETE=bash_source pixelprobe)"
"""


@click.group(
    cls=Shell,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
@click.version_option(own_version() or "(not installed)", "-V", "--version", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Measure how easily, and where, a served image classifier is fooled by a few changed pixels.

    Start with `pixelprobe demo`; or `pixelprobe up`, then `pixelprobe attack IMAGE --target NAME`.
    """
    ctx.with_resource(traced_command(ctx.invoked_subcommand or ""))


for command in (up, down, status, demo, targets, segment, attack, campaign, report, loadtest, budgets):
    cli.add_command(command)
