"""Queries to a success, by search: the shipped sample images against one classifier, live, side by side.

Each search attacks the same images, whole image, one pixel and then three, with the same budget. The paper's
search is differential evolution with its population of 400. A failed attack counts with all that it sent. A
success is noted at the end of its piece, and the clean image is a query, too: the first piece of 10 is 11.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.images import load_image
from pixelprobe.model import Attack, CampaignImage, CampaignSpec, Outcome, SearchSettings, Strategy
from pixelprobe.samples import load_samples

TARGET = "nin_cifar10"
BUDGET = 400
AT = (11, 31, 101, 400)
ONE_PIXEL = (
    Strategy.AUTO, Strategy.CORNER_SCAN, Strategy.SKETCH, Strategy.SEEDED, Strategy.SPARSE_RS,
    Strategy.RANDOM, Strategy.RAND1BIN,
)  # fmt: skip
THREE_PIXELS = (Strategy.AUTO, Strategy.SPARSE_RS, Strategy.SEEDED, Strategy.RANDOM, Strategy.RAND1BIN)


@dataclass(frozen=True)
class Found:
    """One search's attacks. ``first``: queries to the success of each that had one."""

    strategy: Strategy
    pixels: int
    attacks: int
    first: tuple[int, ...]
    queries: int
    seconds: float

    def __str__(self) -> str:
        by_budget = ", ".join(f"{sum(sent <= most for sent in self.first)} by {most}" for most in AT)
        middle = f"{np.median(self.first):.0f}" if self.first else "-"
        return (
            f"searches, {TARGET}, {self.pixels} pixel(s), {self.strategy.value:11}: {len(self.first):2} of"
            f" {self.attacks} fooled ({by_budget}), median {middle} queries to a success,"
            f" {self.queries:,} in all, {self.seconds:.1f} s"
        )


def measure(client: PixelprobeClient) -> str:
    """One campaign for each search and number of pixels; a line each."""
    samples = list(load_samples())
    digests = client.upload_images([load_image(sample.path).pixels for sample in samples])
    images = tuple(
        CampaignImage(digest, label=int(sample.label) if sample.label is not None else None)
        for digest, sample in zip(digests, samples, strict=True)
    )
    lines = [str(one(client, images, strategy, 1)) for strategy in ONE_PIXEL]
    lines += [str(one(client, images, strategy, 3)) for strategy in THREE_PIXELS]
    return "\n".join(lines)


def one(client: PixelprobeClient, images: Sequence[CampaignImage], strategy: Strategy, pixels: int) -> Found:
    """One search on all images."""
    spec = CampaignSpec(
        images=tuple(images),
        targets=(TARGET,),
        pixel_counts=(pixels,),
        search=SearchSettings(strategy=strategy),
        budget=BUDGET,
    )
    began = time.monotonic()
    campaign = client.create_campaign(spec)
    for _ in client.watch_campaign(campaign.name):
        pass
    seconds = time.monotonic() - began
    attacks = [attack for attack in client.list_attacks(campaign.name) if _applies(attack)]
    results = [attack.result for attack in attacks if attack.result is not None]
    return Found(
        strategy,
        pixels,
        len(attacks),
        tuple(result.queries_to_success for result in results if result.outcome is Outcome.SUCCESS),
        sum(result.queries_sent for result in results),
        seconds,
    )


def _applies(attack: Attack) -> bool:
    return attack.result is not None and attack.result.outcome is not Outcome.NOT_APPLICABLE
