"""``pixelprobe campaign delete``: ended campaigns, by name or by age."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

from pixelprobe.campaigns.deletion import campaigns_to_delete
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import OUTPUT, orchestrator_option
from pixelprobe.cli.shell import SectionedCommand, sectioned

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


class Age(click.ParamType[timedelta]):
    """A duration as 30d (days), 12h (hours) or 2w (weeks)."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the duration; a click error for any other text."""
        match = re.fullmatch(r"([0-9]{1,5})([hdw])", str(value))
        if match is None:
            self.fail(f"{value!r} is not an age: give a number and h, d or w, as 30d", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


@click.command("delete", cls=SectionedCommand)
@click.argument("names", metavar="NAME...", nargs=-1)
@sectioned(OUTPUT)(
    "--older-than",
    type=Age(),
    metavar="AGE",
    help="Only campaigns that ended longer ago, as 30d or 12h; without NAME, all of your own.",
)
@orchestrator_option()
def delete_command(names: tuple[str, ...], older_than: timedelta | None, orchestrator: str | None) -> None:
    """Delete ended campaigns with their results, for good. A campaign's owner, or an admin, may do so."""
    if not names and older_than is None:
        raise click.UsageError("give the NAME of a campaign or run, or --older-than")
    messages = make_console(stderr=True)
    with open_client(orchestrator=orchestrator) as client:
        for chosen in campaigns_to_delete(client, names, older_than):
            client.delete_campaign(chosen.name)
            label = f"{chosen.display_name} ({chosen.name})".strip()
            messages.print(f"deleted {safe(label)}")
