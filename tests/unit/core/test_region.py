from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelprobe_services.common.values import InvalidSpecError, MaskArray, Pixels, Region
from pixelprobe_services.orchestrator.core.region import RegionMap
from tests.unit.core.strategies import images, masks_of

masks = images().flatmap(masks_of)


def region_map(region: Region, mask: MaskArray | None) -> RegionMap:
    height, width = (4, 6) if mask is None else mask.shape
    return RegionMap.from_mask(region, mask, height, width)


@given(masks)
def test_foreground_and_background_are_disjoint_and_together_whole(mask: MaskArray) -> None:
    foreground = region_map(Region.FOREGROUND, mask)
    background = region_map(Region.BACKGROUND, mask)
    whole = region_map(Region.WHOLE, mask)
    assert not (foreground.allowed & background.allowed).any()
    np.testing.assert_array_equal(foreground.allowed | background.allowed, whole.allowed)
    np.testing.assert_array_equal(foreground.allowed, mask)
    assert whole.allowed.all()
    assert foreground.area_fraction + background.area_fraction == pytest.approx(whole.area_fraction)
    assert whole.area_fraction == 1.0
    assert foreground.is_empty == (foreground.area_fraction == 0.0)


@given(masks, st.sampled_from([Region.FOREGROUND, Region.BACKGROUND]))
@settings(deadline=None)
def test_the_nearest_pixel_is_inside_and_none_is_nearer(mask: MaskArray, region: Region) -> None:
    places = region_map(region, mask)
    height, width = mask.shape
    y, x = np.mgrid[:height, :width]
    if places.is_empty:
        with pytest.raises(ValueError, match="empty"):
            places.nearest(x, y)
        return
    found_x, found_y = places.nearest(x, y)
    assert found_x.shape == found_y.shape == mask.shape
    assert places.contains(found_x, found_y).all()
    allowed_y, allowed_x = np.nonzero(places.allowed)
    squared = (x[..., None] - allowed_x) ** 2 + (y[..., None] - allowed_y) ** 2
    np.testing.assert_array_equal((x - found_x) ** 2 + (y - found_y) ** 2, squared.min(axis=-1))
    again_x, again_y = region_map(region, mask).nearest(x, y)
    np.testing.assert_array_equal(found_x, again_x)
    np.testing.assert_array_equal(found_y, again_y)


def test_contains_takes_columns_first() -> None:
    mask = np.zeros((2, 3), dtype=np.bool_)
    mask[1, 2] = True
    places = region_map(Region.FOREGROUND, mask)
    assert places.contains(np.array([2]), np.array([1])).tolist() == [True]
    assert places.contains(np.array([1, 0]), np.array([1, 0])).tolist() == [False, False]
    assert [int(found[0]) for found in places.nearest(np.array([0]), np.array([0]))] == [2, 1]


def test_the_whole_image_needs_no_mask() -> None:
    places = region_map(Region.WHOLE, None)
    assert places.allowed.shape == (4, 6)
    assert places.allowed.all()
    assert not places.is_empty


@pytest.mark.parametrize("region", [Region.FOREGROUND, Region.BACKGROUND])
@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (None, "needs a mask"),
        (np.ones((4, 5), dtype=np.bool_), "5 x 4 pixels, the image 6 x 4"),
        (np.ones((4, 6, 1), dtype=np.bool_), "1 x 6 x 4 pixels, the image 6 x 4"),
        (np.ones((4, 6), dtype=np.uint8), "uint8"),
    ],
    ids=["none", "size", "dimensions", "type"],
)
def test_a_missing_or_unfit_mask_is_refused(region: Region, mask: MaskArray | None, said: str) -> None:
    with pytest.raises(InvalidSpecError, match=said) as caught:
        RegionMap.from_mask(region, mask, 4, 6)
    assert caught.value.field == "mask"


@given(images())
def test_a_region_does_not_change_with_the_mask_it_came_from(image: Pixels) -> None:
    mask = np.ones(image.shape[:2], dtype=np.bool_)
    places = region_map(Region.FOREGROUND, mask)
    mask[:] = False
    assert places.allowed.all()
    with pytest.raises(ValueError, match="read-only"):
        places.allowed[0, 0] = False
