"""What a table on the page is made of, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

MINUS = "−"
NOTHING = "–"
SHORT_ROWS = 12


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: what it says.
        sort: what the column is sorted by; "" for nothing, which goes last.
        details: smaller lines below.
        kind: "text", "number", "ours", "paper" or "others".
        inside: of a number of the paper's, whether it lies in our interval.
    """

    text: str
    sort: str = ""
    details: tuple[str, ...] = ()
    kind: str = "number"
    inside: bool | None = None


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        text: its heading.
        group: the heading that it shares with its neighbours.
        region: what its heading is about, if one.
        number: it holds numbers.
    """

    text: str
    group: str = ""
    region: str = ""
    number: bool = True


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is its heading. ``empty`` says why there are no rows."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = ""

    @property
    def groups(self) -> list[tuple[str, str, int]]:
        """(heading, region, columns) above the columns, in order; empty where no column has one."""
        groups = [(name, list(own)) for name, own in groupby(self.columns, key=lambda column: column.group)]
        if not any(name for name, _ in groups):
            return []
        return [
            (name, own[0].region if len({c.region for c in own}) == 1 else "", len(own))
            for name, own in groups
        ]

    @property
    def short(self) -> bool:
        """It is better not broken over two sheets of paper."""
        return len(self.rows) <= SHORT_ROWS


def text(words: str, *details: str, sort: str = "") -> Cell:
    """Words."""
    return Cell(words, sort or words, details, kind="text")


def count(number: int) -> Cell:
    """A whole number."""
    return Cell(f"{number:,}", str(number))


def ours(
    value: float | None, low: float | None, high: float | None, n: int | None = None, digits: int = 1
) -> Cell:
    """Our number over its interval and denominator."""
    details = () if n is None else (f"n {n:,}",)
    if value is None:
        return Cell(NOTHING, "", details, kind="ours")
    interval = () if low is None or high is None else (f"{fixed(low, digits)} to {fixed(high, digits)}",)
    return Cell(fixed(value, digits), exact(value), (*interval, *details), kind="ours")


def paper(value: float | None, inside: bool | None) -> Cell:
    """The paper's number, and whether it lies in our interval."""
    if value is None:
        return Cell(NOTHING, kind="paper")
    digits = max(1, len(f"{value:g}".partition(".")[2]))
    return Cell(fixed(value, digits), exact(value), kind="paper", inside=inside)


def others(numbers: Iterable[tuple[str, float]]) -> Cell:
    """The paper's numbers for (network, value); nothing to sort by, as there are several."""
    text = tuple(f"{network} {fixed(value, 2)}" for network, value in numbers)
    return Cell("", details=text, kind="others")


def share(value: float | None) -> Cell:
    """A share, 0 to 1, in percent."""
    return Cell(NOTHING) if value is None else Cell(fixed(100 * value, 1), exact(value))


def p_value(value: float | None) -> Cell:
    """A probability of chance."""
    if value is None:
        return Cell(NOTHING)
    return Cell("< 0.001" if value < 0.001 else f"{value:.3f}", exact(value))


def fixed(value: float, digits: int) -> str:
    """A number with so many decimals; -0.0 is 0.0."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", MINUS)


def exact(value: float) -> str:
    """As in the CSV files."""
    return f"{value:.10g}"
