"""How many queries one-pixel searches need, from recorded scores of all corner colours, without a model.

    python -m tests.studies.search_queries scores.npz images.npz --region whole --region foreground

SCORES holds for each image I: ``I_p``, (8, 1024) the clean class's probability for each corner colour of
each pixel; ``I_f``, the same shape, whether the class changes; ``I_c``, the clean image's probability. IMAGES
holds ``images``, (n, 32, 32, 3) uint8, and ``masks``, (n, 32, 32) bool, indexed by I. Only images that some
corner colour of the region fools are counted, so every search ends with a success; its queries are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import Region, SearchSettings, Strategy
from pixelprobe_services.orchestrator.core.region import RegionMap
from pixelprobe_services.orchestrator.core.search import Scene, create_search
from pixelprobe_services.orchestrator.core.search.order import corner_prior

REGIONS = (Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND)
BUDGETS = (10, 30, 100, 300, 1000)


@dataclass(frozen=True, eq=False)
class Recorded:
    """One image in one region. ``probability`` and ``fooled``: (8 * height * width,) by candidate number."""

    scene: Scene
    probability: NDArray[np.float64]
    fooled: NDArray[np.bool_]


def recorded(scores: Path, images: Path, region: Region) -> list[Recorded]:
    """The images of a file of scores that a corner colour in ``region`` fools."""
    found = []
    with np.load(scores) as answers, np.load(images) as known:
        clean, masks = known["images"], known["masks"]
        for name in answers.files:
            index = name.removesuffix("_f")
            if index == name:
                continue
            image, mask = clean[int(index)], masks[int(index)]
            height, width, _ = image.shape
            allowed = RegionMap.from_mask(region, mask, height, width)
            if allowed.is_empty:
                continue
            scene = Scene(image, allowed, float(answers[f"{index}_c"]))
            fooled = answers[f"{index}_f"].reshape(-1)
            if fooled[scene.corner_candidates].any():
                probability = answers[f"{index}_p"].reshape(-1).astype(np.float64)
                found.append(Recorded(scene, probability, fooled))
    return found


def queries_to_success(image: Recorded, strategy: Strategy) -> int:
    """Candidates sent until one fools the network."""
    search = create_search(SearchSettings(strategy=strategy), 1, seed=0)
    search.bind(image.scene)
    sent = 0
    while not search.finished:
        numbers = image.scene.corner_numbers(search.ask()[:, 0])
        hits = np.flatnonzero(image.fooled[numbers])
        if len(hits):
            return sent + int(hits[0]) + 1
        sent += len(numbers)
        search.tell(image.probability[numbers])
    raise ValueError("no corner colour fools this image")


def random_order(image: Recorded) -> int:
    """The expected queries of a scan in random order, rounded: (n + 1) / (h + 1) for h hits of n."""
    candidates = image.scene.corner_candidates
    return round((len(candidates) + 1) / (int(image.fooled[candidates].sum()) + 1))


def prior_order(image: Recorded) -> int:
    """The corner scan's start order kept to the end: prior times squared contrast, no scores, no novelty."""
    candidates = image.scene.corner_candidates
    value = (corner_prior(*image.scene.size) * image.scene.contrast**2).reshape(-1)[candidates]
    order = candidates[np.argsort(-value, kind="stable")]
    return int(np.flatnonzero(image.fooled[order])[0]) + 1


ORDERS: dict[str, Callable[[Recorded], int]] = {
    "random order": random_order,
    "prior x contrast": prior_order,
    "sketch": lambda image: queries_to_success(image, Strategy.SKETCH),
    "corner-scan": lambda image: queries_to_success(image, Strategy.CORNER_SCAN),
}


def row(name: str, queries: Sequence[int]) -> str:
    """Quantiles, the mean with a bootstrap interval, and the share found by each budget."""
    counts = np.array(queries, dtype=np.float64)
    rng = np.random.default_rng(0)
    means = counts[rng.integers(len(counts), size=(2000, len(counts)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    shares = "  ".join(f"{(counts <= budget).mean():5.2f}" for budget in BUDGETS)
    return (
        f"  {name:18} Q50 {np.percentile(counts, 50):6.0f}  Q90 {np.percentile(counts, 90):6.0f}"
        f"  mean {counts.mean():6.1f} ({low:.0f} to {high:.0f})  by budget {shares}"
    )


@click.command(help=__doc__)
@click.argument("scores", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("images", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--region",
    "regions",
    multiple=True,
    type=click.Choice([region.value for region in REGIONS]),
    default=[region.value for region in REGIONS],
)
def main(scores: Path, images: Path, regions: Sequence[str]) -> None:
    """Print a table for each region."""
    for region in map(Region, regions):
        found = recorded(scores, images, region)
        click.echo(f"{scores.name}, {region.value}: {len(found)} images that a corner colour fools")
        click.echo(f"  {'share found by':>79} {'  '.join(f'{budget:5}' for budget in BUDGETS)}")
        for name, order in ORDERS.items():
            click.echo(row(name, [order(image) for image in found]))


if __name__ == "__main__":
    main()
