"""Which pixels of an image fool a model at all: every pixel in the eight extreme colours, no search.

A campaign's success depends on its search, which spends different numbers of candidates on foreground and
whole image. Here every region has the same chance, because all of it is tried: 8 x 1024 queries for an image
of 32x32. Needs a local stack (``pixelprobe up``):

    python -m tests.studies.every_pixel table2-quick --data DIR --count 118 --ceiling 0.99 --out maps.npz \\
        --targets ~/.pixelprobe/targets.toml --orchestrator HOST:PORT --segmentation HOST:PORT

with the addresses that ``pixelprobe up`` printed.
Images, seed and masks are those of a campaign of the spec. The file is saved after each image, and a second
run continues it. ``tests.studies.weak_pixels`` analyses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.images import Pick, PickedImage, load_entries
from pixelprobe.campaigns.runs import targets_of
from pixelprobe.campaigns.spec_file import find_spec, read_spec
from pixelprobe_services.orchestrator.targets.base import QueryBatch, Target
from pixelprobe_services.orchestrator.targets.registry import Registry
from tests.studies.maps import Maps

COLOURS = np.array(list(product((0, 255), repeat=3)), np.int16)
"""(8, 3): the corners of the RGB cube."""

CHUNK, IN_FLIGHT = 256, 3


@dataclass(frozen=True, eq=False)
class Scan:
    """One image against one target.

    ``fooling``: (height, width) uint8, how many of the eight colours change the class there; ``lowest``:
    (height, width) float32, the clean class's lowest probability.
    """

    clean_class: int
    clean_probability: float
    fooling: NDArray[np.uint8]
    lowest: NDArray[np.float32]


def all_edits(height: int, width: int) -> NDArray[np.int16]:
    """(height * width * 8, 1, 5): each pixel, row by row, in each colour."""
    rows, columns, colours = np.meshgrid(
        np.arange(height), np.arange(width), np.arange(len(COLOURS)), indexing="ij"
    )
    spots = np.stack([columns.ravel(), rows.ravel()], axis=1)
    return np.concatenate([spots, COLOURS[colours.ravel()]], axis=1).astype(np.int16)[:, None, :]


async def clean_scores(target: Target, pixels: NDArray[np.uint8]) -> tuple[int, float]:
    """Return the class of the clean image and its probability."""
    nothing = np.array([[[0, 0, *pixels[0, 0]]]], np.int16)
    scores = await target.query(_batch(pixels, nothing, 0))
    return int(scores.top_classes[0, 0]), float(scores.top_probabilities[0, 0])


async def scan(target: Target, pixels: NDArray[np.uint8], clean: tuple[int, float]) -> Scan:
    """Try every pixel; ``clean`` as ``clean_scores`` returned it."""
    clean_class, clean_probability = clean
    height, width, _ = pixels.shape
    edits = all_edits(height, width)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def ask(start: int) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        async with slots:
            scores = await target.query(_batch(pixels, edits[start : start + CHUNK], clean_class))
        return scores.top_classes[:, 0] != clean_class, scores.class_probabilities[:, 0]

    answers = await asyncio.gather(*(ask(start) for start in range(0, len(edits), CHUNK)))
    shape = (height, width, len(COLOURS))
    fooled = np.concatenate([fooled for fooled, _ in answers]).reshape(shape)
    probability = np.concatenate([probability for _, probability in answers]).reshape(shape)
    return Scan(clean_class, clean_probability, fooled.sum(axis=2, dtype=np.uint8), probability.min(axis=2))


def _batch(pixels: NDArray[np.uint8], edits: NDArray[np.int16], wanted: int) -> QueryBatch:
    count = len(edits)
    return QueryBatch(pixels[None], np.zeros(count, np.int32), edits, np.full((count, 1), wanted, np.int32))


async def scan_all(
    registry: Registry,
    names: Sequence[str],
    images: Sequence[tuple[PickedImage, NDArray[np.bool_]]],
    ceiling: float,
    maps: Maps,
) -> None:
    """Add to ``maps`` the images that a target classifies correctly with a probability below ``ceiling``."""
    for image, mask in images:
        for name in names:
            if maps.has(image.name, name):
                continue
            clean = await clean_scores(registry.get(name), image.pixels)
            if clean[0] != image.label:
                continue
            if clean[1] >= ceiling:
                maps.add(image.name, name, mask, clean[1], None, None)
                continue
            found = await scan(registry.get(name), image.pixels, clean)
            maps.add(image.name, name, mask, clean[1], found.fooling, found.lowest)
        maps.save()
        print(f"{image.name}: {len(maps)} pairs, {maps.scanned} scanned", flush=True)


@click.command(help=__doc__)
@click.argument("spec")
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--count", type=int, default=60, help="Images, the first of the spec's.")
@click.option(
    "--ceiling", type=float, default=1.01, help="Leave out images with this clean probability or more."
)
@click.option("--targets", type=click.Path(path_type=Path, exists=True), required=True, help="targets.toml")
@click.option("--orchestrator", required=True, help="HOST:PORT")
@click.option("--segmentation", required=True, help="HOST:PORT")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    spec: str,
    data: Path,
    count: int,
    ceiling: float,
    targets: Path,
    orchestrator: str,
    segmentation: str,
    out: Path,
) -> None:
    """Entry point."""
    wanted = read_spec(find_spec(spec))
    with PixelprobeClient(Addresses(orchestrator, segmentation)) as client:
        known = targets_of(wanted, client.list_targets())
        picked = list(islice(Pick(wanted, load_entries(wanted, data), known), count))
        segmented = [client.segment(image.pixels, "grabcut") for image in picked]
    images = [
        (image, segmentation.mask)
        for image, segmentation in zip(picked, segmented, strict=True)
        if not segmentation.needs_review
    ]

    async def run() -> None:
        registry = Registry.from_file(targets)
        try:
            await scan_all(registry, [target.name for target in known], images, ceiling, Maps(out))
        finally:
            await registry.close()

    asyncio.run(run())


if __name__ == "__main__":
    main()
