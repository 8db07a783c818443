"""The cost of attacks in queries: the exact maximum, and an expectation.

The expectation assumes the success rates and mask areas that were measured on CIFAR-10 networks, and the
paper's success rates for ImageNet; it is only as good as the likeness. Images that will be left out are not
deducted, because they are not known beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pixelprobe.model import CampaignSpec, Region, RegionMode, SearchSettings, Strategy, Target

TYPICAL_AREA = {Region.WHOLE: 1.0, Region.FOREGROUND: 0.26, Region.BACKGROUND: 0.74, Region.CONTROL: 0.26}
"""Share of the image; the mean of automatic GrabCut on 260 CIFAR-10 images."""


@dataclass(frozen=True)
class Typical:
    """Typical attacks on images of one kind.

    Attributes:
        rate: queries a second on two CPU cores.
        success: share of untargeted attacks on the whole image that succeed, by pixels; others in between.
        image_pixels: height times width of an image.
    """

    rate: float
    success: Mapping[int, float]
    image_pixels: int = 32 * 32


CIFAR10 = Typical(700.0, {1: 0.25, 3: 0.50, 5: 0.60})
"""Measured on the three CIFAR-10 networks."""

IMAGENET = Typical(150.0, {1: 0.06, 3: 0.12, 5: 0.15}, image_pixels=224 * 224)
"""EfficientNet-Lite0's rate. With one pixel the mean success of the paper's three networks (table III), with
more pixels, scaled as on CIFAR-10.
"""

LARGE_SIDE = 100
"""From this shorter side on, images are assumed to be like ImageNet's."""

TARGETED_SHARE = 0.25
"""Targeted success, as a share of untargeted."""

REGION_SHARE = {Region.WHOLE: 1.0, Region.FOREGROUND: 0.9, Region.BACKGROUND: 0.6, Region.CONTROL: 0.7}
"""Success in a region, as a share of that in the whole image."""

GENERATIONS_TO_SUCCESS = 1.5
"""Most successes come early: after so many generations a third of them is still to come."""

GENERATIONS_TO_REGION = 27.0
"""The search moves into its region: after so many generations a third of the candidates that were outside
still are. Of one-pixel candidates 0.25 were in the foreground at first, and 0.48 ten generations later.
"""

CORNERS = 8
"""Colours that a scan tries at each pixel."""

SCAN_TO_SUCCESS = 40.0
"""Mean queries of a corner scan to a success; docs/searches.md measures 14 to 43 on CIFAR-10 networks."""

FREE_COLOURS = 2000
"""Most candidates that ``auto`` sends after a complete scan without success."""

_SCANS = (Strategy.CORNER_SCAN, Strategy.SKETCH)


@dataclass(frozen=True)
class Cost:
    """Expected and most queries of some attacks."""

    attacks: int
    expected_queries: int
    most_queries: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.attacks + other.attacks,
            self.expected_queries + other.expected_queries,
            self.most_queries + other.most_queries,
        )


def typical(target: Target) -> Typical:
    """Return the typical attacks on a target, judged by the size of its images."""
    kind = IMAGENET if min(target.width, target.height) >= LARGE_SIDE else CIFAR10
    return replace(kind, image_pixels=target.width * target.height) if target.available else kind


def campaign_cost(spec: CampaignSpec, kind: Typical = CIFAR10) -> Cost:
    """Return the cost of a campaign if all its images are attacked."""
    each = len(spec.images) * len(spec.targets)
    # With several target classes one is the image's own class: that attack ends after the clean image.
    targeted = [goal for goal in spec.goals if goal.target_class is not None]
    own = 1 if len(targeted) > 1 else 0
    untargeted = len(spec.goals) - len(targeted)
    expected = 0.0
    for region in spec.regions:
        for pixels in spec.pixel_counts:
            one = expected_queries(spec.search, region, pixels, spec.budget, kind, targeted=False)
            other = expected_queries(spec.search, region, pixels, spec.budget, kind, targeted=True)
            expected += each * (untargeted * one + (len(targeted) - own) * other + own)
    attacks = spec.attack_count
    most_each = _most_queries(spec.search, spec.budget, kind)
    most = attacks * most_each
    if own:
        most -= each * len(spec.regions) * len(spec.pixel_counts) * (most_each - 1)
    return Cost(attacks, round(expected), most)


def expected_queries(
    search: SearchSettings,
    region: Region,
    pixels: int,
    budget: int | None,
    kind: Typical = CIFAR10,
    *,
    targeted: bool,
) -> float:
    """Return the mean number of queries that one attack sends."""
    success = _success(kind, pixels) * REGION_SHARE[region] * (TARGETED_SHARE if targeted else 1.0)
    if search.strategy in _SCANS or search.strategy is Strategy.AUTO:
        return _expected_of_scan(search, region, pixels, budget, kind, success)
    queries = 1.0
    for generation in range(search.generations + 1):
        # A success ends the search within a generation, on average in its middle.
        won = success * (1 - math.exp(-(generation + 0.5) / GENERATIONS_TO_SUCCESS))
        if not search.early_stop:
            won = 0.0
        queries += search.population * _share_sent(search, region, pixels, generation) * (1 - won)
    return min(queries, budget) if budget else queries


def _expected_of_scan(
    search: SearchSettings, region: Region, pixels: int, budget: int | None, kind: Typical, success: float
) -> float:
    """Return the mean queries of a search that succeeds early or sends all that it may."""
    failed = float(_most_queries(search, None, kind) - 1)
    if pixels == 1:
        scanned = CORNERS * kind.image_pixels * TYPICAL_AREA[region]
        failed = min(failed, scanned + (FREE_COLOURS if search.strategy is Strategy.AUTO else 0))
    succeeded = min(SCAN_TO_SUCCESS, failed) if search.early_stop else failed
    queries = 1.0 + success * succeeded + (1 - success) * failed
    return min(queries, budget) if budget else queries


def _most_queries(search: SearchSettings, budget: int | None, kind: Typical) -> int:
    """Return the number of all candidates that the search can send, and the clean image."""
    candidates = search.population * (search.generations + 1)
    if search.strategy in _SCANS:
        candidates = CORNERS * kind.image_pixels
    elif search.strategy is Strategy.SEEDED:
        candidates += search.population
    return min(candidates + 1, budget) if budget else candidates + 1


def _share_sent(search: SearchSettings, region: Region, pixels: int, generation: int) -> float:
    """Return the share of candidates with an edit inside the region; the others cost no query."""
    area = TYPICAL_AREA[region]
    if search.region_mode is RegionMode.PROJECT or area == 1.0:
        return 1.0
    inside = 1 - (1 - area) ** pixels
    return 1 - (1 - inside) * math.exp(-generation / GENERATIONS_TO_REGION)


def _success(kind: Typical, pixels: int) -> float:
    known = sorted(kind.success)
    below = max((number for number in known if number <= pixels), default=known[0])
    above = min((number for number in known if number >= pixels), default=known[-1])
    if above <= below:
        return kind.success[below]
    share = (pixels - below) / (above - below)
    return kind.success[below] + share * (kind.success[above] - kind.success[below])
