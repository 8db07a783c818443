from __future__ import annotations

import pytest

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.classes import class_pairs, classes_reached
from pixelprobe.report.metrics.success import targeted_images
from pixelprobe.report.statistics import Estimate, rate
from pixelprobe_services.common.errors import InvalidArgumentError
from tests.unit.report.made import failed, made, scores, targeted

WIN, LOSS = Outcome.SUCCESS, Outcome.FAILURE


def test_figure_3_counts_images_by_classes_reached() -> None:
    reached = {"a": (1, 2), "b": (), "c": (3,), "d": ()}
    rows = [
        targeted(image, goal, WIN if goal in goals else LOSS)
        for image, goals in reached.items()
        for goal in (1, 2, 3)
    ]
    images = targeted_images(rows, classes=4).complete
    assert classes_reached(images, classes=4) == [rate(2, 4), rate(1, 4), rate(1, 4), rate(0, 4)]


def test_figure_3_without_images_has_no_shares() -> None:
    assert classes_reached([], classes=2) == [Estimate(None, None, None, 0, 0)] * 2


def test_figures_4_and_5_count_successes_from_class_to_class() -> None:
    rows = [
        made("a"),
        made("b"),
        made("c", clean_top=scores((2, 0.9)), best_top=scores((0, 0.6), (2, 0.4))),
        failed("d"),
        targeted("e", 2, WIN),
    ]
    assert class_pairs(rows, classes=3) == ((0, 2, 1), (0, 0, 0), (1, 0, 0))


def test_a_class_beyond_those_named_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="class 5, beyond 3 classes"):
        class_pairs([made(best_top=scores((5, 0.6)))], classes=3)
