"""Compare regions by a scan of every pixel: ``python -m tests.studies.weak_pixels maps.npz``.

A region falls if any of its pixels fools the model in any of the eight extreme colours. Beside foreground
and background: the control of its size that campaigns use, and a disc of its size in the middle of the
image, where most objects are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from pixelprobe.report.statistics import paired_test, rate
from pixelprobe_services.common.values import Region
from pixelprobe_services.orchestrator.core.region import RegionMap
from tests.studies.every_pixel import COLOURS
from tests.studies.maps import Maps

Mask = NDArray[np.bool_]
REGIONS = ("whole", "foreground", "background", "control", "disc")
BUDGETS = (400, 2800, 40400)


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and a target. ``fooling``: (height, width), so many of the eight colours fool it there."""

    target: str
    clean: float
    fooling: NDArray[np.uint8]
    regions: dict[str, Mask]

    def falls(self, region: str) -> bool:
        """Whether any pixel of the region does it."""
        return bool(self.fooling[self.regions[region]].any())

    def density(self, region: str) -> float:
        """The share of its pixels, in these colours, that do."""
        return float(self.fooling[self.regions[region]].mean()) / len(COLOURS)

    def area(self, region: str) -> float:
        """The region's share of the image."""
        return float(self.regions[region].mean())


def disc(mask: Mask) -> Mask:
    """As many pixels as the mask has, the nearest ones to the middle."""
    rows, columns = np.indices(mask.shape)
    height, width = mask.shape
    distance = (rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2
    chosen = np.zeros(mask.size, np.bool_)
    chosen[np.argsort(distance.ravel(), kind="stable")[: int(mask.sum())]] = True
    return chosen.reshape(mask.shape)


def pairs_of(maps: Maps) -> list[Pair]:
    """Those that were scanned."""
    found = []
    for index, fooling in enumerate(maps.fooling):
        if fooling is None:
            continue
        mask = maps.masks[index]
        control = RegionMap.from_mask(Region.CONTROL, mask, mask.shape[0], mask.shape[1], control_seed=index)
        regions = {
            "whole": np.ones_like(mask),
            "foreground": mask,
            "background": ~mask,
            "control": control.allowed,
            "disc": disc(mask),
        }
        found.append(Pair(maps.targets[index], maps.clean[index], fooling, regions))
    return found


def describe(title: str, pairs: Sequence[Pair]) -> str:
    """A few lines: rates, drops, tests, density."""
    lines = [f"{title}: {len(pairs)} pairs"]
    whole = sum(pair.falls("whole") for pair in pairs)
    fallen = [pair for pair in pairs if pair.falls("whole")]
    base = float(np.mean([pair.density("whole") for pair in fallen])) if fallen else 0.0
    for region in REGIONS:
        falls = sum(pair.falls(region) for pair in pairs)
        found = rate(falls, len(pairs))
        area = np.mean([pair.area(region) for pair in pairs])
        density = float(np.mean([pair.density(region) for pair in fallen])) if fallen else 0.0
        lines.append(
            f"  {region:10} {falls:4} = {100 * falls / len(pairs):5.1f}%"
            f" ({100 * (found.low or 0):.0f} to {100 * (found.high or 0):.0f})"
            f"  drop {100 * (1 - falls / whole) if whole else 0:5.1f}%  area {100 * area:4.1f}%"
            f"  weak of fallen images {100 * density:.2f}% = {density / base if base else 0:.2f} of whole"
            + "".join(f"  {budget}: {100 * _found(pairs, region, budget):.1f}" for budget in BUDGETS)
        )
    for other in ("background", "control"):
        test = paired_test((pair.falls("foreground"), pair.falls(other)) for pair in pairs)
        lines.append(f"  McNemar, foreground against {other}: {test}")
    return "\n".join(lines)


def _found(pairs: Sequence[Pair], region: str, candidates: int) -> float:
    """Expected success of so many random candidates over the whole image, those outside undone."""
    hits = np.array([pair.density(region) * pair.area(region) for pair in pairs])
    return float(np.mean(1 - (1 - hits) ** candidates))


@click.command(help=__doc__)
@click.argument("maps", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(maps: Path) -> None:
    """Print what there is: all, by target, and by how sure the target was."""
    pairs = pairs_of(Maps(maps))
    groups = {"all": pairs}
    for name in sorted({pair.target for pair in pairs}):
        groups[name] = [pair for pair in pairs if pair.target == name]
    groups["clean probability under 0.9"] = [pair for pair in pairs if pair.clean < 0.9]
    groups["0.9 and over"] = [pair for pair in pairs if pair.clean >= 0.9]
    for title, chosen in groups.items():
        if chosen:
            click.echo(describe(title, chosen))


if __name__ == "__main__":
    main()
