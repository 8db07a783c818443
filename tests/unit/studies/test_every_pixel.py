"""A scan asks for every pixel in every colour once, and puts each answer where it belongs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelprobe_services.orchestrator.targets.base import QueryBatch, Scores
from tests.studies.every_pixel import all_edits, clean_scores, scan
from tests.studies.maps import Maps
from tests.unit.orchestrator.fakes import FakeTarget

HEIGHT, WIDTH = 24, 16


def test_every_pixel_in_every_corner_colour_once() -> None:
    edits = all_edits(HEIGHT, WIDTH)[:, 0]
    assert len(np.unique(edits, axis=0)) == len(edits) == HEIGHT * WIDTH * 8
    assert edits[:, 0].max() == WIDTH - 1
    assert edits[:, 1].max() == HEIGHT - 1
    assert set(np.unique(edits[:, 2:])) == {0, 255}


class WeakSpot(FakeTarget):
    """Class 3, unless the pixel at column 5, row 20 is pure red (class 1) or white (class 2)."""

    async def query(self, batch: QueryBatch) -> Scores:
        x, y, red, green, blue = batch.edits[:, 0].T
        there = (x == 5) & (y == 20) & (red == 255) & (green == blue)
        top = np.where(there, np.where(green == 255, 2, 1), 3).astype(np.int32)
        probability = np.where(there, 0.25, 0.5).astype(np.float32)
        return Scores(probability[:, None], top[:, None], np.full((len(batch), 1), 0.5, np.float32))


async def test_a_weak_spot_is_found_where_it_is() -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    clean = await clean_scores(WeakSpot(), pixels)
    assert clean == (3, 0.5)

    found = await scan(WeakSpot(), pixels, clean)

    assert np.argwhere(found.fooling).tolist() == [[20, 5]]
    assert found.fooling[20, 5] == 2
    assert found.lowest[20, 5] == pytest.approx(0.25)
    assert (np.delete(found.lowest.ravel(), 20 * WIDTH + 5) == 0.5).all()


def test_maps_are_taken_up_again(tmp_path: Path) -> None:
    maps = Maps(tmp_path / "maps.npz")
    maps.save()
    assert not maps.path.exists()
    mask = np.eye(4, dtype=np.bool_)
    maps.add("a", "net", mask, 0.75, np.full((4, 4), 3, np.uint8), np.full((4, 4), 0.5, np.float32))
    maps.add("b", "net", ~mask, 1.0, None, None)
    maps.save()

    again = Maps(maps.path)

    assert (len(again), again.scanned) == (2, 1)
    assert again.has("b", "net")
    assert not again.has("b", "other")
    assert np.array_equal(again.masks[1], ~mask)
    assert again.fooling[0] is not None
    assert again.fooling[0].sum() == 48
    assert again.fooling[1] is None
    assert again.lowest[1] is None
