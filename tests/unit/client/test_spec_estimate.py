"""What attacks will cost: exact at most, and an expectation that moves the right way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelprobe.campaigns.cost import CIFAR10, Cost, campaign_cost, expected_queries
from pixelprobe.model import (
    CampaignImage,
    CampaignSpec,
    Goal,
    Region,
    RegionMode,
    SearchSettings,
    Strategy,
)

PAPER = SearchSettings()
SPEC = CampaignSpec(
    images=(CampaignImage("0" * 64),) * 500,
    targets=("a", "b", "c"),
    regions=(Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND),
    pixel_counts=(1, 3, 5),
)


def test_table_2_untargeted_is_13_500_attacks_of_at_most_40_401_queries() -> None:
    cost = campaign_cost(SPEC)
    assert cost.attacks == 13_500
    assert cost.most_queries == 13_500 * (400 * 101 + 1)
    assert 0 < cost.expected_queries < cost.most_queries


def test_of_all_classes_the_images_own_costs_one_query() -> None:
    cost = campaign_cost(replace(SPEC, goals=tuple(map(Goal, range(10)))))
    assert cost.attacks == 135_000
    assert cost.most_queries == 13_500 * (9 * 40_401 + 1)
    one = campaign_cost(replace(SPEC, goals=(Goal(3),)))
    assert one.most_queries == 13_500 * 40_401


def test_a_budget_bounds_every_attack() -> None:
    cost = campaign_cost(replace(SPEC, budget=100))
    assert cost.expected_queries == cost.most_queries == 13_500 * 100


def test_costs_add_up() -> None:
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33)


def test_without_early_stop_the_whole_image_costs_every_candidate() -> None:
    search = replace(PAPER, early_stop=False)
    assert expected_queries(search, Region.WHOLE, 1, None, targeted=False) == 40_401
    assert expected_queries(search, Region.FOREGROUND, 1, None, targeted=False) < 40_401
    project = replace(search, region_mode=RegionMode.PROJECT)
    assert expected_queries(project, Region.FOREGROUND, 1, None, targeted=False) == 40_401


SEARCHES = st.builds(
    SearchSettings,
    population=st.integers(4, 500),
    generations=st.integers(1, 60),
    early_stop=st.booleans(),
    region_mode=st.sampled_from(RegionMode),
)


@given(SEARCHES, st.sampled_from(Region), st.integers(1, 64), st.booleans())
def test_more_of_anything_costs_more(
    search: SearchSettings, region: Region, pixels: int, targeted: bool
) -> None:
    def expected(
        changed: SearchSettings = search, where: Region = region, budget: int | None = None
    ) -> float:
        return expected_queries(changed, where, pixels, budget, targeted=targeted)

    most = search.population * (search.generations + 1) + 1
    assert 1 < expected() <= most
    assert expected(replace(search, generations=search.generations + 1)) > expected()
    assert expected(replace(search, early_stop=False)) >= expected(replace(search, early_stop=True))
    assert expected(budget=10) <= 10
    stubborn = expected_queries(search, region, pixels, None, targeted=True)
    assert stubborn >= expected_queries(search, region, pixels, None, targeted=False)


@pytest.mark.parametrize("pixels", [1, 2, 3, 4, 5, 6, 64])
def test_more_pixels_win_sooner_on_the_whole_image(pixels: int) -> None:
    fewer = expected_queries(PAPER, Region.WHOLE, pixels, None, targeted=False)
    more = expected_queries(PAPER, Region.WHOLE, pixels + 1, None, targeted=False)
    assert more <= fewer


def test_a_scan_sends_its_candidates_at_most() -> None:
    one = replace(SPEC, images=SPEC.images[:1], targets=("a",), regions=(Region.WHOLE,), pixel_counts=(1,))
    scan = replace(one, search=SearchSettings(strategy=Strategy.CORNER_SCAN))
    assert campaign_cost(scan).most_queries == 8 * 32 * 32 + 1
    assert 4096 < campaign_cost(scan).expected_queries < 8193
    large = campaign_cost(scan, replace(CIFAR10, image_pixels=224 * 224))
    assert large.most_queries == 8 * 224 * 224 + 1
    auto = replace(one, search=SearchSettings(strategy=Strategy.AUTO))
    assert campaign_cost(auto).most_queries == campaign_cost(one).most_queries
    assert campaign_cost(auto).expected_queries < campaign_cost(one).expected_queries / 3
    seeded = replace(one, search=SearchSettings(strategy=Strategy.SEEDED))
    assert campaign_cost(seeded).most_queries == 400 * 102 + 1
