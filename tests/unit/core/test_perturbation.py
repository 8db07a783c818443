from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pixelprobe_services.common.values import Edit, Pixels, Region, RegionMode
from pixelprobe_services.orchestrator.core.perturbation import (
    EffectiveEdits,
    apply_edits,
    decode,
    effective,
    to_edits,
)
from pixelprobe_services.orchestrator.core.region import RegionMap
from tests.unit.core.strategies import edits_of, images, masks_of

UNDER_ONE = np.nextafter(1.0, 0.0)


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.int16], Pixels, RegionMap, RegionMode]:
    image = draw(images())
    height, width, _ = image.shape
    region = RegionMap.from_mask(draw(st.sampled_from(Region)), draw(masks_of(image)), height, width)
    return draw(edits_of(image)), image, region, draw(st.sampled_from(RegionMode))


def rows_of(kept: EffectiveEdits) -> NDArray[np.int16]:
    """(n, k * 5) int16: rows are equal exactly if the images are."""
    count, pixels, genes = kept.edits.shape
    return kept.edits.reshape(count, pixels * genes)


def perturbed_by_hand(
    candidate: NDArray[np.int16], image: Pixels, region: RegionMap, mode: RegionMode
) -> Pixels:
    """The definition, one edit after another: paint, then take the clean image back outside the region."""
    painted = image.copy()
    for x, y, *colour in candidate.tolist():
        if mode is RegionMode.PROJECT and not region.is_empty:
            new_x, new_y = region.nearest(np.array(x), np.array(y))
            painted[int(new_y), int(new_x)] = colour
        else:
            painted[y, x] = colour
    return np.where(region.allowed[..., None], painted, image)


def applied(kept: EffectiveEdits, image: Pixels) -> Pixels:
    return apply_edits(image[None], np.zeros(len(kept.edits), dtype=np.int32), kept.edits)


@given(cases())
@settings(max_examples=300, deadline=None)
def test_effective_edits_give_the_same_image_as_painting_by_hand(
    case: tuple[NDArray[np.int16], Pixels, RegionMap, RegionMode],
) -> None:
    edits, image, region, mode = case
    kept = effective(edits, image, region, mode)
    expected = [perturbed_by_hand(candidate, image, region, mode) for candidate in edits]
    np.testing.assert_array_equal(applied(kept, image), np.array(expected).reshape(-1, *image.shape))
    # One edit for each pixel that differs: k at most, none of them idle.
    changed = [(painted != image).any(axis=-1).sum() for painted in expected]
    assert kept.counts.tolist() == changed
    assert all(count <= edits.shape[1] for count in changed)


@given(cases())
@settings(max_examples=300, deadline=None)
def test_equal_images_have_equal_keys_and_only_those(
    case: tuple[NDArray[np.int16], Pixels, RegionMap, RegionMode],
) -> None:
    edits, image, region, mode = case
    kept = effective(edits, image, region, mode)
    keys, painted = rows_of(kept), applied(kept, image)
    for one in range(len(edits)):
        for other in range(one):
            same_key = bool((keys[one] == keys[other]).all())
            assert same_key == bool((painted[one] == painted[other]).all())


@given(cases())
@settings(deadline=None)
def test_effective_edits_are_sorted_padded_and_inside(
    case: tuple[NDArray[np.int16], Pixels, RegionMap, RegionMode],
) -> None:
    edits, image, region, mode = case
    kept = effective(edits, image, region, mode)
    assert kept.edits.shape == edits.shape
    assert kept.edits.dtype == kept.counts.dtype == np.int16
    for row, count in zip(kept.edits, kept.counts, strict=True):
        places = [(y, x) for x, y in row[:count, :2].tolist()]
        assert places == sorted(set(places))
        assert all(region.allowed[place] for place in places)
        if count:
            assert (row[count:] == row[count - 1]).all()
        else:
            assert row.tolist() == [[0, 0, *image[0, 0].tolist()]] * len(row)
    again = effective(kept.edits, image, region, RegionMode.COMPOSITE)
    np.testing.assert_array_equal(again.edits, kept.edits)
    np.testing.assert_array_equal(again.counts, kept.counts)


@given(cases())
@settings(deadline=None)
def test_composite_drops_what_falls_outside_and_project_drops_nothing_for_that(
    case: tuple[NDArray[np.int16], Pixels, RegionMap, RegionMode],
) -> None:
    edits, image, region, mode = case
    edits = edits.copy()
    edits[..., 2:] = 7  # no clean pixel has that shade, so an edit inside always counts
    kept = effective(edits, image, region, mode)
    if mode is RegionMode.PROJECT:
        expected = np.full(len(edits), not region.is_empty)
    else:
        expected = np.array([region.contains(row[:, 0], row[:, 1]).any() for row in edits], dtype=np.bool_)
    np.testing.assert_array_equal(kept.counts > 0, expected)


