"""The paper's networks stand beside models that it lacks, and only beside those."""

from __future__ import annotations

import pytest

from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.numbers import Numbers, work_out
from pixelprobe.report.reference import load_reference
from tests.unit.report.made import made


def numbers_of(*models: str, classes: int = 1000) -> Numbers:
    rows = [
        made("a", target=model, region=region)
        for model in models
        for region in ("whole", "foreground", "control")
    ]
    return work_out(Evaluation(rows), load_reference(), {}, classes)


def test_a_model_that_the_paper_lacks_stands_beside_its_three_networks() -> None:
    others = numbers_of("efficientnet_lite0_imagenet").others
    told = {
        (number.table, number.metric): (number.network, number.value)
        for number in others
        if (number.region, number.network) == ("foreground", "VGG-16 (I)")
    }
    assert told == {
        ("III", "untargeted_success_percent"): ("VGG-16 (I)", 3.81),
        ("III", "untargeted_confidence_percent"): ("VGG-16 (I)", 38.4),
        ("III", "confidence_decrease_top1_success_percent"): ("VGG-16 (I)", 14.45),
        ("III", "confidence_decrease_top3_failure_percent"): ("VGG-16 (I)", 0.37),
        ("III", "confidence_decrease_top5_failure_percent"): ("VGG-16 (I)", 0.15),
        ("III", "original_top1_in_top3_success_percent"): ("VGG-16 (I)", 100.0),
        ("III", "original_top1_in_top5_success_percent"): ("VGG-16 (I)", 100.0),
        ("III", "original_top3_in_top3_failure_percent"): ("VGG-16 (I)", 95.09),
        ("III", "original_top5_in_top5_failure_percent"): ("VGG-16 (I)", 95.48),
        ("IV", "mean_generations_success"): ("VGG-16 (I)", 3.5),
        ("drop", "untargeted1_relative_drop_percent"): ("VGG-16 (I)", 0.0),  # 16 of 420 and 16 of 420
    }
    assert len(others) == 3 * (9 + 1) * 2 + 3  # tables III and IV in two regions, the drop in one; no control
    drops = {number.network: number.value for number in others if number.table == "drop"}
    # 45 of 47 and 13 of 15 images, whole and foreground.
    assert drops["AlexNet"] == pytest.approx(100 * 2 / 47)
    assert drops["ResNet-50"] == pytest.approx(100 * 2 / 15)


def test_none_of_our_numbers_is_judged_by_them() -> None:
    numbers = numbers_of("efficientnet_lite0_imagenet")
    rows = [*numbers.table_3, *numbers.table_4, *numbers.drops]
    assert {(row.paper, row.inside) for row in rows} == {(None, None)}


@pytest.mark.parametrize(
    ("models", "classes"),
    [
        (("alexnet_imagenet",), 1000),
        (("alexnet_imagenet", "efficientnet_lite0_imagenet"), 1000),
        (("mine",), 10),
    ],
)
def test_they_are_not_told_beside_their_like_or_another_data_set(
    models: tuple[str, ...], classes: int
) -> None:
    assert numbers_of(*models, classes=classes).others == []
