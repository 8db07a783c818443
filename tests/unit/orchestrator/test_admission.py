"""A search that a campaign's targets or pixel counts rule out is refused before the campaign exists."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import Goal, InvalidSpecError, Region, SearchSettings, Strategy
from pixelprobe_services.orchestrator.campaigns.admission import check_spec
from pixelprobe_services.orchestrator.targets.base import Answers, TargetInfo

DIGEST = "0" * 64


async def admit(strategy: Strategy, pixels: int, *answers: Answers) -> None:
    """Check a spec against targets that answer so."""
    infos = {
        f"target-{number}": TargetInfo(f"target-{number}", 32, 32, 10, (), True, 64, 1, answers=kind)
        for number, kind in enumerate(answers)
    }
    spec = CampaignSpec(
        images=(CampaignImage(DIGEST),),
        targets=tuple(infos),
        regions=(Region.WHOLE,),
        pixel_counts=(pixels,),
        goals=(Goal(),),
        search=SearchSettings(strategy=strategy),
    )

    async def sizes(_: object) -> dict[str, tuple[int, int]]:
        return {DIGEST: (32, 32)}

    async def get(name: str) -> Any:
        return SimpleNamespace(info=infos[name])

    await check_spec(spec, cast(Any, SimpleNamespace(image_sizes=sizes)), cast(Any, SimpleNamespace(get=get)))


@pytest.mark.parametrize("strategy", [Strategy.RAND1BIN, Strategy.AUTO, Strategy.SPARSE_RS], ids=str)
async def test_one_target_of_labels_alone_refuses_a_search_that_needs_scores(strategy: Strategy) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        await admit(strategy, 1, "probabilities", "labels")
    assert caught.value.field == "search.strategy"
    assert "needs scores, and the target answers with labels alone" in caught.value.description
    assert caught.value.description.endswith("searches that can: random, corner-scan")


@pytest.mark.parametrize("strategy", [Strategy.RANDOM, Strategy.CORNER_SCAN], ids=str)
async def test_searches_without_scores_are_admitted(strategy: Strategy) -> None:
    await admit(strategy, 1, "labels")


async def test_scores_of_the_best_classes_are_scores() -> None:
    await admit(Strategy.AUTO, 3, "top_k")


async def test_a_one_pixel_search_is_refused_for_more_pixels() -> None:
    with pytest.raises(InvalidSpecError, match="corner-scan changes one pixel, not 3"):
        await admit(Strategy.CORNER_SCAN, 3, "probabilities")
