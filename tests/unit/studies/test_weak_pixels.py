"""What maps say of regions, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.studies.maps import Maps
from tests.studies.weak_pixels import describe, disc, pairs_of


def test_a_disc_has_the_masks_size_and_sits_in_the_middle() -> None:
    mask = np.zeros((5, 5), np.bool_)
    mask[0] = True
    found = disc(mask)
    assert found.tolist() == [
        [False, False, False, False, False],
        [False, False, True, False, False],
        [False, True, True, True, False],
        [False, False, True, False, False],
        [False, False, False, False, False],
    ]


def test_regions_fall_by_their_own_pixels(tmp_path: Path) -> None:
    mask = np.zeros((4, 4), np.bool_)
    mask[:2, :2] = True
    inside, outside, nowhere = (np.zeros((4, 4), np.uint8) for _ in range(3))
    inside[0, 0] = 8
    outside[3, 3] = 2
    maps = Maps(tmp_path / "maps.npz")
    for name, fooling in (("a", inside), ("b", outside), ("c", nowhere)):
        maps.add(name, "net", mask, 0.5, fooling, np.zeros((4, 4), np.float32))
    maps.add("sure", "net", mask, 1.0, None, None)

    pairs = pairs_of(maps)

    assert [[pair.falls(region) for region in ("whole", "foreground", "background")] for pair in pairs] == [
        [True, True, False],
        [True, False, True],
        [False, False, False],
    ]
    assert pairs[0].density("foreground") == pytest.approx(1 / 4)
    assert pairs[1].density("background") == pytest.approx(2 / 8 / 12)
    told = describe("all", pairs)
    assert "all: 3 pairs" in told
    assert "foreground    1 =  33.3%" in told
    assert "drop  50.0%" in told
    assert "weak of fallen images 12.50% = 3.20 of whole" in told  # (1/4 + 0) / 2, beside (8 + 2) / 128 / 2
