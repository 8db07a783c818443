"""In which order to try corner colours: a prior from other networks, contrast, and the scores so far.

Before any score a candidate's rank is log(prior * contrast^2). The prior (``prior_32.npz``, made by
``tests/studies/make_prior.py``) is how often a corner colour at a place fooled three other CIFAR-10
networks; other image sizes take it resampled. Two terms are added.

Scores: ``WEIGHT`` times the posterior mean of a Gaussian process over the progress towards the boundary
(``Scene.progress``). Near in place and similar in change of colour means similar in effect. The kernel's
colour part has a linear term in the change of colour, because a network is nearly linear in one pixel: a
failed colour suggests the opposite one.

Novelty: ``NOVELTY`` / sqrt(1 + n), where n counts the candidates tried, or chosen for the same piece, each by
how near it is. Without it a piece spends its queries on neighbours that all do the same. Measured in
docs/searches.md.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from pixelprobe_services.orchestrator.core.search.scene import CORNERS, Scene

PRIOR_SIDE = 32

WEIGHT = 3.0
"""Of the posterior progress against the log prior."""

RANGE = 2.5
"""Of the spatial kernel, in pixels of an image of 32 x 32: one standard deviation."""

LINEAR = 0.5
"""Share of the kernel's colour part that is linear in the change of colour."""

NOVELTY = 3.0
"""Bonus of a candidate unlike any tried, against the log prior."""

NOISE = 0.3
"""Variance of what the kernel does not explain of a candidate's progress."""

EVIDENCE = 400
"""Scores that a sweep learns from, or a few more: more cost time and hardly move the order."""

_ROUNDING = 6
"""Decimals of a rank: less than linear algebra libraries differ by."""

Numbers = NDArray[np.intp]
"""Numbers of corner candidates, see ``scene.Scene``."""


