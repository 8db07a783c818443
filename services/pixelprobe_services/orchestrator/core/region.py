"""Regions, where edits may land: the whole image, its foreground, its background, or a control region.

The control region (not in the paper) measures the effect of size alone: a small region is harder to attack
whatever it shows. It has exactly as many pixels as the foreground, drawn uniformly from the whole image, so
its content is arbitrary. A control of the foreground's shape, the mask moved elsewhere, was rejected: objects
fill much of an image and lie in its middle, so a moved mask falls on the object again, or is cut off at the
border and smaller. The cost of scattered pixels: they sample more surroundings than one patch of the same
size, so the control is the easier region, if anything; a foreground that beats it does so in spite of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pixelprobe_services.common.values import InvalidSpecError, MaskArray, Region

Coordinates = NDArray[Any]
"""Columns or rows of pixels, of any shape and integer type."""


@dataclass(frozen=True, eq=False)
class RegionMap:
    """The pixels that an attack may change.

    Example::

        region = RegionMap.from_mask(Region.FOREGROUND, mask, height=32, width=32)
        region.area_fraction  # the foreground's share of the image

    Foreground and background of one mask are disjoint, and together whole.

    Attributes:
        allowed: (height, width) bool, read-only; True where an edit may land.
    """

    allowed: NDArray[np.bool_]

    def __post_init__(self) -> None:
        allowed = np.array(self.allowed, dtype=np.bool_)
        allowed.setflags(write=False)
        object.__setattr__(self, "allowed", allowed)

    @classmethod
    def from_mask(
        cls, region: Region, mask: MaskArray | None, height: int, width: int, control_seed: int = 0
    ) -> RegionMap:
        """Make the map of ``region`` in an image of ``height`` x ``width`` pixels.

        Args:
            region: the whole image needs no mask and ignores one.
            mask: (height, width) bool, True is foreground.
            height: of the image, in pixels.
            width: of the image, in pixels.
            control_seed: draws the control region, see ``values.control_seed``; the others ignore it.

        Raises:
            InvalidSpecError: the region needs a mask and there is none, or it is not bool or not of the
                image's size.
        """
        if region is Region.WHOLE:
            return cls(np.ones((height, width), dtype=np.bool_))
        if mask is None:
            raise InvalidSpecError("mask", f"the region {region.value} needs a mask")
        if mask.dtype != np.bool_:
            raise InvalidSpecError("mask", f"its values are {mask.dtype}, not bool")
        if mask.shape != (height, width):
            size = " x ".join(str(side) for side in reversed(mask.shape))
            raise InvalidSpecError("mask", f"it is {size} pixels, the image {width} x {height}")
        if region is Region.CONTROL:
            return cls(_scattered(int(mask.sum()), height, width, control_seed))
        return cls(mask if region is Region.FOREGROUND else ~mask)

    @property
    def area_fraction(self) -> float:
        """Return the region's share of the image, 0 to 1."""
        return float(self.allowed.mean())

    @cached_property
    def is_empty(self) -> bool:
        """Return whether there is no pixel to change."""
        return not self.allowed.any()

    def contains(self, x: Coordinates, y: Coordinates) -> NDArray[np.bool_]:
        """Return whether each pixel (x, y) is in the region; bool, of the shape of ``x`` and ``y``."""
        inside: NDArray[np.bool_] = self.allowed[y, x]
        return inside

    def nearest(self, x: Coordinates, y: Coordinates) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Find the region's pixel nearest to each pixel (x, y) of the image, by Euclidean distance.

        Of equally near ones always the same is taken. A pixel of the region is its own nearest.

        Returns:
            Columns and rows, each of the shape of ``x`` and ``y``.

        Raises:
            ValueError: the region is empty.
        """
        if self.is_empty:
            raise ValueError("an empty region has no nearest pixel")
        rows, columns = self._nearest_map
        return columns[y, x], rows[y, x]

    @cached_property
    def _nearest_map(self) -> NDArray[np.intp]:
        """Row and column of the nearest allowed pixel, (2, height, width); computed at first use."""
        indices = distance_transform_edt(~self.allowed, return_distances=False, return_indices=True)
        return np.asarray(indices, dtype=np.intp)


def _scattered(pixels: int, height: int, width: int, seed: int) -> NDArray[np.bool_]:
    """Draw ``pixels`` pixels of an image, (height, width) bool; all sets of that size are equally likely."""
    # Raw numbers of a named bit generator stay the same in all versions of NumPy; permutations may not.
    numbers = np.random.PCG64(seed).random_raw(height * width)
    chosen = np.zeros(height * width, dtype=np.bool_)
    chosen[np.argsort(numbers, kind="stable")[:pixels]] = True
    return chosen.reshape(height, width)
