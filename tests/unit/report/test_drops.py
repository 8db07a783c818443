from __future__ import annotations

import pytest

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.metrics.regions import targeted_drop, untargeted_drop
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate
from tests.unit.report.made import failed, made


def rows_of(model: str, region: str, successes: int, images: int) -> list[AttackRow]:
    return [
        (made if number < successes else failed)(f"{number:03}", target=model, region=region)
        for number in range(images)
    ]


IMAGENET = {
    "alexnet_imagenet": (47, 45, 29),
    "vgg16_imagenet": (16, 16, 6),
    "resnet50_imagenet": (15, 13, 4),
}
"""Successes in the whole image, foreground and background of 420: the only whole numbers that table III's
percentages can be (11.19, 10.71, 6.90; 3.81, 3.81, 1.43; 3.57, 3.10, 0.95)."""


@pytest.mark.parametrize(("place", "region", "stated"), [(1, "foreground", 5.86), (2, "background", 58.04)])
def test_the_papers_imagenet_averages_come_out_of_its_counts(place: int, region: str, stated: float) -> None:
    rows = []
    for model, counts in IMAGENET.items():
        rows += rows_of(model, "whole", counts[0], 420) + rows_of(model, region, counts[place], 420)
    found = untargeted_drop(Evaluation(rows), region, 1)
    assert found.average.value is not None
    assert round(100 * found.average.value, 2) == stated


def test_a_drop_is_taken_a_model_first_and_averaged_then() -> None:
    rows = rows_of("one", "whole", 10, 20) + rows_of("one", "foreground", 9, 20)
    rows += rows_of("two", "whole", 2, 20) + rows_of("two", "foreground", 1, 20)
    found = untargeted_drop(Evaluation(rows), "foreground", 1)
    assert {model: each.value for model, each in found.by_model.items()} == {
        "one": pytest.approx(0.1),
        "two": pytest.approx(0.5),
    }
    assert found.average.value == pytest.approx(0.3)  # 1 - 10/12 = 0.17 would be the drop of the sums
    assert found.average.n == 20


def test_only_images_attacked_in_both_count() -> None:
    rows = rows_of("net", "whole", 4, 10) + rows_of("net", "background", 2, 10)
    # These fell in the whole image, and their masks were rejected.
    rows += [made(f"x{number}") for number in range(5)]
    rows += [made(f"x{number}", Outcome.NOT_APPLICABLE, region="background") for number in range(5)]
    drop = untargeted_drop(Evaluation(rows), "background", 1).by_model["net"]
    assert (drop.value, drop.n) == (0.5, 10)


def test_a_model_that_never_fell_has_no_drop_and_is_not_averaged() -> None:
    rows = rows_of("firm", "whole", 0, 5) + rows_of("firm", "foreground", 0, 5)
    rows += rows_of("weak", "whole", 4, 5) + rows_of("weak", "foreground", 3, 5)
    found = untargeted_drop(Evaluation(rows), "foreground", 1)
    assert found.by_model["firm"] == Estimate(None, None, None, 5)
    assert found.average.value == pytest.approx(0.25)


def test_no_images_no_drop() -> None:
    nothing = Estimate(None, None, None, 0)
    assert untargeted_drop(Evaluation([]), "foreground", 1).average == nothing
    assert untargeted_drop(Evaluation([made()]), "foreground", 1).average == nothing


def test_with_a_single_success_there_is_no_interval() -> None:
    rows = rows_of("net", "whole", 1, 10) + rows_of("net", "foreground", 1, 10)
    drop = untargeted_drop(Evaluation(rows), "foreground", 1).by_model["net"]
    assert (drop.value, drop.low, drop.high) == (0.0, None, None)


def test_the_interval_is_near_the_textbooks_for_a_paired_ratio() -> None:
    # 200 of 400 fell in the whole image, 150 of these in the background too, no other: the ratio is 0.75.
    # By the delta method for nested successes its logarithm's variance is 1/150 - 1/200 = 1/600, so it is in
    # 0.75 * exp(-+1.96 * 0.040825) = 0.6923 to 0.8125, and the drop in 0.1875 to 0.3077.
    rows = rows_of("net", "whole", 200, 400) + rows_of("net", "background", 150, 400)
    drop = untargeted_drop(Evaluation(rows), "background", 1).by_model["net"]
    assert drop.value == 0.25
    assert drop.low == pytest.approx(0.1875, abs=0.01)
    assert drop.high == pytest.approx(0.3077, abs=0.01)


def test_targeted_drops_are_of_the_images_complete_in_both() -> None:
    def at(image: str, region: str, first: bool, second: bool) -> list[AttackRow]:
        return [
            (made if first else failed)(image, region=region, target_class=1),
            (made if second else failed)(image, region=region, target_class=2),
        ]

    rows = at("a", "whole", True, True) + at("a", "foreground", True, False)
    rows += at("b", "whole", True, True) + at("b", "foreground", True, True)
    rows += at("c", "whole", True, True) + at("c", "foreground", False, False)[:1]  # not complete
    drop = targeted_drop(Evaluation(rows), "foreground", 1, classes=3)
    assert drop.average.value == 0.25  # 4 in the whole images, 3 in their foreground
    assert drop.average.n == 2
