from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pixelprobe.model import (
    Attack,
    AttackState,
    CampaignImage,
    ClassScore,
    Edit,
    Outcome,
    Region,
    Result,
)
from pixelprobe.report.rows import attack_row
from pixelprobe_services.common.errors import InvalidArgumentError, ServiceError
from tests.unit.report.made import made

MASK = np.array([[True, False], [False, False]])
RESULT = Result(
    outcome=Outcome.SUCCESS,
    reason="",
    clean_top=(ClassScore(3, 0.75), ClassScore(1, 0.25)),
    best_top=(ClassScore(1, 0.5), ClassScore(3, 0.25)),
    best_probability_of_clean_top=(0.25, 0.5),
    edits=(Edit(0, 0, 1, 2, 3),),
    queries_sent=42,
    queries_skipped=5,
    queries_repeated=6,
    generations=2,
    queries_to_success=40,
    fitness_by_generation=(0.75, 0.25),
    mask=MASK,
    region_area_fraction=0.25,
)
ATTACK = Attack("campaigns/c/attacks/0", 1, "net", Region.FOREGROUND, 3, 1, AttackState.FINISHED, RESULT)
IMAGES = (CampaignImage("0" * 64, "other"), CampaignImage("1" * 64, "cat.png", label=3))


def test_a_row_holds_what_the_metrics_need_of_an_attack() -> None:
    row = attack_row(ATTACK, IMAGES[1], generations=7)
    assert (row.image_digest, row.image_name, row.label) == ("1" * 64, "cat.png", 3)
    assert (row.target, row.region, row.pixels, row.target_class) == ("net", "foreground", 3, 1)
    assert (row.outcome, row.reason) == (Outcome.SUCCESS, "")
    assert (row.clean_top, row.best_top) == (RESULT.clean_top, RESULT.best_top)
    assert row.best_probability_of_clean_top == (0.25, 0.5)
    assert (row.queries_sent, row.queries_skipped, row.queries_repeated) == (42, 5, 6)
    assert (row.queries_to_success, row.generations, row.generations_allowed) == (40, 2, 7)
    assert list(row.fitness_by_generation) == [0.75, 0.25]
    assert (row.region_area_fraction, row.mask_area_fraction) == (0.25, 0.25)


def test_an_image_without_a_name_or_mask_still_has_a_row() -> None:
    bare = dataclasses.replace(ATTACK, image_index=0, result=dataclasses.replace(RESULT, mask=None))
    row = attack_row(bare, CampaignImage("ab" * 32), generations=7)
    assert (row.image_name, row.label, row.mask_area_fraction) == ("abababababab", None, None)


def test_an_attack_without_a_result_is_refused() -> None:
    with pytest.raises(ServiceError, match="campaigns/c/attacks/0"):
        attack_row(dataclasses.replace(ATTACK, result=None), IMAGES[1], generations=7)


def test_an_unknown_region_is_refused_by_name() -> None:
    with pytest.raises(
        InvalidArgumentError, match="'middle' is none of whole, foreground, background, control"
    ):
        made(region="middle")


@pytest.mark.parametrize(
    ("outcome", "attacked"),
    [
        (Outcome.SUCCESS, True),
        (Outcome.FAILURE, True),
        (Outcome.BUDGET_EXHAUSTED, True),
        (Outcome.NOT_APPLICABLE, False),
        (Outcome.CANCELLED, False),
        (Outcome.ERROR, False),
    ],
)
def test_which_outcomes_count_as_attacked(outcome: Outcome, attacked: bool) -> None:
    row = made(outcome=outcome)
    assert row.attacked is attacked
    assert row.succeeded is (outcome is Outcome.SUCCESS)


def test_only_a_targeted_attack_can_aim_at_the_images_own_class() -> None:
    assert made(target_class=0).aims_at_own_class
    assert not made(target_class=1).aims_at_own_class
    assert not made(target_class=None).aims_at_own_class
    assert not made(target_class=0, clean_top=()).aims_at_own_class
