"""Nothing gets lost between the client's values and the messages."""

from __future__ import annotations

import numpy as np

from pixelprobe import convert
from pixelprobe.masks import GrabCutOptions, Rectangle, Stroke
from pixelprobe.model import (
    CampaignImage,
    CampaignSpec,
    ClassScore,
    Edit,
    Goal,
    MaskSettings,
    Outcome,
    Region,
    RegionMode,
    SearchSettings,
    Strategy,
)
from pixelprobe_api.attack.v1 import campaign_pb2, result_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as segmentation_pb2
from pixelprobe_services.common.images import mask_from_array, mask_to_array
from pixelprobe_services.common.wire import spec_to_pb

MASK = np.arange(48).reshape(6, 8) % 5 == 0


def test_a_full_spec() -> None:
    spec = CampaignSpec(
        images=(CampaignImage("d" * 64, "a", label=0, mask=MASK), CampaignImage("e" * 64)),
        targets=("net", "other"),
        regions=(Region.FOREGROUND, Region.BACKGROUND),
        pixel_counts=(1, 5),
        goals=(Goal(), Goal(0), Goal(7)),
        search=SearchSettings(Strategy.BEST1BIN, 50, 7, region_mode=RegionMode.PROJECT, early_stop=False),
        budget=9,
        seed=2**64 - 1,
        masks=MaskSettings(accept_unreviewed=True),
        attack_misclassified=True,
        image_preparation="stretched",
    )
    message = spec_to_pb(spec)
    assert message.images[0].HasField("label")
    assert message.images[0].label == 0
    np.testing.assert_array_equal(mask_to_array(message.images[0].mask), MASK)
    assert not message.images[1].HasField("label")
    assert not message.images[1].HasField("mask")
    assert list(message.regions) == [campaign_pb2.REGION_FOREGROUND, campaign_pb2.REGION_BACKGROUND]
    assert [goal.WhichOneof("kind") for goal in message.goals] == [
        "untargeted",
        "target_class",
        "target_class",
    ]
    assert message.goals[1].target_class == 0
    assert message.search.strategy == campaign_pb2.STRATEGY_BEST1BIN
    assert message.search.region_mode == campaign_pb2.REGION_MODE_PROJECT
    assert message.search.no_early_stop
    assert (message.search.population, message.search.generations) == (50, 7)
    assert message.budget_per_attack == 9
    assert message.seed == 2**64 - 1
    assert message.masks.accept_unreviewed
    assert message.attack_misclassified
    assert message.image_preparation == "stretched"


def test_no_budget_is_not_a_budget_of_zero() -> None:
    message = spec_to_pb(CampaignSpec(images=(), targets=("net",)))
    assert not message.HasField("budget_per_attack")


def test_an_attack_with_its_result() -> None:
    message = result_pb2.Attack(
        name="campaigns/c/attacks/3",
        image_index=1,
        target="net",
        region=campaign_pb2.REGION_FOREGROUND,
        pixels=3,
        goal=campaign_pb2.Goal(target_class=0),
        state=result_pb2.ATTACK_STATE_FINISHED,
        result=result_pb2.AttackResult(
            outcome=result_pb2.OUTCOME_BUDGET_EXHAUSTED,
            reason="why",
            clean_top=[result_pb2.ClassScore(class_index=4, probability=0.5)],
            edits=[result_pb2.Edit(x=1, y=2, red=3, green=4, blue=255)],
            mask=mask_from_array(MASK),
        ),
    )
    attack = convert.attack(message)
    assert (attack.image_index, attack.region, attack.target_class) == (1, Region.FOREGROUND, 0)
    assert attack.result is not None
    assert attack.result.outcome is Outcome.BUDGET_EXHAUSTED
    assert attack.result.clean_top == (ClassScore(4, 0.5),)
    assert attack.result.edits == (Edit(1, 2, 3, 4, 255),)
    assert attack.result.mask is not None
    np.testing.assert_array_equal(attack.result.mask, MASK)


def test_an_untargeted_attack_under_way() -> None:
    message = result_pb2.Attack(
        goal=campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted()),
        region=campaign_pb2.REGION_WHOLE,
        state=result_pb2.ATTACK_STATE_RUNNING,
    )
    attack = convert.attack(message)
    assert attack.target_class is None
    assert attack.result is None


def test_hints_for_grabcut() -> None:
    hints = GrabCutOptions(Rectangle(1, 2, 30, 31), (Stroke(False, ((0, 0), (5, 6)), width=3),), iterations=7)
    request = convert.segment_request(np.zeros((32, 32, 3), np.uint8), "grabcut", hints)
    options = request.grabcut
    assert (options.rectangle.left, options.rectangle.bottom, options.iterations) == (1, 31, 7)
    assert options.strokes[0].kind == segmentation_pb2.STROKE_KIND_BACKGROUND
    assert [(point.x, point.y) for point in options.strokes[0].points] == [(0, 0), (5, 6)]
    assert options.strokes[0].width == 3


def test_no_hints_leave_the_options_open() -> None:
    request = convert.segment_request(np.zeros((32, 32, 3), np.uint8), "", None)
    assert request.WhichOneof("options") is None
