"""The paper's numbers as shipped, and that our definition of the drop gives the averages it states."""

from __future__ import annotations

import pytest

from pixelprobe.report.reference import load_reference, parse_reference

CIFAR = ("allconv_cifar10", "nin_cifar10", "vgg16_cifar10")
IMAGENET = ("alexnet_imagenet", "resnet50_imagenet", "vgg16_imagenet")


@pytest.mark.parametrize(
    ("table", "model", "metric", "region", "pixels", "value"),
    [
        ("I", "nin_cifar10", "top1_accuracy_percent", "", None, 86.55),
        ("II", "allconv_cifar10", "untargeted1_success_percent", "whole", 1, 12.8),
        ("II", "vgg16_cifar10", "targeted_confidence_percent", "background", 5, 59.26),
        ("III", "alexnet_imagenet", "original_top1_in_top3_success_percent", "foreground", 1, 97.78),
        ("IV", "resnet50_imagenet", "mean_generations_success", "background", 1, 1.2),
    ],
)
def test_numbers_are_found_where_they_stand_in_the_paper(
    table: str, model: str, metric: str, region: str, pixels: int | None, value: float
) -> None:
    assert load_reference().value(table, model, metric, region, pixels) == value


def test_all_of_the_four_tables_is_there() -> None:
    # I: 3 + 2 * 3. II: 3 models x 5 metrics x 3 regions x 3 pixel counts. III: 3 x 9 x 3. IV: 6 x 3.
    assert len(load_reference()) == 9 + 135 + 81 + 18


def test_what_the_paper_lacks_is_none() -> None:
    reference = load_reference()
    assert reference.value("II", "net", "untargeted1_success_percent", "whole", 1) is None
    assert reference.value("II", "nin_cifar10", "untargeted1_success_percent", "control", 1) is None
    assert reference.relative_drop("II", ("net",), "untargeted1_success_percent", "foreground", 1) is None
    assert reference.relative_drop("II", (), "untargeted1_success_percent", "foreground", 1) is None


@pytest.mark.parametrize(
    ("metric", "region", "stated"),
    [
        ("untargeted1_success_percent", "foreground", 6.84),
        ("untargeted1_success_percent", "background", 54.32),
        ("targeted_success_percent", "foreground", 2.86),
        ("targeted_success_percent", "background", 51.56),
    ],
)
def test_the_mean_of_the_models_drops_is_what_the_paper_states(
    metric: str, region: str, stated: float
) -> None:
    drop = load_reference().relative_drop("II", CIFAR, metric, region, 1)
    assert drop is not None
    assert round(drop, 2) == stated


@pytest.mark.parametrize(("region", "stated"), [("foreground", 5.86), ("background", 58.04)])
def test_on_imagenet_it_is_so_up_to_the_tables_rounding(region: str, stated: float) -> None:
    drop = load_reference().relative_drop("III", IMAGENET, "untargeted_success_percent", region, 1)
    assert drop == pytest.approx(stated, abs=0.05)


@pytest.mark.parametrize(("region", "stated"), [("foreground", 5.86), ("background", 58.04)])
def test_on_imagenet_it_is_so_exactly_for_whole_images(region: str, stated: float) -> None:
    drop = load_reference().relative_drop("III", IMAGENET, "untargeted_success_percent", region, 1, 420)
    assert drop is not None
    assert round(drop, 2) == stated


def test_other_definitions_of_the_average_are_not_the_papers() -> None:
    reference = load_reference()

    def rates(region: str) -> list[float]:
        found = [reference.value("II", m, "untargeted1_success_percent", region, 1) for m in CIFAR]
        return [value for value in found if value is not None]

    whole, foreground = sum(rates("whole")), sum(rates("foreground"))
    assert round(100 * (1 - foreground / whole), 2) == 5.96  # of the mean rates
    assert round((whole - foreground) / 3, 2) == 1.53  # in percent points


def test_a_reference_is_read_from_csv() -> None:
    lines = ["table,model,metric,region,pixels,value", "I,net,top1_accuracy_percent,,,85.7"]
    assert parse_reference(lines).value("I", "net", "top1_accuracy_percent") == 85.7