class CornerOrder:
    """Ranks the corner candidates of one scene.

    Attributes:
        candidates: (n,) their numbers, ascending.
    """

    def __init__(self, scene: Scene) -> None:
        height, width = scene.size
        self._size = height, width
        self.candidates: Numbers = scene.corner_candidates
        self._range = RANGE * np.sqrt(height * width) / PRIOR_SIDE
        self._colour = scene.image.astype(np.float64)
        expected = corner_prior(height, width) * scene.contrast**2
        self._prior_rank = np.log(expected.reshape(-1)[self.candidates] + 1e-9)
        self._corner, self._row, self._column = np.unravel_index(
            self.candidates, (len(CORNERS), height, width)
        )
        # A piece takes at most one candidate of a cell and colour: in a large image neighbours are alike.
        cells = min(height, PRIOR_SIDE), min(width, PRIOR_SIDE)
        cell = np.ravel_multi_index(
            (self._corner, self._row * cells[0] // height, self._column * cells[1] // width),
            (len(CORNERS), *cells),
        )
        self._by_cell = np.argsort(cell, kind="stable")
        self._cell_starts = np.flatnonzero(np.diff(cell[self._by_cell], prepend=-1))

    def ranks(self, tried: Numbers, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) float64, one for each of ``candidates``; the higher, the sooner to try.

        Args:
            tried: (m,) numbers of candidates with known costs, in the order in which they were tried.
            progress: (m,) theirs, see ``Scene.progress``.
        """
        ranks = self._expected(tried, progress) + NOVELTY / np.sqrt(1 + self._crowding(tried))
        return np.asarray(np.round(ranks, _ROUNDING), dtype=np.float64)

    def choose(self, tried: Numbers, progress: NDArray[np.float64], count: int) -> Numbers:
        """The numbers of the next piece, at most ``count``, best first; each makes those like it less novel.

        Args:
            tried: as for :meth:`ranks`.
            progress: as for :meth:`ranks`.
            count: of the piece.
        """
        expected = self._expected(tried, progress)
        expected[np.searchsorted(self.candidates, tried)] = -np.inf
        crowding = self._crowding(tried)
        pool = self._best_of_cells(np.round(expected + NOVELTY / np.sqrt(1 + crowding), _ROUNDING))
        expected, crowding = expected[pool], crowding[pool]
        corner, row, column = self._corner[pool], self._row[pool], self._column[pool]
        chosen: list[int] = []
        for _ in range(count):
            rank = np.round(expected + NOVELTY / np.sqrt(1 + crowding), _ROUNDING)
            best = int(np.argmax(rank))
            if rank[best] == -np.inf:
                break
            chosen.append(best)
            expected[best] = -np.inf
            apart = (row - row[best]) ** 2 + (column - column[best]) ** 2
            crowding += _SHARED[corner[best]][corner] * np.exp(apart / (-2 * self._range**2))
        return self.candidates[pool[chosen]]

    def _best_of_cells(self, ranks: NDArray[np.float64]) -> Numbers:
        """The places in ``candidates`` of the best of each cell and colour, ascending."""
        grouped = ranks[self._by_cell]
        best = np.maximum.reduceat(grouped, self._cell_starts)
        sizes = np.diff(self._cell_starts, append=len(grouped))
        is_best = np.flatnonzero(grouped == np.repeat(best, sizes))
        cell = np.searchsorted(self._cell_starts, is_best, side="right")
        _, first = np.unique(cell, return_index=True)
        return np.sort(self._by_cell[is_best[first]])

    def _expected(self, tried: Numbers, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) log prior and what the scores say, without novelty; a new array."""
        if not len(tried):
            return self._prior_rank.copy()
        return self._prior_rank + WEIGHT * self._posterior(tried, progress)

    def _crowding(self, tried: Numbers) -> NDArray[np.float64]:
        """(n,): how many candidates were tried, each counted by how near it is."""
        corner, row, column = np.unravel_index(tried, (len(CORNERS), *self._size))
        maps = np.tensordot(_SHARED, self._spread_by_corner(np.ones(len(tried)), corner, row, column), axes=1)
        return np.asarray(maps.reshape(-1)[self.candidates])

    def _posterior(self, tried: Numbers, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) posterior mean of the progress, about the mean of what is known.

        The kernel is a Gaussian in place times a sum over colours, so the mean is a few maps of weights,
        spread over the image: memory and time do not grow with candidates times evidence.
        """
        corner, row, column = np.unravel_index(tried, (len(CORNERS), *self._size))
        change = (CORNERS[corner] - self._colour[row, column]) / 255.0
        apart = (row[:, None] - row) ** 2 + (column[:, None] - column) ** 2
        colours = (1 - LINEAR) * _SHARED[corner][:, corner] + LINEAR * (change @ change.T)
        covariance = np.exp(apart / (-2 * self._range**2)) * colours
        known = covariance + NOISE * np.eye(len(tried))
        weights = np.linalg.solve(known, progress - progress.mean())

        shared = np.tensordot(_SHARED, self._spread_by_corner(weights, corner, row, column), axes=1)
        mean = (1 - LINEAR) * shared
        for channel in range(3):
            slope = self._spread(weights * change[:, channel], row, column)
            changes = (CORNERS[:, None, None, channel] - self._colour[None, :, :, channel]) / 255.0
            mean += LINEAR * changes * slope
        return np.asarray(mean.reshape(-1)[self.candidates])

    def _spread_by_corner(
        self, weights: NDArray[np.float64], corner: Numbers, row: Numbers, column: Numbers
    ) -> NDArray[np.float64]:
        """(8, height, width): the weights of each corner's candidates, spread over the image."""
        maps = np.zeros((len(CORNERS), *self._size))
        for one in np.unique(corner):
            of_corner = corner == one
            maps[one] = self._spread(weights[of_corner], row[of_corner], column[of_corner])
        return maps

    def _spread(self, weights: NDArray[np.float64], row: Numbers, column: Numbers) -> NDArray[np.float64]:
        """(height, width): the sum of the spatial kernel around each place, times its weight."""
        down = np.exp((row[:, None] - np.arange(self._size[0])) ** 2 / (-2 * self._range**2))
        right = np.exp((column[:, None] - np.arange(self._size[1])) ** 2 / (-2 * self._range**2))
        return np.asarray((down * weights[:, None]).T @ right)


_SHARED = np.exp(-(CORNERS[:, None, :] != CORNERS[None, :, :]).sum(axis=-1).astype(np.float64))
"""(8, 8): one e-fold for each channel in which two corners differ."""


@cache
def corner_prior(height: int, width: int) -> NDArray[np.float64]:
    """(8, height, width) float64, read-only: the prior of each corner at each pixel, positive."""
    file = resources.files(__package__).joinpath("prior_32.npz")
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
        prior = archive["prior"].astype(np.float64)
    if (height, width) != (PRIOR_SIDE, PRIOR_SIDE):
        scale = (1, height / PRIOR_SIDE, width / PRIOR_SIDE)
        prior = zoom(prior, scale, order=1, mode="nearest", grid_mode=True)
    prior.setflags(write=False)
    return np.asarray(prior)
