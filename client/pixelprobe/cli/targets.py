"""``pixelprobe targets``: what may be attacked."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
import numpy as np
from PIL import Image
from rich.table import Table

from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import complete_target, json_option, orchestrator_option
from pixelprobe.cli.shell import SectionedCommand
from pixelprobe.model import TargetCheck
from pixelprobe.samples import load_photographs
from pixelprobe_services.common.text import terminal_text


@click.group()
def targets() -> None:
    """List the classifiers that may be attacked."""


@targets.command("list", cls=SectionedCommand)
@json_option()
@orchestrator_option()
def list_command(as_json: bool, orchestrator: str | None) -> None:
    """List the targets that the orchestrator's operator has named."""
    with open_client(orchestrator=orchestrator) as client:
        known = client.list_targets()
    if as_json:
        click.echo(json.dumps([asdict(target) for target in known], indent=2))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("target", "state", "image", "classes", "sparse queries"):
        table.add_column(heading)
    for target in known:
        if target.available:
            size = f"{target.width} x {target.height}"
            sparse = "yes" if target.sparse_queries else "no"
            table.add_row(safe(target.name), "[cyan]ready", size, str(target.classes), sparse)
        else:
            table.add_row(safe(target.name), "[red]not available")
    console = make_console()
    console.print(table if known else "no targets")
    for target in known:
        if not target.available:
            console.print(f"\n{safe(target.name)}: {safe(target.unavailable_reason)}", style="dim")


@targets.command("check", cls=SectionedCommand)
@click.argument("name", shell_complete=complete_target)
@json_option()
@orchestrator_option()
@click.pass_context
def check_command(context: click.Context, name: str, as_json: bool, orchestrator: str | None) -> None:
    """Send one image to the target NAME a few times, and say whether it can be attacked.

    Shows what the server says of the model, the image's best classes, and a line each on layout, scores,
    determinism, latency and batches; where the configuration does not fit, a table for the targets file that
    does. Exits with 1 if something is wrong with the target.
    """
    with Image.open(load_photographs()[0]) as photograph:
        sample = np.asarray(photograph.convert("RGB"))
    with open_client(orchestrator=orchestrator) as client:
        check = client.check_target(name, sample)
    if as_json:
        click.echo(json.dumps({**asdict(check), "good": check.good}, indent=2))
    else:
        _print_check(check)
    context.exit(0 if check.good else 1)


def _print_check(check: TargetCheck) -> None:
    console = make_console()
    for line in check.metadata:
        console.print(safe(line), style="dim", highlight=False)
    marks = {True: "[cyan]good[/]", False: "[red]bad [/]", None: "[dim]  - [/]"}
    for finding in check.findings:
        console.print(f"{marks[finding.good]}  {safe(finding.name)}: {safe(finding.text)}", highlight=False)
    for score in check.top:
        label = check.target.label(score.class_index) or f"class {score.class_index}"
        console.print(f"      {safe(label)}: {score.probability:.3f}", highlight=False)
    console.print(f"{check.queries_sent} images were sent to the target", style="dim", highlight=False)
    if check.proposed_table:
        console.print("\nThis table in the targets file would fit:\n")
        click.echo(terminal_text(check.proposed_table, keep_lines=True))
