"""All attacks of an evaluation, sorted by condition: what every metric and table starts from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pixelprobe.report.rows import REGIONS, AttackRow


class Condition(NamedTuple):
    """What a column of the paper's tables is: a model, a region, and how many pixels may change."""

    model: str
    region: str
    pixels: int


class Evaluation:
    """Finished attacks of one campaign or several, each kept once.

    Where the same attack (image, model, region, pixels and goal) is there again, the first one that ran to
    an end is kept.

    Attributes:
        conditions: those that have attacks, left out or not, by model, pixels and region.
        rows: all attacks, in an order that depends on nothing but themselves.
        repeated: attacks dropped because they were there already.
    """

    def __init__(self, rows: Iterable[AttackRow]) -> None:
        kept: dict[tuple[Condition, int | None, str], AttackRow] = {}
        self.repeated = 0
        for row in rows:
            key = (_condition(row), row.target_class, row.image_digest)
            earlier = kept.get(key)
            self.repeated += earlier is not None
            if earlier is None or (row.attacked and not earlier.attacked):
                kept[key] = row
        self.rows: Sequence[AttackRow] = tuple(sorted(kept.values(), key=_order))
        self.conditions: Sequence[Condition] = tuple(dict.fromkeys(_condition(row) for row in self.rows))
        self._untargeted = _by_condition(
            row for row in self.rows if row.attacked and row.target_class is None
        )
        self._targeted = _by_condition(
            row for row in self.rows if row.attacked and row.target_class is not None
        )

    @property
    def models(self) -> Sequence[str]:
        """The names of all models, sorted."""
        return tuple(dict.fromkeys(condition.model for condition in self.conditions))

    @property
    def regions(self) -> Sequence[str]:
        """All regions, in the order of REGIONS."""
        return tuple(sorted({condition.region for condition in self.conditions}, key=REGIONS.index))

    @property
    def pixel_counts(self) -> Sequence[int]:
        """All numbers of pixels, ascending."""
        return tuple(sorted({condition.pixels for condition in self.conditions}))

    def untargeted(self, model: str, region: str, pixels: int) -> Sequence[AttackRow]:
        """The untargeted attacks that ran to an end: one an image."""
        return self._untargeted.get(Condition(model, region, pixels), ())

    def targeted(self, model: str, region: str, pixels: int) -> Sequence[AttackRow]:
        """The targeted attacks that ran to an end: up to one an image and other class."""
        return self._targeted.get(Condition(model, region, pixels), ())


def _condition(row: AttackRow) -> Condition:
    return Condition(row.target, row.region, row.pixels)


def _order(row: AttackRow) -> tuple[str, int, int, str, int]:
    goal = -1 if row.target_class is None else row.target_class
    return row.target, row.pixels, REGIONS.index(row.region), row.image_digest, goal


def _by_condition(rows: Iterable[AttackRow]) -> Mapping[Condition, Sequence[AttackRow]]:
    groups: dict[Condition, list[AttackRow]] = {}
    for row in rows:
        groups.setdefault(_condition(row), []).append(row)
    return groups
