"""``pixelprobe budgets``: what each query budget buys, from campaigns that ran once."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain

import click
from rich.table import Table

from pixelprobe.campaigns.runs import find_campaigns
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import json_option, orchestrator_option
from pixelprobe.cli.shell import SectionedCommand
from pixelprobe.inputs.planned import PlanError
from pixelprobe.load.budgets import BudgetRow, BudgetTable, budget_tables

DEFAULT = "10,30,100,300,1000,3000,10000"


@click.command(cls=SectionedCommand)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--budget", "budgets", default=DEFAULT, show_default=True, metavar="N[,N...]", help="Budgets.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="R",
    help="Queries a second that an attacker may send: adds times, and images fooled a day.",
)
@click.option(
    "--cost-per-1000",
    type=click.FloatRange(0),
    metavar="C",
    help="Price of a thousand queries, in any currency: adds the cost of an attack.",
)
@json_option()
@orchestrator_option()
def budgets(
    names: tuple[str, ...],
    budgets: str,
    rate: float | None,
    cost_per_1000: float | None,
    as_json: bool,
    orchestrator: str | None,
) -> None:
    """Show what each query budget buys an attacker.

    NAME is a run or a campaign, as `pixelprobe campaign list` shows them. An attack with a smaller budget
    sends the same queries and stops sooner, so that one campaign with the largest budget answers for all.
    """
    wanted = _numbers(budgets)
    with open_client(orchestrator=orchestrator) as client:
        campaigns = {one.name: one for name in names for one in find_campaigns(client, name)}
        attacks = chain.from_iterable(client.list_results(name) for name in campaigns)
        tables = budget_tables(attacks, wanted, rate, cost_per_1000)
    if not tables:
        raise PlanError("no attack has finished yet")
    if as_json:
        click.echo(json.dumps([asdict(table) for table in tables], indent=2))
        return
    console = make_console()
    for table in tables:
        console.print(budget_table(table))
        for line in _lines(table):
            console.print(f"  {safe(line)}", style="dim")
        console.print()


def budget_table(table: BudgetTable) -> Table:
    """One condition as a table."""
    pixels = "1 pixel" if table.pixels == 1 else f"{table.pixels} pixels"
    shown = Table(title=safe(f"{table.target}, {table.region}, {pixels}"), box=None, title_justify="left")
    columns = ["budget", "fooled", "share", "95% interval", "queries an attack"]
    extra = [
        (title, name)
        for title, name in (("time", "seconds"), ("fooled a day", "fooled_a_day"), ("cost", "cost"))
        if any(getattr(row, name) is not None for row in table.rows)
    ]
    for column in (*columns, *(title for title, _ in extra)):
        shown.add_column(column, justify="right")
    for row in table.rows:
        shown.add_row(*_cells(row), *(_extra(row, name) for _, name in extra))
    return shown


def _cells(row: BudgetRow) -> list[str]:
    if row.share is None or row.low is None or row.high is None or row.queries is None:
        return [f"{row.budget:,}", "not measured", "", "", ""]
    return [
        f"{row.budget:,}",
        f"{row.successes} of {row.n}",
        f"{row.share:.0%}",
        f"{row.low:.0%} to {row.high:.0%}",
        f"{row.queries:,.0f}",
    ]


def _extra(row: BudgetRow, name: str) -> str:
    value = getattr(row, name)
    if value is None:
        return ""
    if name == "seconds":
        return (
            f"{value:.1f} s"
            if value < 120
            else f"{value / 60:.1f} min"
            if value < 7200
            else f"{value / 3600:.1f} h"
        )
    return f"{value:,.0f}" if name == "fooled_a_day" else f"{value:.4g}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _lines(table: BudgetTable) -> list[str]:
    lines = []
    if table.median_success is not None and table.stopping_limit is not None:
        lines.append(f"Half of the successes came within {table.median_success:,.0f} queries.")
        limit = table.stopping_limit
        lines.append(
            f"A limit of {limit:,} queries an image would have stopped 90% of the successes."
            if limit
            else "No limit would have stopped 90% of the successes: too many came with the first query."
        )
    if table.left_out:
        lines.append(f"{table.left_out} attacks did not run (not applicable, cancelled, error): not counted.")
    return lines


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise PlanError(f"--budget: expected numbers such as 10,100,1000, got {text!r}") from None
    if min(numbers) < 1:
        raise PlanError(f"--budget: {min(numbers)} is not positive")
    return numbers
