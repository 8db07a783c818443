"""The command ``pixelprobe`` with all that hangs below it."""

from __future__ import annotations

import importlib.metadata

import click

from pixelprobe.cli.attack import attack
from pixelprobe.cli.campaign import campaign
from pixelprobe.cli.demo import demo
from pixelprobe.cli.report import report
from pixelprobe.cli.segment import segment
from pixelprobe.cli.shell import Shell
from pixelprobe.cli.stack import down, status, up
from pixelprobe.cli.targets import targets
from pixelprobe.tracing import traced_command

SECTIONS = {
    "Local stack": ("up", "down", "status", "demo"),
    "Attacks": ("targets", "segment", "attack", "campaign", "report"),
}


def _version() -> str:
    try:
        return importlib.metadata.version("pixelprobe")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


@click.group(cls=Shell, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Measure how easily, and where, a served image classifier is fooled by a few changed pixels.

    Start with `pixelprobe demo`; or `pixelprobe up`, then `pixelprobe attack IMAGE --target NAME`.
    """
    ctx.with_resource(traced_command(ctx.invoked_subcommand or ""))


for command in (up, down, status, demo, targets, segment, attack, campaign, report):
    cli.add_command(command)