WHITE = np.full((4, 6, 3), 255, dtype=np.uint8)
ANYWHERE = RegionMap.from_mask(Region.WHOLE, None, 4, 6)


def kept_of(*candidate: tuple[int, int, int, int, int]) -> tuple[Edit, ...]:
    kept = effective(np.array([candidate], dtype=np.int16), WHITE, ANYWHERE, RegionMode.COMPOSITE)
    return to_edits(kept.edits[0], int(kept.counts[0]))


def test_the_later_edit_wins_on_a_pixel() -> None:
    assert kept_of((1, 2, 0, 0, 0), (1, 2, 9, 8, 7)) == (Edit(1, 2, 9, 8, 7),)


def test_a_later_edit_back_to_the_clean_colour_undoes_the_earlier() -> None:
    assert kept_of((1, 2, 0, 0, 0), (1, 2, 255, 255, 255)) == ()
    assert kept_of((1, 2, 255, 255, 255), (1, 2, 0, 0, 0)) == (Edit(1, 2, 0, 0, 0),)


def test_a_black_corner_is_not_taken_for_the_clean_image() -> None:
    black_corner, clean = (0, 0, 0, 0, 0), (3, 3, 255, 255, 255)
    edits = np.array([[black_corner], [clean]], dtype=np.int16)
    kept = effective(edits, WHITE, ANYWHERE, RegionMode.COMPOSITE)
    assert kept.counts.tolist() == [1, 0]
    assert (rows_of(kept)[0] != rows_of(kept)[1]).any()


def test_a_region_of_another_size_is_refused() -> None:
    other = RegionMap.from_mask(Region.WHOLE, None, 6, 4)
    with pytest.raises(ValueError, match=r"\(6, 4\)"):
        effective(np.zeros((1, 1, 5), dtype=np.int16), WHITE, other, RegionMode.COMPOSITE)


@pytest.mark.parametrize(
    ("gene", "expected"),
    [
        (0.0, [0, 0, 0, 0, 0]),
        (0.5, [3, 2, 128, 128, 128]),
        (np.nextafter(0.5, 0.0), [2, 1, 127, 127, 127]),
        (UNDER_ONE, [5, 3, 255, 255, 255]),
        (1.0, [5, 3, 255, 255, 255]),
    ],
)
def test_genes_scale_by_floor_and_one_belongs_to_the_last(gene: float, expected: list[int]) -> None:
    edits = decode(np.full((1, 1, 5), gene), height=4, width=6)
    assert edits.dtype == np.int16
    assert edits.tolist() == [[expected]]


def test_genes_are_in_the_order_x_y_red_green_blue() -> None:
    edits = decode(np.array([[[0.9, 0.1, 0.25, 0.5, 0.75]]]), height=10, width=100)
    assert to_edits(edits[0], 1) == (Edit(x=90, y=1, red=64, green=128, blue=192),)


@given(
    hnp.arrays(np.float64, (3, 2, 5), elements=st.floats(0, 1)),
    st.integers(1, 32767),
    st.integers(1, 32767),
)
def test_decoded_edits_are_within_the_image(candidates: NDArray[np.float64], height: int, width: int) -> None:
    edits = decode(candidates, height, width)
    assert edits.min() >= 0
    assert (edits.max(axis=(0, 1)) < [width, height, 256, 256, 256]).all()


def test_every_pixel_and_colour_is_equally_likely() -> None:
    genes = (np.arange(6 * 256) + 0.5) / (6 * 256)
    edits = decode(np.repeat(genes[:, None, None], 5, axis=2), height=4, width=6)
    for gene, values in enumerate([6, 4, 256, 256, 256]):
        assert set(np.bincount(edits[:, 0, gene], minlength=values)) == {6 * 256 // values}


def test_edits_go_to_the_image_that_each_candidate_names() -> None:
    images = np.stack([np.zeros((4, 6, 3), np.uint8), WHITE])
    edits = np.array([[[5, 3, 1, 2, 3]], [[0, 1, 4, 5, 6]], [[5, 3, 7, 8, 9]]], dtype=np.int16)
    images_made = apply_edits(images, np.array([1, 0, 1], dtype=np.int32), edits)
    assert images_made.dtype == np.uint8
    assert images_made[:, 3, 5].tolist() == [[1, 2, 3], [0, 0, 0], [7, 8, 9]]
    assert images_made[:, 1, 0].tolist() == [[255] * 3, [4, 5, 6], [255] * 3]
    assert (images_made != images[[1, 0, 1]]).any(axis=-1).sum() == 3
    assert (images[0] == 0).all()
    assert (images[1] == 255).all()


def test_of_raw_edits_on_one_pixel_the_later_is_painted() -> None:
    edits = np.array([[[2, 1, 1, 1, 1], [2, 1, 9, 8, 7]]], dtype=np.int16)
    (image,) = apply_edits(WHITE[None], np.zeros(1, dtype=np.int32), edits)
    assert image[1, 2].tolist() == [9, 8, 7]
