"""What `campaign show` tells of a campaign with ImageNet's classes."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from pixelprobe.cli.campaign_tables import show_campaign, spec_json
from pixelprobe.inputs.datasets.imagenet_classes import imagenet_classes
from pixelprobe.inputs.sizing import Sizing, describe_sizing
from pixelprobe.model import Campaign, CampaignImage, CampaignSpec, CampaignState, Goal, MaskSettings, Target

TARGET = Target("net", True, "", 224, 224, 1000, tuple(known.name for known in imagenet_classes()), True)
SPEC = CampaignSpec(
    images=(CampaignImage("0" * 64, "a"),) * 3,
    targets=("net",),
    image_preparation=describe_sizing(Sizing.STRETCH, 224, 224),
)
CAMPAIGN = Campaign("campaigns/c1", "mine@1", CampaignState.RUNNING, "", 3, 0, 0, 0, 0)


def shown(spec: CampaignSpec, targets: dict[str, Target]) -> str:
    console = Console(file=io.StringIO(), width=150)
    show_campaign(CAMPAIGN, spec, [], targets, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("goals", "told"),
    [
        ((None,), "untargeted"),
        ((281, 285), "targeted at tabby, targeted at Egyptian cat"),
        ((None, 282), "untargeted, targeted at tiger cat"),
        ((None, *range(1000)), "untargeted, targeted at 1,000 classes"),
    ],
)
def test_a_few_target_classes_are_named_and_many_counted(goals: tuple[int | None, ...], told: str) -> None:
    (line,) = [
        line
        for line in shown(replace(SPEC, goals=tuple(map(Goal, goals))), {"net": TARGET}).splitlines()
        if "goals" in line
    ]
    assert line.split(maxsplit=1)[1].strip() == told


def test_a_spec_is_plain_json() -> None:
    spec = replace(
        SPEC, goals=(Goal(), Goal(3)), masks=MaskSettings("u2net", b"\xff", accept_unreviewed=True)
    )
    read = json.loads(json.dumps(spec_json(spec)))
    assert (read["segmenter"], read["accept_unreviewed"]) == ("u2net", True)
    assert (read["images"], read["goals"], read["regions"]) == (3, ["untargeted", 3], ["whole"])
    assert read["search"]["population"] == spec.search.population


def test_targets_that_have_gone_are_not_missed() -> None:
    assert "targeted at 2 classes" in shown(replace(SPEC, goals=(Goal(281), Goal(285))), {})


def test_how_images_were_sized_is_stated() -> None:
    assert "3, as they are where 224 x 224, else stretched to that" in shown(SPEC, {"net": TARGET})
    assert spec_json(SPEC)["image_preparation"] == SPEC.image_preparation
    older = shown(replace(SPEC, image_preparation=""), {"net": TARGET})
    assert [line.split() for line in older.splitlines() if line.startswith("images")] == [["images", "3"]]
