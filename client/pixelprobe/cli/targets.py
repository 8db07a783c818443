"""``pixelprobe targets``: what may be attacked."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.table import Table

from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import json_option, orchestrator_option
from pixelprobe.cli.shell import SectionedCommand


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
            table.add_row(safe(target.name), "[green]available", size, str(target.classes), sparse)
        else:
            table.add_row(safe(target.name), "[red]not available")
    console = make_console()
    console.print(table if known else "no targets")
    for target in known:
        if not target.available:
            console.print(f"\n{safe(target.name)}: {safe(target.unavailable_reason)}", style="dim")
