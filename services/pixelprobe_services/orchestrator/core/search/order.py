"""In which order to try corner colours: a prior from other networks, contrast, and the scores so far.

Before any score a candidate's rank is log(prior * contrast^2). The prior (``prior_32.npz``, made by
``tests/studies/make_prior.py``) is how often a corner colour at a place fooled three other CIFAR-10
networks; other image sizes take it resampled. Scores then move the ranks by the posterior mean of a Gaussian
process over the progress towards the boundary (``Scene.progress``): near in place and similar in change of
colour means similar in effect. The kernel's colour part has a linear term in the change of colour, because a
network is nearly linear in one pixel; the process thus learns from a failed colour that the opposite one may
succeed. Measured in docs/searches.md.
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

LINEAR = 0.7
"""Share of the kernel's colour part that is linear in the change of colour."""

NOISE = 0.1
"""Variance of what the kernel does not explain of a candidate's progress."""

EVIDENCE = 400
"""Scores that the process learns from: the first ones. More cost time and hardly move the order."""

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
        ranks = self._prior_rank
        if len(tried):
            moved = self._posterior(tried[:EVIDENCE], progress[:EVIDENCE])
            ranks = ranks + WEIGHT * moved.reshape(-1)[self.candidates]
        return np.asarray(np.round(ranks, _ROUNDING), dtype=np.float64)

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
