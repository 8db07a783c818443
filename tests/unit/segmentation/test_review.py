"""Which masks a person should look at."""

from __future__ import annotations

import pytest

from pixelprobe_services.segmentation.review import review_reason


@pytest.mark.parametrize("area", [0.02, 0.5, 0.9])
def test_masks_within_the_bounds_are_accepted(area: float) -> None:
    assert review_reason(area) == ""


@pytest.mark.parametrize(
    ("area", "words"),
    [
        (0.0, "no foreground was found"),
        (1.0, "no background was found"),
        (0.0199, "only 1.99% of the image (below 2%)"),
        (0.9001, "90.01% of the image (above 90%)"),
    ],
)
def test_others_say_why_not(area: float, words: str) -> None:
    assert words in review_reason(area)
