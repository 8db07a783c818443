"""Images and masks in a target's size: the geometry of each way, for all shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from pixelprobe.inputs.sizing import (
    Sizing,
    SizingError,
    covering_size,
    describe_sizing,
    resize_image,
    resize_mask,
)

SIDES = st.integers(1, 40)
OTHERS = [Sizing.STRETCH, Sizing.SHORT_SIDE]


def colour_ramp(width: int, height: int) -> np.ndarray:
    """Red grows to the right and green downwards, so that a pixel tells where it was."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.zeros_like(x)], axis=2).round().astype(np.uint8)


def test_shrinking_averages_areas() -> None:
    blocks = np.kron(np.array([[10, 30]]), np.ones((2, 2), dtype=int))[:, :, None]
    pixels = np.broadcast_to(blocks, (2, 4, 3)).astype(np.uint8)
    assert resize_image(pixels, 2, 1)[:, :, 0].tolist() == [[10, 30]]


def test_resizing_crops_around_the_centre_and_keeps_proportions() -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, 2:6] = 200  # only the middle square survives
    assert (resize_image(pixels, 2, 2) == 200).all()
    assert resize_mask(pixels[:, :, 0] > 0, 2, 2).all()
    assert resize_image(pixels, 32, 32).shape == (32, 32, 3)


def test_stretching_keeps_every_corner() -> None:
    pixels = colour_ramp(400, 100)
    stretched = resize_image(pixels, 50, 50, Sizing.STRETCH)
    np.testing.assert_allclose(stretched.astype(int), colour_ramp(50, 50).astype(int), atol=3)
    mask = np.zeros((100, 400), np.bool_)
    mask[:, :200] = True
    expected = np.zeros((50, 50), np.bool_)
    expected[:, :25] = True
    np.testing.assert_array_equal(resize_mask(mask, 50, 50, Sizing.STRETCH), expected)


@pytest.mark.parametrize(
    ("size", "resized", "corner"),
    [
        ((500, 375), (341, 256), (58, 16)),  # 58.5 goes to the even one
        ((375, 500), (256, 341), (16, 58)),
        ((256, 256), (256, 256), (16, 16)),
        ((300, 256), (300, 256), (38, 16)),
        ((640, 100), (1638, 256), (707, 16)),
        ((1, 2), (256, 512), (16, 144)),
    ],
)
def test_the_short_side_goes_to_256_and_the_centre_is_224(
    size: tuple[int, int], resized: tuple[int, int], corner: tuple[int, int]
) -> None:
    """torchvision's rule: the longer side rounded down, the corner rounded to the nearest."""
    pixels = colour_ramp(*size)
    whole = np.asarray(Image.fromarray(pixels).resize(resized, Image.Resampling.BILINEAR))
    left, top = corner
    np.testing.assert_array_equal(
        resize_image(pixels, 224, 224, Sizing.SHORT_SIDE), whole[top : top + 224, left : left + 224]
    )


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(Sizing), st.integers(0, 2**32 - 1))
def test_any_shape_becomes_any_other(
    old_width: int, old_height: int, width: int, height: int, how: Sizing, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (old_height, old_width, 3), dtype=np.uint8)
    sized = resize_image(pixels, width, height, how)
    assert sized.shape == (height, width, 3)
    assert sized.dtype == np.uint8
    mask = resize_mask(pixels[..., 0] > 127, width, height, how)
    assert mask.shape == (height, width)
    assert mask.dtype == np.bool_
    for value in (0, 77, 255):
        flat = np.full_like(pixels, value)
        assert (resize_image(flat, width, height, how) == value).all()
    assert resize_mask(np.ones((old_height, old_width), np.bool_), width, height, how).all()
    assert not resize_mask(np.zeros((old_height, old_width), np.bool_), width, height, how).any()


@given(
    st.integers(100, 300),
    st.integers(100, 300),
    st.integers(20, 60),
    st.integers(20, 60),
    st.sampled_from(Sizing),
    st.integers(0, 3),
)
@example(100, 100, 20, 22, Sizing.CROP, 0)  # 100 - 22 * (100 / 22) is below 0
def test_a_mask_stays_on_its_object(
    old_width: int, old_height: int, width: int, height: int, how: Sizing, quarter: int
) -> None:
    """A white quarter of the image and its mask land on the same pixels, but for the blurred edge."""
    mask = np.zeros((old_height, old_width), np.bool_)
    rows = slice(0, old_height // 2) if quarter < 2 else slice(old_height // 2, None)
    columns = slice(0, old_width // 2) if quarter % 2 else slice(old_width // 2, None)
    mask[rows, columns] = True
    image = np.where(mask[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    white = resize_image(image, width, height, how)[..., 0]
    sized = resize_mask(mask, width, height, how)
    assert sized[white > 220].all()
    assert not sized[white < 35].any()


@given(SIDES, SIDES, st.sampled_from(OTHERS))
def test_turning_a_image_over_turns_its_result_over(width: int, height: int, how: Sizing) -> None:
    pixels = np.random.default_rng(width * 41 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    turned = resize_image(pixels.transpose(1, 0, 2), 28, 28, how).transpose(1, 0, 2)
    # Pillow resamples the rows first and rounds between.
    np.testing.assert_allclose(turned.astype(int), resize_image(pixels, 28, 28, how).astype(int), atol=1)


def test_what_the_short_side_covers() -> None:
    assert covering_size(224, 224) == (256, 256)
    assert covering_size(32, 32) == (37, 37)  # 36.6
    assert covering_size(448, 224) == (512, 256)


def test_a_strip_is_refused_before_it_is_made() -> None:
    strip = np.zeros((1, 5000, 3), np.uint8)
    for size in (strip, strip.transpose(1, 0, 2)):
        with pytest.raises(SizingError, match=r"too narrow for short-side-256: .* over 50 megapixels"):
            resize_image(size, 224, 224, Sizing.SHORT_SIDE)
        with pytest.raises(SizingError, match="too narrow"):
            resize_mask(size[..., 0] > 0, 224, 224, Sizing.SHORT_SIDE)
    assert resize_image(strip, 224, 224, Sizing.STRETCH).shape == (224, 224, 3)
    assert resize_image(strip, 224, 224, Sizing.CROP).shape == (224, 224, 3)


def test_each_way_has_words_of_its_own() -> None:
    told = {describe_sizing(how, 224, 224) for how in (None, *Sizing)}
    assert len(told) == 1 + len(Sizing)
    assert describe_sizing(None, 32, 32) == "as they are"
    assert describe_sizing(Sizing.STRETCH, 224, 224).startswith("as they are where 224 x 224, else stretched")
    assert "the shorter side to 256" in describe_sizing(Sizing.SHORT_SIDE, 224, 224)
    assert "the shorter side to 37" in describe_sizing(Sizing.SHORT_SIDE, 32, 40)
