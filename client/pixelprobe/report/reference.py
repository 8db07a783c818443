"""The paper's numbers, to stand beside ours.

``reference.csv`` holds tables I to IV of the paper as data, one number a line, in the paper's own units (a
metric's name says so) and with its rounding. Nothing in it was measured by this project.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

SOURCE = (
    "Lina Wang, Xingshu Chen, Yulong Wang, Yawei Yue, Yi Zhu, Xuemei Zeng, Wei Wang: Analyzing Adversarial "
    "Robustness of Deep Neural Networks in Pixel Space: a Semantic Perspective; tables I, II, III and IV"
)


@dataclass(frozen=True)
class Number:
    """Where a number stands in the paper. Table I has no region and no pixels."""

    table: str
    model: str
    metric: str
    region: str = ""
    pixels: int | None = None


class Reference:
    """The paper's numbers by where they stand."""

    def __init__(self, values: Mapping[Number, float]) -> None:
        self._values = dict(values)

    def __len__(self) -> int:
        return len(self._values)

    def value(
        self, table: str, model: str, metric: str, region: str = "", pixels: int | None = None
    ) -> float | None:
        """The number in the paper's unit; None where the paper has none."""
        return self._values.get(Number(table, model, metric, region, pixels))

    def relative_drop(
        self,
        table: str,
        models: Sequence[str],
        metric: str,
        region: str,
        pixels: int,
        images: int | None = None,
    ) -> float | None:
        """How much lower a rate is in ``region`` than in the whole image, in percent, averaged over models.

        Each model's drop is taken first, then their plain mean: of table II's one-pixel column this gives the
        paper's 6.84 and 54.32 percent (untargeted) and 2.86 and 51.56 percent (targeted). Of table III's it
        gives 5.86 and 58.04 if its rates are taken for what they are, whole numbers of 420 images, rounded.

        Args:
            table: of the rates.
            models: whose.
            metric: the rates' name.
            region: compared with the whole image.
            pixels: how many were changed.
            images: the rates are shares of so many, rounded; by default they are taken as they are.

        Returns:
            None where the paper lacks one of the rates.
        """
        drops = []
        for model in models:
            whole = self.value(table, model, metric, "whole", pixels)
            there = self.value(table, model, metric, region, pixels)
            if not whole or there is None:
                return None
            if images is not None:
                whole, there = round(whole * images / 100), round(there * images / 100)
            drops.append(100 * (1 - there / whole))
        return math.fsum(drops) / len(drops) if drops else None


@functools.cache
def load_reference() -> Reference:
    """The numbers shipped with this package."""
    text = resources.files(__package__).joinpath("reference.csv").read_text(encoding="utf-8")
    return parse_reference(text.splitlines())


def parse_reference(lines: Iterable[str]) -> Reference:
    """The numbers of a CSV with the columns table, model, metric, region, pixels and value."""
    return Reference(
        {
            Number(
                line["table"],
                line["model"],
                line["metric"],
                line["region"],
                int(line["pixels"]) if line["pixels"] else None,
            ): float(line["value"])
            for line in csv.DictReader(lines)
        }
    )
