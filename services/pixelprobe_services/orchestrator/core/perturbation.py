"""Decodes candidates to pixel edits, reduces edits to a canonical form, and applies them to images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import Edit, Pixels, RegionMode
from pixelprobe_services.orchestrator.core.region import RegionMap

GENES = 5
"""Genes of one edit, in this order: x, y, red, green, blue."""

COLOURS = 256
"""Values of one colour channel."""

EditArray = NDArray[np.int16]
"""(n, k, 5) int16, each edit (x, y, red, green, blue), within the image and 0 to 255."""


@dataclass(frozen=True, eq=False)
class EffectiveEdits:
    """The edits of candidates without those that change nothing.

    This form is canonical: two candidates for one clean image have equal rows here if and only if they
    give the same image, pixel for pixel. No two edits of a row are on the same pixel, save the padding.

    Attributes:
        edits: (n, k, 5) int16. The first ``counts`` edits of a row are sorted by (y, x); the last of them
            fills the rest. A row without any holds the clean colour of pixel (0, 0), which changes nothing.
        counts: (n,) int16, edits kept of each candidate; 0 is the clean image.
    """

    edits: EditArray
    counts: NDArray[np.int16]


def decode(candidates: NDArray[np.float64], height: int, width: int) -> EditArray:
    """Scale genes to pixels and colours: x = min(floor(u width), width - 1), and so on.

    Args:
        candidates: (n, k, 5) float64 in [0, 1]; genes x, y, red, green, blue.
        height: of the image, 1 to 32767 pixels.
        width: of the image, 1 to 32767 pixels.
    """
    sizes = np.array([width, height, COLOURS, COLOURS, COLOURS])
    scaled: NDArray[np.float64] = np.minimum(np.floor(candidates * sizes), sizes - 1)
    return scaled.astype(np.int16)


def effective(edits: EditArray, image: Pixels, region: RegionMap, mode: RegionMode) -> EffectiveEdits:
    """Keep only the edits that change a pixel of ``image`` within ``region``, in canonical form.

    The edits of a candidate count as made one after another, so a later one on the same pixel wins, even
    where it brings the clean colour back. COMPOSITE is the paper's eq. 17 and 18: what falls outside the
    region is undone. PROJECT (not in the paper) moves each edit to the region's nearest pixel first. In an
    empty region nothing is kept, whatever the mode.

    Args:
        edits: (n, k, 5) int16, within the image.
        image: (height, width, 3) uint8, clean.
        region: of the image's size.
        mode: how edits outside the region are handled.

    Raises:
        ValueError: image and region differ in size.
    """
    height, width, _ = image.shape
    if region.allowed.shape != (height, width):
        raise ValueError(f"the region's shape {region.allowed.shape} is not the image's {(height, width)}")
    slots = edits.shape[1]
    nowhere = height * width  # after every pixel in the sort

    x, y = edits[..., 0].astype(np.intp), edits[..., 1].astype(np.intp)
    if mode is RegionMode.PROJECT and not region.is_empty:
        x, y = region.nearest(x, y)
    pixel = np.where(region.contains(x, y), y * width + x, nowhere)

    # One sort brings edits of one pixel together and keeps the order in which they are made.
    pixel, slot = np.divmod(np.sort(pixel * slots + np.arange(slots), axis=1), slots)
    colour = np.take_along_axis(edits[..., 2:], slot[..., None], axis=1)
    last_on_pixel = np.ones(pixel.shape, dtype=np.bool_)
    last_on_pixel[:, :-1] = pixel[:, 1:] != pixel[:, :-1]
    clean_colour = image.reshape(-1, 3)[np.minimum(pixel, nowhere - 1)]
    keep = last_on_pixel & (pixel != nowhere) & (colour != clean_colour).any(axis=-1)
    counts = keep.sum(axis=1)

    # Kept edits first, then the last of them over and over.
    kept_first = np.argsort(~keep, axis=1, kind="stable")
    fill = np.minimum(np.arange(slots), np.maximum(counts - 1, 0)[:, None])
    source = np.take_along_axis(kept_first, fill, axis=1)
    result = np.empty(edits.shape, dtype=np.int16)
    result[..., 1], result[..., 0] = np.divmod(np.take_along_axis(pixel, source, axis=1), width)
    result[..., 2:] = np.take_along_axis(colour, source[..., None], axis=1)
    result[counts == 0] = (0, 0, *image[0, 0])
    return EffectiveEdits(result, counts.astype(np.int16))


def apply_edits(images: NDArray[np.uint8], image_index: NDArray[np.int32], edits: EditArray) -> Pixels:
    """Apply edits to images; of two edits on one pixel the later wins.

    Args:
        images: (m, height, width, 3) uint8, clean; left as they are.
        image_index: (n,) int32, which image each candidate edits.
        edits: (n, k, 5) int16, within the image.

    Returns:
        (n, height, width, 3) uint8.
    """
    edited = images[image_index]
    rows = np.arange(len(edits))
    # Edit by edit, because NumPy does not say which value wins when one assignment names a pixel twice.
    for edit in edits.transpose(1, 0, 2):
        edited[rows, edit[:, 1], edit[:, 0]] = edit[:, 2:]
    return edited


def to_edits(row: NDArray[np.int16], count: int) -> tuple[Edit, ...]:
    """Convert the first ``count`` edits of one candidate, (k, 5) int16, to values."""
    return tuple(Edit(*(int(value) for value in edit)) for edit in row[:count])
