from __future__ import annotations

import pytest

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.metrics.regions import compare_regions, mean_area
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.statistics import Estimate, PairedTest, rate
from tests.unit.report.made import failed, made


def both(image: str, first: bool, second: bool) -> list[AttackRow]:
    """Attacked in the foreground (a quarter) and in the background."""
    return [
        (made if first else failed)(image, region="foreground", region_area_fraction=0.25),
        (made if second else failed)(image, region="background", region_area_fraction=0.75),
    ]


def test_regions_are_compared_on_the_images_attacked_in_both() -> None:
    rows = both("a", True, True) + both("b", False, False)
    rows += [row for number in range(6) for row in both(f"c{number}", True, False)]
    rows += both("d", False, True)
    # Not compared: attacked in one region only, left out of the other, targeted, or with more pixels.
    rows += [
        made("e", region="foreground"),
        made("f", region="foreground"),
        made("f", Outcome.NOT_APPLICABLE, region="background"),
        made("g", region="foreground", target_class=1),
        made("g", region="background", target_class=1),
        made("h", region="foreground", pixels=3),
        made("h", region="background", pixels=3),
    ]
    found = compare_regions(Evaluation(rows), "net", 1, "foreground", "background")
    assert found.first_success == rate(7, 9)
    assert found.second_success == rate(2, 9)
    assert (found.first_area.value, found.second_area.value) == (0.25, 0.75)
    # Six against one: 2 (1 + 7) / 2^7.
    test = found.test
    assert (test.both, test.only_first, test.only_second, test.neither) == (1, 6, 1, 1)
    assert test.p_value == pytest.approx(0.125)


def test_a_control_of_the_foregrounds_size_is_compared_like_any_region() -> None:
    rows = [
        made("a", region="foreground", region_area_fraction=0.3),
        failed("a", region="control", region_area_fraction=0.3),
    ]
    found = compare_regions(Evaluation(rows), "net", 1, "foreground", "control")
    assert found.first_area == found.second_area == Estimate(0.3, None, None, 1)
    assert found.test == PairedTest(0, 1, 0, 0, 1.0)


def test_without_common_images_the_comparison_is_empty() -> None:
    found = compare_regions(
        Evaluation([made("a", region="foreground")]), "net", 1, "foreground", "background"
    )
    assert found.test == PairedTest(0, 0, 0, 0, None)
    assert found.first_success.value is None
    assert found.first_area.value is None


def test_the_mean_area_counts_each_attacked_image_once() -> None:
    rows = [
        made("a", region="foreground", region_area_fraction=0.2),
        made("a", region="foreground", region_area_fraction=0.2, target="other"),
        failed("a", region="foreground", region_area_fraction=0.2, pixels=3),
        failed("b", region="foreground", region_area_fraction=0.4),
        made("c", Outcome.NOT_APPLICABLE, region="foreground", region_area_fraction=0.0),
    ]
    found = mean_area(Evaluation(rows), "foreground")
    assert found.value == pytest.approx(0.3)
    assert found.n == 2
    assert mean_area(Evaluation(rows), "background") == Estimate(None, None, None, 0)
