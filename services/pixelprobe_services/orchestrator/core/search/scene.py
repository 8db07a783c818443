"""What a search may know of its attack before the first score: the image, the region and the clean score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import Pixels
from pixelprobe_services.orchestrator.core.perturbation import COLOURS
from pixelprobe_services.orchestrator.core.region import RegionMap

CORNERS = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)], dtype=np.int16)
"""(8, 3) int16: the corners of the RGB cube. Corner c has red, green and blue in the bits 4, 2 and 1 of c."""

_LEAST_LOGIT = 0.3
"""A clean score this close to the boundary, in logits, is taken to be this far: progress stays finite."""

_MOST_PROGRESS = 2.0


@dataclass(frozen=True, eq=False)
class Scene:
    """The attack that a search works on. It is no part of a search's state: the attack supplies it again.

    Candidates of the corner searches are numbered corner by corner, then pixel by pixel in rows: corner c at
    column x and row y is c * height * width + y * width + x.

    Attributes:
        image: (height, width, 3) uint8, the clean image.
        region: where an edit may land, of the image's size, not empty.
        clean_cost: the cost of the clean image, as a search is given costs (``goal.cost``): the clean class's
            probability, or minus the target class's.
        targeted: whether the goal is a target class; costs are then minus its probability.
    """

    image: Pixels
    region: RegionMap
    clean_cost: float
    targeted: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image, in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @cached_property
    def contrast(self) -> NDArray[np.float64]:
        """(8, height, width) float64 in [0, 1]: L1 distance of corners and pixels' colours, over 765."""
        distance = np.abs(CORNERS[:, None, None, :] - self.image.astype(np.int16)[None]).sum(axis=-1)
        return np.asarray(distance / 765.0)

    @cached_property
    def corner_candidates(self) -> NDArray[np.intp]:
        """(n,) the numbers of all corner candidates that change a pixel of the region, ascending."""
        return np.flatnonzero((self.contrast > 0) & self.region.allowed[None])

    def corner_genes(self, numbers: NDArray[np.intp]) -> NDArray[np.float64]:
        """The edits of numbered corner candidates as genes: an array of ``numbers``' shape plus (5,).

        Genes lie in the middle of their pixel and colour step, so that ``perturbation.decode`` returns
        exactly these edits.
        """
        height, width = self.size
        corner, pixel = np.divmod(numbers, height * width)
        row, column = np.divmod(pixel, width)
        place = np.stack([(column + 0.5) / width, (row + 0.5) / height], axis=-1)
        return np.concatenate([place, (CORNERS[corner] + 0.5) / COLOURS], axis=-1)

    def corner_numbers(self, genes: NDArray[np.float64]) -> NDArray[np.intp]:
        """The inverse of :meth:`corner_genes`."""
        height, width = self.size
        column = np.floor(genes[..., 0] * width).astype(np.intp)
        row = np.floor(genes[..., 1] * height).astype(np.intp)
        bright = (genes[..., 2:] > 0.5).astype(np.intp)
        corner = bright[..., 0] * 4 + bright[..., 1] * 2 + bright[..., 2]
        return np.asarray(corner * height * width + row * width + column)

    def progress(self, cost: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each cost has come from the clean image's towards the decision boundary, in logits.

        0 is the clean image, 1 a probability of one half, negative is away from the goal; clipped to
        [-1, 2]. The boundary of many classes may lie before 1.
        """
        start = self._distance(np.array(self.clean_cost))
        moved = (start - self._distance(cost)) / np.maximum(start, _LEAST_LOGIT)
        return np.asarray(np.clip(moved, -1.0, _MOST_PROGRESS))

    def _distance(self, cost: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logits to a probability of one half, positive on the side where the goal is not met."""
        probability = np.clip(np.abs(cost), 1e-9, 1 - 1e-7)
        logit = np.log(probability / (1 - probability))
        return np.asarray(-logit if self.targeted else logit)
