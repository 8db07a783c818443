"""Every field is checked, and the error names its path."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.images import mask_to_array
from pixelprobe_services.segmentation import convert
from pixelprobe_services.segmentation.base import (
    GrabCutOptions,
    Rectangle,
    SalientOptions,
    Segmentation,
    Stroke,
)

WIDTH, HEIGHT = 20, 10
FOREGROUND = pb.STROKE_KIND_FOREGROUND


def options(**fields: Any) -> Any:
    return convert.to_options(pb.SegmentRequest(**fields), WIDTH, HEIGHT)


def grabcut(**fields: Any) -> Any:
    return options(grabcut=pb.GrabCutOptions(**fields))


def stroke(*points: tuple[int, int], kind: pb.StrokeKind.ValueType = FOREGROUND, width: int = 0) -> pb.Stroke:
    return pb.Stroke(kind=kind, points=[pb.Point(x=x, y=y) for x, y in points], width=width)


def test_no_options_are_none() -> None:
    assert options() is None


def test_unset_values_are_the_defaults() -> None:
    assert grabcut() == GrabCutOptions(None, (), 4)
    assert options(salient=pb.SalientOptions()) == SalientOptions(0.5)


def test_everything_given_arrives() -> None:
    got = grabcut(
        rectangle=pb.Rectangle(left=0, top=0, right=WIDTH, bottom=HEIGHT),
        strokes=[
            stroke((0, 0), (19, 9), width=64),
            stroke((3, 4), kind=pb.STROKE_KIND_BACKGROUND),
        ],
        iterations=50,
    )
    assert got == GrabCutOptions(
        Rectangle(0, 0, WIDTH, HEIGHT),
        (Stroke(True, ((0, 0), (19, 9)), 64), Stroke(False, ((3, 4),), 1)),
        50,
    )
    assert options(salient=pb.SalientOptions(threshold=0.25)) == SalientOptions(0.25)


@pytest.mark.parametrize(
    ("sides", "field"),
    [
        ((-1, 0, 5, 5), "left"),
        ((20, 0, 21, 5), "left"),
        ((0, -1, 5, 5), "top"),
        ((0, 10, 5, 11), "top"),
        ((5, 0, 5, 5), "right"),
        ((5, 0, 4, 5), "right"),
        ((0, 0, 21, 5), "right"),
        ((0, 5, 5, 5), "bottom"),
        ((0, 0, 5, 11), "bottom"),
        ((0, 0, 0, 0), "right"),
    ],
)
def test_rectangles_outside_the_image_or_empty_are_refused(
    sides: tuple[int, int, int, int], field: str
) -> None:
    left, top, right, bottom = sides
    with pytest.raises(InvalidArgumentError) as caught:
        grabcut(rectangle=pb.Rectangle(left=left, top=top, right=right, bottom=bottom))
    assert caught.value.field == f"grabcut.rectangle.{field}"


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (stroke((1, 1), kind=pb.STROKE_KIND_UNSPECIFIED), "kind"),
        (stroke((1, 1), kind=7), "kind"),  # type: ignore[arg-type]
        (stroke((1, 1), width=65), "width"),
        (stroke(), "points"),
        (stroke((1, 1), (20, 1)), "points[1].x"),
        (stroke((-1, 1)), "points[0].x"),
        (stroke((1, 1), (1, 1), (1, 10)), "points[2].y"),
        (stroke((1, -2147483648)), "points[0].y"),
    ],
)
def test_bad_strokes_are_refused_by_number(bad: pb.Stroke, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        grabcut(strokes=[stroke((1, 1)), bad])
    assert caught.value.field == f"grabcut.strokes[1].{field}"


def test_iterations_are_bounded() -> None:
    with pytest.raises(InvalidArgumentError, match=r"grabcut\.iterations: 51 is not in 1 to 50"):
        grabcut(iterations=51)


def test_strokes_and_points_are_bounded() -> None:
    with pytest.raises(InvalidArgumentError, match="1001 strokes are more than 1000"):
        grabcut(strokes=[stroke((1, 1))] * 1001)
    with pytest.raises(InvalidArgumentError, match="100001 points are more than 100000"):
        grabcut(strokes=[stroke((1, 1)), stroke(*[(1, 1)] * 100_000)])


@pytest.mark.parametrize("threshold", [-0.1, 1.0, 2.0, float("nan"), float("inf")])
def test_thresholds_outside_0_and_1_are_refused(threshold: float) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        options(salient=pb.SalientOptions(threshold=threshold))
    assert caught.value.field == "salient.threshold"


@pytest.mark.parametrize("reason", ["", "look at it"])
def test_the_answer_tells_all(reason: str) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[2:4, 5:10] = True
    response = convert.to_segment_response(Segmentation(mask, 0.05, reason, "grabcut"))
    np.testing.assert_array_equal(mask_to_array(response.mask), mask)
    assert response.area_fraction == 0.05
    assert (response.needs_review, response.review_reason) == (bool(reason), reason)
    assert response.segmenter == "grabcut"
