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
from scipy.ndimage import correlate1d, zoom

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
        reach = np.arange(-int(4 * self._range), int(4 * self._range) + 1)
        self._blur = np.exp(reach**2 / (-2 * self._range**2))
        self._colour = scene.image.astype(np.float64)
        expected = corner_prior(height, width) * scene.contrast**2
        self._prior_rank = np.log(expected.reshape(-1)[self.candidates] + 1e-9)

    def ranks(self, tried: Numbers, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) float64, one for each of ``candidates``; the higher, the sooner to try.

        Args:
            tried: (m,) numbers of candidates with known costs, in the order in which they were tried.
            progress: (m,) theirs, see ``Scene.progress``.
        """
        novelty = NOVELTY / np.sqrt(1 + self._crowding(tried).reshape(-1)[self.candidates])
        return np.asarray(np.round(self._expected(tried, progress) + novelty, _ROUNDING), dtype=np.float64)

    def choose(self, tried: Numbers, progress: NDArray[np.float64], count: int) -> Numbers:
        """The numbers of the next piece, at most ``count``, best first; each makes those like it less novel.

        Args:
            tried: as for :meth:`ranks`.
            progress: as for :meth:`ranks`.
            count: of the piece.
        """
        expected = np.full((len(CORNERS), *self._size), -np.inf)
        expected.reshape(-1)[self.candidates] = self._expected(tried, progress)
        expected.reshape(-1)[tried] = -np.inf
        crowding = self._crowding(tried)
        rank = np.round(expected + NOVELTY / np.sqrt(1 + crowding), _ROUNDING)
        reach = len(self._blur) // 2
        chosen: list[int] = []
        for _ in range(count):
            number = int(np.argmax(rank))
            corner, row, column = (int(place) for place in np.unravel_index(number, rank.shape))
            if rank[corner, row, column] == -np.inf:
                break
            chosen.append(number)
            expected[corner, row, column] = -np.inf
            rows, down = _around(row, reach, self._size[0])
            columns, right = _around(column, reach, self._size[1])
            near = self._blur[down, None] * self._blur[None, right]
            crowding[:, rows, columns] += _SHARED[corner][:, None, None] * near
            novelty = NOVELTY / np.sqrt(1 + crowding[:, rows, columns])
            rank[:, rows, columns] = np.round(expected[:, rows, columns] + novelty, _ROUNDING)
        return np.array(chosen, dtype=np.intp)

    def _expected(self, tried: Numbers, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) log prior and what the scores say, without novelty."""
        if not len(tried):
            return self._prior_rank
        return self._prior_rank + WEIGHT * self._posterior(tried, progress).reshape(-1)[self.candidates]

    def _crowding(self, tried: Numbers) -> NDArray[np.float64]:
        """(8, height, width): how many candidates were tried, each counted by how near it is."""
        counts = np.zeros((len(CORNERS), *self._size))
        counts.reshape(-1)[tried] = 1.0
        return np.asarray(np.tensordot(_SHARED, self._blurred(counts), axes=1))

    def _posterior(self, tried: Numbers, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """(8, height, width) posterior mean of the progress, about the mean of what is known.

        The kernel is a Gaussian in place times a sum over colours, so the mean is a few blurred maps of the
        candidates' weights: memory and time grow with the image, not with image times evidence.
        """
        corner, row, column = np.unravel_index(tried, (len(CORNERS), *self._size))
        change = (CORNERS[corner] - self._colour[row, column]) / 255.0
        apart = (row[:, None] - row) ** 2 + (column[:, None] - column) ** 2
        colours = (1 - LINEAR) * _SHARED[corner][:, corner] + LINEAR * (change @ change.T)
        covariance = np.exp(apart / (-2 * self._range**2)) * colours
        known = covariance + NOISE * np.eye(len(tried))
        weights = np.linalg.solve(known, progress - progress.mean())

        by_corner = np.zeros((len(CORNERS), *self._size))
        by_corner[corner, row, column] = weights
        by_channel = np.zeros((3, *self._size))
        for channel in range(3):
            np.add.at(by_channel[channel], (row, column), weights * change[:, channel])
        shared = np.tensordot(_SHARED, self._blurred(by_corner), axes=1)
        slope = self._blurred(by_channel)
        changes = (CORNERS[:, None, None, :] - self._colour[None]) / 255.0
        return np.asarray((1 - LINEAR) * shared + LINEAR * (changes * slope.transpose(1, 2, 0)).sum(axis=-1))

    def _blurred(self, maps: NDArray[np.float64]) -> NDArray[np.float64]:
        """Each map convolved with the spatial kernel, nothing beyond the border."""
        for axis in (1, 2):
            maps = correlate1d(maps, self._blur, axis=axis, mode="constant")
        return np.asarray(maps)


def _around(place: int, reach: int, size: int) -> tuple[slice, slice]:
    """The places within ``reach`` of one, and the part of a kernel centred on it that falls on them."""
    first, last = max(place - reach, 0), min(place + reach + 1, size)
    return slice(first, last), slice(first - place + reach, last - place + reach)


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
