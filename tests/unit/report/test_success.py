"""Table II by hand; three classes, so that an image of class 0 has two others to be brought to."""

from __future__ import annotations

import pytest

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.success import (
    any_target_rate,
    confidence,
    success_rate,
    targeted_confidence,
    targeted_images,
    targeted_rate,
)
from pixelprobe.report.statistics import Estimate, rate
from tests.unit.report.made import failed, made, of_500, scores, targeted

WIN, LOSS = Outcome.SUCCESS, Outcome.FAILURE
TARGETED = [
    targeted("a", 1, WIN, 0.5),
    targeted("a", 2, WIN, 0.75),
    targeted("b", 1, LOSS),
    targeted("b", 2, WIN, 0.625),
    targeted("c", 1, LOSS),
    targeted("c", 2, Outcome.BUDGET_EXHAUSTED),
]


def test_untargeted1_is_successes_over_images_attacked_and_a_spent_budget_is_a_failure() -> None:
    rows = [made("a"), failed("b"), made("c", Outcome.BUDGET_EXHAUSTED), failed("d")]
    assert success_rate(rows) == rate(1, 4)


@pytest.mark.parametrize(("successes", "percent"), [(64, 12.80), (59, 11.80), (31, 6.20)])
def test_the_papers_allconv_rates_are_whole_images_of_500(successes: int, percent: float) -> None:
    value = success_rate(of_500(successes, "net")).value
    assert value is not None
    assert 100 * value == pytest.approx(percent, abs=1e-9)


def test_confidence_is_the_mean_probability_of_the_predicted_class_over_successes_only() -> None:
    rows = [
        made("a", best_top=scores((1, 0.5), (0, 0.4))),
        made("b", best_top=scores((2, 0.75), (0, 0.2))),
        failed("c", best_top=scores((0, 0.99))),
    ]
    found = confidence(rows)
    assert (found.value, found.n) == (0.625, 2)
    assert found.low == 0.0  # 0.625 - 12.7 * 0.125 and more, cut at the possible
    assert found.high == 1.0


def test_without_successes_there_is_no_confidence() -> None:
    assert confidence([failed("a"), failed("b")]) == Estimate(None, None, None, 0)
    assert confidence([]) == Estimate(None, None, None, 0)


def test_untargeted2_is_the_share_of_images_brought_to_any_class() -> None:
    images = targeted_images(TARGETED, classes=3).complete
    assert any_target_rate(images) == rate(2, 3)


def test_targeted_is_successes_over_all_other_classes_of_all_images() -> None:
    found = targeted_rate(targeted_images(TARGETED, classes=3).complete)
    assert (found.value, found.successes, found.n) == (0.5, 3, 6)


def test_confidence_t_is_over_the_targeted_successes() -> None:
    # 0.5 and 0.75 of image a, 0.625 of b.
    found = targeted_confidence(targeted_images(TARGETED, classes=3).complete)
    assert (found.value, found.n) == (0.625, 3)
    # Residuals of the images' sums: 1.25 - 2 * 0.625 and 0.625 - 0.625, both 0: images do not differ.
    assert found.low == found.high == 0.625


def test_a_image_of_which_not_all_targets_were_attacked_is_left_out_and_counted() -> None:
    rows = [*TARGETED, targeted("d", 1, WIN)]
    found = targeted_images(rows, classes=3)
    assert [image.image_digest for image in found.complete] == ["a", "b", "c"]
    assert found.incomplete == 1
    assert any_target_rate(found.complete) == rate(2, 3)


def test_ten_classes_make_nine_attacks_a_image() -> None:
    rows = [targeted("a", goal, WIN if goal <= 4 else LOSS) for goal in range(1, 10)]
    rows += [targeted("b", goal, LOSS) for goal in range(1, 10)]
    images = targeted_images(rows, classes=10).complete
    found = targeted_rate(images)
    assert (found.successes, found.n) == (4, 18)
    assert any_target_rate(images) == rate(1, 2)


def test_without_attacks_nothing_is_claimed() -> None:
    empty = targeted_images([], classes=10)
    assert (list(empty.complete), empty.incomplete) == ([], 0)
    for estimate in (success_rate([]), any_target_rate([]), targeted_rate([])):
        assert estimate == Estimate(None, None, None, 0, 0)
