"""Values that the client's tests share."""

from __future__ import annotations

from pixelprobe.model import (
    Attack,
    AttackState,
    CampaignImage,
    CampaignSpec,
    ClassScore,
    Edit,
    Outcome,
    Region,
    Result,
    Target,
)

NAME = "campaigns/c1"
TARGET = Target("net", True, "", 8, 6, 3, ("cat", "dog", "Frog"), True)
OTHER = Target("other", True, "", 8, 6, 3, ("dog", "cat", "frog"), False)
SPEC = CampaignSpec(images=(CampaignImage("0" * 64, "a"),), targets=("net",))


def make_result(outcome: Outcome = Outcome.SUCCESS, **changes: object) -> Result:
    values: dict[str, object] = {
        "outcome": outcome,
        "reason": "",
        "clean_top": (ClassScore(0, 0.75), ClassScore(1, 0.2)),
        "best_top": (ClassScore(1, 0.5), ClassScore(0, 0.25)),
        "best_probability_of_clean_top": (0.25, 0.5),
        "edits": (Edit(7, 5, 1, 2, 3),),
        "queries_sent": 42,
        "queries_skipped": 5,
        "queries_repeated": 6,
        "generations": 1,
        "queries_to_success": 40,
        "fitness_by_generation": (0.25,),
        "mask": None,
        "region_area_fraction": 1.0,
    }
    return Result(**{**values, **changes})  # type: ignore[arg-type]


def make_attack(
    result: Result | None, number: int = 0, target: str = "net", region: Region = Region.WHOLE
) -> Attack:
    return Attack(
        name=f"{NAME}/attacks/{number}",
        image_index=0,
        target=target,
        region=region,
        pixels=1,
        target_class=None,
        state=AttackState.FINISHED,
        result=result,
    )
