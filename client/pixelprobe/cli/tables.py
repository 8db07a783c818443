"""Build the tables of attacks' results."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from pixelprobe.cli.console import safe
from pixelprobe.model import Attack, Outcome, Result, Target
from pixelprobe.results.captions import OUTCOME_WORDS, count, describe_class, describe_goal, percent
from pixelprobe.results.records import result_of

REASON_LINES = 8
"""Most reasons that are shown."""

_NUMBER = re.compile(r"\d[\d,]*")

_SHORT = ("region", "pixels")
"""Columns whose texts need not be broken."""

# Red against cyan, never against green: which colour-blind people can distinguish.
_COLOURS = {
    Outcome.SUCCESS: "bold red",
    Outcome.FAILURE: "cyan",
    Outcome.NOT_APPLICABLE: "dim",
    Outcome.BUDGET_EXHAUSTED: "yellow",
    Outcome.CANCELLED: "yellow",
    Outcome.ERROR: "bold magenta",
}


def attack_table(
    attacks: Sequence[Attack], names: Sequence[str], targets: Mapping[str, Target]
) -> RenderableType:
    """Build a table with a line for each attack; what several attacks have in common stands above it.

    Args:
        attacks: finished ones, at least one.
        names: the campaign's images by ``image_index``.
        targets: by name.
    """
    identity = {
        "image": [names[attack.image_index] for attack in attacks],
        "target": [attack.target for attack in attacks],
        "region": [attack.region.value for attack in attacks],
        "pixels": [count(attack.pixels, "pixel") for attack in attacks],
        "goal": [describe_goal(targets[attack.target], attack.target_class) for attack in attacks],
    }
    common = [values[0] for values in identity.values() if len(set(values)) == 1]
    columns = {name: values for name, values in identity.items() if len(set(values)) > 1}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in columns:
        table.add_column(heading, overflow="fold", no_wrap=heading in _SHORT)
    table.add_column("outcome", no_wrap=True)
    # A class may be called "American Staffordshire terrier": where there is no room, names go on two lines.
    for heading in ("clean", "best"):
        table.add_column(heading, overflow="fold")
    for heading in ("queries", "generations"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, attack in enumerate(attacks):
        result, target = result_of(attack), targets[attack.target]
        table.add_row(
            *(safe(values[number]) for values in columns.values()),
            f"[{_COLOURS[result.outcome]}]{OUTCOME_WORDS[result.outcome]}",
            safe(describe_class(target, result.clean_top[0])) if result.clean_top else "",
            safe(describe_class(target, result.best_top[0])) if result.best_top else "",
            f"{result.queries_sent:,}",
            str(result.generations),
        )
    # Not the table's own title, which would be wrapped to the table's width.
    return Group(f"[italic]{safe(' · '.join(common))}", table) if common else table


def reason_lines(attacks: Iterable[Attack]) -> list[str]:
    """List the most frequent reasons for an attack not to have run to its end, with their numbers.

    A budget that is spent is named where some of its queries were not answered. Reasons that differ only in
    numbers of such queries have a line in common, and so have images that are left out for reasons that
    differ only in what stands after the colon, such as which of 1000 classes was taken for which.
    """
    details: dict[tuple[Outcome, str], Counter[str]] = {}
    for result in map(result_of, attacks):
        if result.reason and (result.outcome is not Outcome.BUDGET_EXHAUSTED or result.queries_timed_out):
            kind = result.reason
            if result.outcome is Outcome.NOT_APPLICABLE:
                kind = kind.partition(": ")[0]
            elif result.queries_timed_out:
                kind = _NUMBER.sub("N", kind)
            details.setdefault((result.outcome, kind), Counter())[result.reason] += 1
    counted = Counter({key: found.total() for key, found in details.items()})
    lines = []
    for key, number in counted.most_common(REASON_LINES):
        reasons = details[key].most_common()
        more = f", and {len(reasons) - 1} more like it" if len(reasons) > 1 else ""
        lines.append(f"{number} {OUTCOME_WORDS[key[0]]}: {reasons[0][0]}{more}")
    others = sum(counted.values()) - sum(number for _, number in counted.most_common(REASON_LINES))
    return [*lines, f"{others} for other reasons, see results.json"] if others else lines


def summary_table(
    attacks: Sequence[Attack], *, by_target: bool = False, expected: int | None = None
) -> Table:
    """Build a table of successes by region and number of pixels, over the attacks that were tried.

    Rates and numbers of queries are left open until a condition is complete: easy images finish first, so
    that both would be wrong in one direction.

    Args:
        attacks: finished ones.
        by_target: a line for each target.
        expected: attacks of each line's condition, finished or not; None where ``attacks`` are all of them.
    """
    table = Table(box=None, header_style="bold", pad_edge=False)
    if by_target:
        table.add_column("target")
    table.add_column("region")
    for heading in ("pixels", "attacks", "successes", "rate", *_QUERY_HEADINGS, "left out"):
        table.add_column(heading, justify="right")
    groups: dict[tuple[str, ...], list[Result]] = {}
    for attack in attacks:
        key: tuple[str, ...] = (attack.region.value, str(attack.pixels))
        groups.setdefault((attack.target, *key) if by_target else key, []).append(result_of(attack))
    for key, results in groups.items():
        finished = [result for result in results if result.outcome is not Outcome.CANCELLED]
        tried = [result for result in finished if result.outcome in _TRIED]
        wins = [result for result in tried if result.outcome is Outcome.SUCCESS]
        missing = (len(results) if expected is None else expected) - len(finished)
        numbers = (f"open, {missing} to go", "-", "-")
        if missing <= 0:
            rate = percent(len(wins) / len(tried)) if tried else "-"
            numbers = (rate, *_queries([result.queries_to_success for result in wins]))
        left_out = len(finished) - len(tried)
        table.add_row(*map(safe, key), str(len(tried)), str(len(wins)), *numbers, str(left_out))
    return table


def _queries(to_success: Sequence[int]) -> tuple[str, str]:
    """The median, and its interval of at least 95% confidence; "-" where unknown."""
    if not to_success:
        return "-", "-"
    interval = median_interval(to_success)
    spread = f"{interval[0]:,} to {interval[1]:,}" if interval else "-"
    return f"{statistics.median(to_success):,.0f}", spread


def median_interval(values: Sequence[int], confidence: float = 0.95) -> tuple[int, int] | None:
    """Return the interval between two order statistics that holds the median with at least ``confidence``.

    Free of assumptions about the distribution: the number of values below the median is binomial with 1/2.
    None where even the whole range does not reach the confidence, with fewer than six values at 95%.
    """
    ordered, n = sorted(values), len(values)
    outside, rank, below = (1 - confidence) / 2, 0, 0.0
    # The largest rank (from 1) with P(Binomial(n, 1/2) < rank) <= outside.
    while rank < n and below + math.comb(n, rank) / 2**n <= outside:
        below += math.comb(n, rank) / 2**n
        rank += 1
    return (ordered[rank - 1], ordered[n - rank]) if rank else None


_QUERY_HEADINGS = ("median queries to success", "95% interval")
_TRIED = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.BUDGET_EXHAUSTED)
