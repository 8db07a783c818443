"""Each thing that makes a number less than it seems is said, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pixelprobe.model import CampaignImage, CampaignState, MaskSettings, RegionMode, SearchSettings, Strategy
from pixelprobe.report.material import Material, ModelFacts
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.page.facts import cautions
from pixelprobe.report.rows import AttackRow
from tests.unit.report.made import made
from tests.unit.report.reports import MODEL, material, numbers_of, reported


def told(of: Material) -> list[str]:
    return cautions(of, numbers_of(of))


def many(**changes: Any) -> list[AttackRow]:
    return [made(f"{number}", target=MODEL, **changes) for number in range(100)]


def test_a_campaign_like_the_papers_needs_none() -> None:
    assert told(material(many())) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"state": CampaignState.PAUSED, "state_reason": "disk full"},
            "is paused (disk full): 60 of 60 attacks",
        ),
        (
            {"masks": MaskSettings(accept_unreviewed=True)},
            "used masks that a person should have looked at first",
        ),
        ({"attack_misclassified": True}, "also attacked images that the model gets wrong"),
        ({"images": (CampaignImage("0" * 64),)}, "has images without a true class"),
        ({"search": SearchSettings(population=60)}, "searched with 60 candidates a generation (paper: 400)."),
        ({"search": SearchSettings(generations=3)}, "searched with 3 generations (paper: 100)."),
        ({"search": SearchSettings(strategy=Strategy.BEST1BIN)}, "best1bin (paper: rand1bin)"),
        ({"search": SearchSettings(region_mode=RegionMode.PROJECT)}, "edits moved into the region"),
        ({"budget": 1000}, "cut off after 1,000 queries each"),
    ],
)
def test_what_departs_is_said(changes: dict[str, Any], words: str) -> None:
    (caution,) = told(material(many(), campaigns=(reported(**changes),)))
    assert words in caution


def test_cancelled_attacks_have_not_finished() -> None:
    cut = replace(reported(state=CampaignState.CANCELLED), cancelled=14)
    (caution,) = told(material(many(), campaigns=(cut,)))
    assert "is cancelled: 46 of 60 attacks have finished" in caution


def test_few_images() -> None:
    (caution,) = told(material(many()[:99]))
    assert "few images (99; the paper had 500)" in caution


def test_few_photographs_are_few_beside_imagenets() -> None:
    (caution,) = told(material(many()[:99], classes=1000))
    assert "few images (99; the paper had 420)" in caution


def test_notes_on_models_and_on_how_it_was_put_together() -> None:
    facts = {MODEL: ModelFacts(note="its weights are provisional"), "other": ModelFacts(note="not in here")}
    assert told(material(many(), models=facts, notes=("nin is gone",))) == [
        f"{MODEL}: its weights are provisional.",
        "Nin is gone.",
    ]


def test_campaigns_of_different_seeds() -> None:
    assert told(material(many(), campaigns=(reported(), reported(seed=8)))) == [
        "The campaigns have different seeds."
    ]


def test_attacks_that_came_up_again() -> None:
    assert told(material([*many(), made("0", target=MODEL)])) == [
        "1 attack came up again in a later campaign; the first that ran counts."
    ]


def test_successes_that_searched_on() -> None:
    rows = many()
    late = reported(search=SearchSettings(early_stop=False))
    of = material(rows, campaigns=(late,), fitness=Evaluation(rows))
    assert "100 successes searched on to the end" in told(of)[0]
    # Where another campaign stopped at its successes, its attacks are the ones that count.
    again = material([*rows, *many()], campaigns=(reported(), late), fitness=Evaluation(many()))
    assert not [caution for caution in told(again) if "searched on" in caution]
