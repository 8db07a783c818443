"""GrabCut finds the object by itself, does as a person says, and never breaks on odd input."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.segmentation.base import GrabCutOptions, Rectangle, SegmentationStoppedError, Stroke
from pixelprobe_services.segmentation.grabcut import (
    WORKING_LONG_SIDE,
    WORKING_SHORT_SIDE,
    GrabCut,
    working_scale,
)
from pixelprobe_services.segmentation.review import review_reason
from pixelprobe_services.segmentation.seeding import seeds
from tests.unit.segmentation.images import disk, overlap, real


def cut(image: np.ndarray, options: GrabCutOptions | None = None) -> np.ndarray:
    mask = GrabCut().segment(image, options, threading.Event()).mask
    assert mask.dtype == np.bool_
    assert mask.shape == image.shape[:2]
    return mask


@pytest.mark.parametrize("shape", [(32, 32), (24, 40), (64, 64), (224, 224), (600, 400), (128, 200)])
def test_an_object_in_the_middle_is_found_at_any_size(shape: tuple[int, int]) -> None:
    image, truth = disk(*shape)
    assert overlap(cut(image), truth) > 0.85


@pytest.mark.parametrize("centre", [(0.5, 0.5), (0.4, 0.55), (0.6, 0.45)])
def test_the_object_need_not_be_centred_exactly(centre: tuple[float, float]) -> None:
    image, truth = disk(32, 32, centre)
    assert overlap(cut(image), truth) > 0.85


def test_real_images_of_32_pixels_get_a_foreground_to_work_with() -> None:
    areas = {name: float(cut(image).mean()) for name, image in real().items()}
    assert len(areas) == 12
    assert {name: review_reason(area) for name, area in areas.items() if review_reason(area)} == {}
    # 28% on average in a first trial on 30 images.
    assert 0.2 < np.mean(list(areas.values())) < 0.36


def test_the_white_around_a_real_aeroplane_is_background() -> None:
    image = real()["00_airplane_000094.png"]
    mask = cut(image)
    white = (image > 245).all(axis=2)
    assert mask[white].mean() < 0.05
    assert mask[~white].mean() > 0.6


def test_a_rectangle_finds_what_lies_aside_and_nothing_outside() -> None:
    image, truth = disk(32, 32, centre=(0.25, 0.25), radius=0.18)
    assert overlap(cut(image), truth) < 0.7
    mask = cut(image, GrabCutOptions(rectangle=Rectangle(1, 1, 16, 16)))
    assert overlap(mask, truth) > 0.85
    assert not mask[16:].any()
    assert not mask[:, 16:].any()


def test_strokes_find_what_lies_aside() -> None:
    image, truth = disk(32, 32, centre=(0.2, 0.75), radius=0.18)
    strokes = (Stroke(True, ((4, 24), (8, 24))), Stroke(False, ((16, 16), (28, 4))))
    assert overlap(cut(image, GrabCutOptions(strokes=strokes)), truth) > 0.85


@pytest.mark.parametrize("rectangle", [None, Rectangle(8, 8, 24, 24)])
def test_strokes_win_over_everything(rectangle: Rectangle | None) -> None:
    image, _ = disk(32, 32)
    foreground, background = Stroke(True, ((1, 0), (1, 31))), Stroke(False, ((16, 0), (16, 31)))
    mask = cut(image, GrabCutOptions(rectangle=rectangle, strokes=(foreground, background)))
    assert mask[:, 1].all()
    assert not mask[:, 16].any()


def test_later_strokes_win_over_earlier_ones() -> None:
    image, _ = disk(32, 32)
    line = ((16, 10), (16, 20))
    mask = cut(image, GrabCutOptions(strokes=(Stroke(True, line), Stroke(False, line))))
    assert not mask[10:21, 16].any()
    mask = cut(image, GrabCutOptions(strokes=(Stroke(False, line), Stroke(True, line))))
    assert mask[10:21, 16].all()


def test_strokes_hold_on_images_that_are_reduced_for_work() -> None:
    image, _ = disk(600, 800)
    strokes = (Stroke(True, ((5, 5), (700, 5))), Stroke(False, ((400, 200), (400, 400))))
    mask = cut(image, GrabCutOptions(strokes=strokes))
    assert mask[5, 5:701].all()
    assert not mask[200:401, 400].any()


@pytest.mark.parametrize("colour", [0, 127, 255])
def test_one_colour_has_no_foreground_but_strokes(colour: int) -> None:
    image = np.full((32, 32, 3), colour, np.uint8)
    assert not cut(image).any()
    mask = cut(image, GrabCutOptions(strokes=(Stroke(True, ((3, 4),)),)))
    assert np.argwhere(mask).tolist() == [[4, 3]]


def test_background_all_over_leaves_an_empty_mask() -> None:
    image, _ = disk(32, 32)
    everything = Stroke(False, ((0, 16), (31, 16)), width=64)
    mask = cut(image, GrabCutOptions(strokes=(everything,)))
    assert not mask.any()
    assert review_reason(float(mask.mean())) == "no foreground was found"


def test_foreground_all_over_leaves_a_full_mask() -> None:
    image, _ = disk(32, 32)
    mask = cut(image, GrabCutOptions(strokes=(Stroke(True, ((0, 16), (31, 16)), width=64),)))
    assert mask.all()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_is_allowed_gives_a_mask(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    levels = data.draw(st.sampled_from([2, 3, 256]))
    image = np.random.default_rng(data.draw(st.integers(0, 9))).integers(
        0, levels, (height, width, 3), dtype=np.uint8
    )
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    point = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    stroke = st.builds(
        Stroke,
        foreground=st.booleans(),
        points=st.lists(point, min_size=1, max_size=4).map(tuple),
        width=st.integers(1, 64),
    )
    options = GrabCutOptions(
        rectangle=data.draw(st.sampled_from([None, Rectangle(left, top, right, bottom)])),
        strokes=tuple(data.draw(st.lists(stroke, max_size=3))),
        iterations=data.draw(st.integers(1, 2)),
    )
    mask = cut(image, options)
    np.testing.assert_array_equal(mask, cut(image, options))


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 4096), (4096, 1), (3, 3)])
def test_the_smallest_and_the_thinnest_images_pass(shape: tuple[int, int]) -> None:
    cut(np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8))


def test_many_threads_give_the_masks_of_one() -> None:
    # k-means draws random numbers; without a seed of its own each call would depend on those before.
    images = [*real().values(), disk(48, 48)[0]]
    alone = [cut(image) for image in images]
    order = list(range(len(images))) * 4
    random.Random(1).shuffle(order)
    cv2.setRNGSeed(12345)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda number: cut(images[number]), order))
    for number, mask in zip(order, together, strict=True):
        np.testing.assert_array_equal(mask, alone[number])


def test_iterations_one_by_one_are_the_iterations_of_one_call() -> None:
    image, _ = disk(WORKING_SHORT_SIDE, WORKING_SHORT_SIDE)
    classes = seeds(WORKING_SHORT_SIDE, WORKING_SHORT_SIDE, GrabCutOptions(), 1.0)
    cv2.setRNGSeed(1)
    cv2.grabCut(image, classes, (0, 0, 0, 0), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    np.testing.assert_array_equal(cut(image), np.isin(classes, (cv2.GC_FGD, cv2.GC_PR_FGD)))


def test_work_that_nobody_waits_for_stops() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(SegmentationStoppedError):
        GrabCut().segment(disk(32, 32)[0], None, stop)


def test_a_refusal_by_opencv_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        cv2.resize(np.zeros((2, 2), np.uint8), (0, 0))

    monkeypatch.setattr(cv2, "grabCut", refuse)
    with pytest.raises(ServiceError) as caught:
        cut(disk(32, 32)[0])
    assert caught.value.reason == "SEGMENTATION_FAILED"
    assert "\n" not in caught.value.message


def test_the_image_that_came_is_left_alone() -> None:
    image, _ = disk(128, 128)
    before = image.copy()
    image.flags.writeable = False
    cut(image)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("shape", "scale"),
    [((32, 32), 4.0), ((128, 200), 1.0), ((512, 256), 0.5), ((1, 4096), 1 / 16), ((32, 128), 2.0)],
)
def test_the_working_scale(shape: tuple[int, int], scale: float) -> None:
    assert working_scale(*shape) == scale
    assert max(shape) * scale <= WORKING_LONG_SIDE
