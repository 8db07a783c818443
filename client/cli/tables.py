"""Results as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from client.model import Attack, Outcome, Target
from client.report.captions import OUTCOME_WORDS, describe_class, describe_goal, percent
from client.report.records import result_of

PLAIN_WIDTH = 150
"""Columns of a table that goes to a file or a pipe."""

_COLOURS = {
    Outcome.SUCCESS: "bold red",
    Outcome.FAILURE: "green",
    Outcome.NOT_APPLICABLE: "dim",
    Outcome.BUDGET_EXHAUSTED: "yellow",
    Outcome.CANCELLED: "yellow",
    Outcome.ERROR: "bold magenta",
}


def make_console(*, stderr: bool = False) -> Console:
    """A console that does not squeeze tables to 80 columns where nobody sees them."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def attack_table(attacks: Sequence[Attack], names: Sequence[str], targets: Mapping[str, Target]) -> Table:
    """One line an attack.

    Args:
        attacks: finished ones.
        names: the campaign's pictures by ``image_index``.
        targets: by name.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("picture", "target", "region"):
        table.add_column(heading, overflow="fold")
    table.add_column("pixels", justify="right")
    for heading in ("goal", "outcome", "clean", "best candidate"):
        table.add_column(heading)
    for heading in ("queries", "generations"):
        table.add_column(heading, justify="right")
    for attack in attacks:
        result, target = result_of(attack), targets[attack.target]
        outcome = OUTCOME_WORDS[result.outcome]
        table.add_row(
            escape(names[attack.image_index]),
            attack.target,
            attack.region.value,
            str(attack.pixels),
            escape(describe_goal(target, attack.target_class)),
            f"[{_COLOURS[result.outcome]}]{outcome}",
            escape(describe_class(target, result.clean_top[0])) if result.clean_top else "",
            escape(describe_class(target, result.best_top[0])) if result.best_top else "",
            f"{result.queries_sent:,}",
            str(result.generations),
        )
    return table


def reason_lines(attacks: Iterable[Attack]) -> list[str]:
    """Each reason that was given, with the number of attacks it concerns."""
    counted: dict[tuple[Outcome, str], int] = {}
    for attack in attacks:
        result = result_of(attack)
        if result.reason:
            key = (result.outcome, result.reason)
            counted[key] = counted.get(key, 0) + 1
    return [f"{number} {OUTCOME_WORDS[outcome]}: {reason}" for (outcome, reason), number in counted.items()]


def summary_table(attacks: Sequence[Attack], *, by_target: bool = False) -> Table:
    """Success by region and number of pixels, over the attacks that were tried."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    if by_target:
        table.add_column("target")
    table.add_column("region")
    for heading in ("pixels", "attacks", "successes", "rate", "mean queries to success", "left out"):
        table.add_column(heading, justify="right")
    groups: dict[tuple[str, ...], list[Attack]] = {}
    for attack in attacks:
        key: tuple[str, ...] = (attack.region.value, str(attack.pixels))
        groups.setdefault((attack.target, *key) if by_target else key, []).append(attack)
    for key, members in groups.items():
        results = [result_of(attack) for attack in members]
        tried = [result for result in results if result.outcome in _TRIED]
        wins = [result for result in tried if result.outcome is Outcome.SUCCESS]
        mean = sum(result.queries_to_success for result in wins) / len(wins) if wins else None
        table.add_row(
            *key,
            str(len(tried)),
            str(len(wins)),
            percent(len(wins) / len(tried)) if tried else "-",
            f"{mean:,.0f}" if mean is not None else "-",
            str(len(results) - len(tried)),
        )
    return table


_TRIED = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.BUDGET_EXHAUSTED)
