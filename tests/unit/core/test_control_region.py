"""The control region: the foreground's size, anywhere in the image, and always the same for one seed."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelprobe_services.common.values import InvalidSpecError, MaskArray, Region, control_seed
from pixelprobe_services.orchestrator.core.region import RegionMap
from tests.unit.core.strategies import images, masks_of

masks = images().flatmap(masks_of)
SEEDS = st.integers(0, 2**128 - 1)
PIXELS_OF_SEED = "a94256862d94420b88af53763b6f0f7256c90e7cdb392ce98345f432ace209c0"


def control(mask: MaskArray, seed: int) -> RegionMap:
    height, width = mask.shape
    return RegionMap.from_mask(Region.CONTROL, mask, height, width, seed)


@given(masks, SEEDS)
def test_it_has_exactly_the_foregrounds_size(mask: MaskArray, seed: int) -> None:
    found = control(mask, seed)
    foreground = RegionMap.from_mask(Region.FOREGROUND, mask, *mask.shape)
    assert found.allowed.shape == mask.shape
    assert found.allowed.sum() == mask.sum()
    assert found.area_fraction == foreground.area_fraction
    assert found.is_empty == foreground.is_empty


@given(masks, SEEDS)
def test_only_the_masks_size_and_the_seed_matter(mask: MaskArray, seed: int) -> None:
    moved = np.roll(mask.ravel(), 1).reshape(mask.shape)
    np.testing.assert_array_equal(control(mask, seed).allowed, control(moved, seed).allowed)
    np.testing.assert_array_equal(control(mask, seed).allowed, control(mask, seed).allowed)


def test_the_pixels_of_a_seed_never_change() -> None:
    """Saved campaigns must find their regions again, on any version of NumPy."""
    mask = np.zeros((32, 32), dtype=np.bool_)
    mask[8:24, 8:24] = True
    found = np.packbits(control(mask, control_seed(7, "0" * 64)).allowed).tobytes()
    assert hashlib.sha256(found).hexdigest() == PIXELS_OF_SEED


def test_every_pixel_is_as_likely_as_any_other() -> None:
    """Over 4,000 seeds each of 48 pixels comes up a third of the time, five standard deviations allowed."""
    mask = np.zeros((6, 8), dtype=np.bool_)
    mask[2:4, :] = True
    draws = 4000
    counts = sum(control(mask, control_seed(seed, "a")).allowed.astype(int) for seed in range(draws))
    share = mask.mean()
    spread = np.sqrt(draws * share * (1 - share))
    assert np.abs(counts - draws * share).max() < 5 * spread


def test_images_and_campaigns_have_controls_of_their_own() -> None:
    seeds = {control_seed(campaign, digest * 64) for campaign in range(20) for digest in "0123456789abcdef"}
    assert len(seeds) == 20 * 16
    assert max(seeds) < 2**128


def test_it_needs_a_mask() -> None:
    with pytest.raises(InvalidSpecError, match="the region control needs a mask"):
        RegionMap.from_mask(Region.CONTROL, None, 4, 6, 1)
