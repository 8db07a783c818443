"""Images and masks survive the wire, and whatever does not fit is refused by field."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pixelprobe_api.image.v1.image_pb2 import Image, Mask
from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.images import (
    MAX_SIDE,
    from_array,
    mask_from_array,
    mask_to_array,
    to_array,
)

SIDES = st.integers(min_value=1, max_value=40)


@given(
    pixels=st.tuples(SIDES, SIDES).flatmap(lambda shape: arrays(np.uint8, (*shape, 3))),
)
def test_a_image_comes_back_as_it_went(pixels: np.ndarray) -> None:
    image = from_array(pixels)
    assert (image.height, image.width) == pixels.shape[:2]
    np.testing.assert_array_equal(to_array(image), pixels)


@given(foreground=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_mask_comes_back_as_it_went(foreground: np.ndarray) -> None:
    mask = mask_from_array(foreground)
    assert len(mask.bits) == (foreground.size + 7) // 8
    back = mask_to_array(mask)
    assert back.dtype == np.bool_
    np.testing.assert_array_equal(back, foreground)


def test_the_wire_is_row_by_row_red_first() -> None:
    image = Image(width=2, height=1, rgb=bytes([255, 0, 0, 0, 0, 7]))
    assert to_array(image).tolist() == [[[255, 0, 0], [0, 0, 7]]]


def test_mask_bits_run_most_significant_first_over_row_ends() -> None:
    mask = Mask(width=3, height=3, bits=bytes([0b10100000, 0b10000000]))
    expected = [[True, False, True], [False, False, False], [False, False, True]]
    assert mask_to_array(mask).tolist() == expected
    assert mask_from_array(np.array(expected)) == mask


def test_what_is_not_contiguous_is_sent_in_image_order() -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[::2, ::-1]
    np.testing.assert_array_equal(to_array(from_array(pixels)), pixels)


@pytest.mark.parametrize(
    ("image", "field"),
    [
        (Image(width=0, height=1), "image.width"),
        (Image(width=1, height=0), "image.height"),
        (Image(width=MAX_SIDE + 1, height=1), "image.width"),
        (Image(width=1, height=MAX_SIDE + 1), "image.height"),
        (Image(width=2**32 - 1, height=2**32 - 1), "image.width"),
        (Image(width=2, height=2, rgb=bytes(11)), "image.rgb"),
        (Image(width=2, height=2, rgb=bytes(13)), "image.rgb"),
        (Image(width=2, height=2), "image.rgb"),
        (Image(), "image.width"),
    ],
)
def test_a_image_that_does_not_fit_is_refused(image: Image, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        to_array(image)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("mask", "field"),
    [
        (Mask(width=0, height=1), "spec.masks[3].width"),
        (Mask(width=1, height=MAX_SIDE + 1), "spec.masks[3].height"),
        (Mask(width=3, height=3, bits=bytes(1)), "spec.masks[3].bits"),
        (Mask(width=3, height=3, bits=bytes(3)), "spec.masks[3].bits"),
    ],
)
def test_the_error_names_the_field_that_the_caller_named(mask: Mask, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        mask_to_array(mask, field="spec.masks[3]")
    assert caught.value.field == field


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros((2, 2, 3), np.float32),
        np.zeros((0, 2, 3), np.uint8),
        np.zeros((1, MAX_SIDE + 1, 3), np.uint8),
    ],
)
def test_arrays_of_another_kind_are_no_images(pixels: np.ndarray) -> None:
    with pytest.raises(InvalidArgumentError):
        from_array(pixels)


@pytest.mark.parametrize(
    "foreground", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 1), np.bool_), np.zeros((2, 0), np.bool_)]
)
def test_arrays_of_another_kind_are_no_masks(foreground: np.ndarray) -> None:
    with pytest.raises(InvalidArgumentError):
        mask_from_array(foreground)


def test_the_largest_image_is_taken() -> None:
    pixels = np.zeros((MAX_SIDE, MAX_SIDE, 3), np.uint8)
    assert to_array(from_array(pixels)).shape == pixels.shape
