"""The default for several pixels: single pixels are scanned, and the best of them combined and exchanged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import SearchSettings
from pixelprobe_services.orchestrator.core.perturbation import GENES
from pixelprobe_services.orchestrator.core.search.base import Costs, Genes, Search
from pixelprobe_services.orchestrator.core.search.scene import Scene
from pixelprobe_services.orchestrator.core.search.state import SearchState
from pixelprobe_services.orchestrator.core.search.sweep import CornerSweep

SCAN = 300
"""Single pixels that are tried; until then every other generation combines what they have shown."""

COMBINED = (5, 10, 10, 20)
"""Candidates of the generations that combine; the last number goes for all that follow."""

FREE = 0.15
"""Share of exchanged pixels that take a random colour instead of a corner."""

DRAWN_FROM = 8192
"""Candidates that exchanges draw from: the best, which in an image of 32 x 32 is all."""

RESTART = 0.2
"""Share of candidates that combine leaders anew instead of exchanging pixels of the best candidate."""


class AutoFewPixels(Search):
    """A scan of single pixels, then a search over sets of k pixels that draws from the scan's ranks.

    Effects of single pixels nearly add up in logits, so the set of the k best ones is tried early; then, as
    in Sparse-RS, pixels of the best set are exchanged, but by draws from the ranks that the scan's scores
    gave (``order``) instead of uniform ones. Sends at most ``population`` * (1 + ``generations``) queries.
    """

    def __init__(self, settings: SearchSettings, pixels: int, seed: int) -> None:
        super().__init__(settings, pixels, seed)
        self._sweep = CornerSweep()
        self._sent = 0
        self._combined = 0  # generations that combined
        self._current: Genes | None = None
        self._cost = np.inf

    def bind(self, scene: Scene) -> None:
        super().bind(scene)
        self._sweep.bind(scene)

    @property
    def finished(self) -> bool:
        """Whether all queries were used."""
        return self._sent >= self._most

    @property
    def _most(self) -> int:
        return self.settings.population * (1 + self.settings.generations)

    @property
    def _scans_next(self) -> bool:
        scan_is_over = self._sweep.tried >= min(SCAN, self._sweep.size)
        return not scan_is_over and self.generation + 1 == 2 * self._combined

    def _propose(self) -> Genes:
        if self._scans_next:
            numbers = self._sweep.next_piece(self._most - self._sent)
            return np.repeat(self.scene.corner_genes(numbers)[:, None, :], self.pixels, axis=1)
        count = min(COMBINED[min(self._combined, len(COMBINED) - 1)], self._most - self._sent)
        numbers, ranks = self._sweep.ranks()
        if len(numbers) > DRAWN_FROM:
            best = np.sort(np.argpartition(-ranks, DRAWN_FROM)[:DRAWN_FROM])
            numbers, ranks = numbers[best], ranks[best]
        proposals = [self._of_leaders(noise=False)]
        for _ in range(count - 1):
            if self._current is None or self._rng.random() < RESTART:
                proposals.append(self._of_leaders(noise=True))
            else:
                proposals.append(self._exchanged(self._current, numbers, ranks))
        return np.stack(proposals)

    def _of_leaders(self, *, noise: bool) -> Genes:
        """The k best single pixels, or k drawn by rank; no two on one pixel where there are enough."""
        leaders = self._sweep.leaders
        keys = -np.log(1.0 + np.arange(len(leaders)))
        if noise:
            keys = keys + self._rng.gumbel(size=len(leaders))
        order = leaders[np.argsort(-keys, kind="stable")]
        height, width = self.scene.size
        _, first = np.unique(order % (height * width), return_index=True)
        chosen = order[np.sort(first)][: self.pixels]
        return self.scene.corner_genes(np.resize(chosen, self.pixels))

    def _exchanged(self, current: Genes, numbers: NDArray[np.intp], ranks: NDArray[np.float64]) -> Genes:
        """``current`` with one edit, now and then two, drawn anew from the ranks."""
        exchanged = current.copy()
        count = 2 if self.pixels > 2 and self._rng.random() < 0.2 else 1
        slots = self._rng.permutation(self.pixels)[:count]
        drawn = numbers[np.argsort(-(ranks + self._rng.gumbel(size=len(ranks))))[:count]]
        exchanged[slots] = self.scene.corner_genes(drawn)[: len(slots)]
        if self._rng.random() < FREE:
            exchanged[slots[0], 2:] = self._rng.random(3)
        return exchanged

    def _accept(self, candidates: Genes, cost: Costs) -> None:
        if self._scans_next:
            self._sweep.add(self.scene.corner_numbers(candidates[:, 0]), cost)
        else:
            self._combined += 1
            best = int(np.argmin(cost))
            if cost[best] <= self._cost or self._current is None:
                self._current, self._cost = candidates[best].copy(), float(cost[best])
        self._sent += len(cost)

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        counts = np.array([self._sent, self._combined], dtype=np.float64)
        arrays = self._sweep.arrays() | {"counts": counts, "current_cost": np.array([self._cost])}
        return arrays | ({} if self._current is None else {"current": self._current})

    def _load(self, state: SearchState) -> None:
        self._sweep.load(state)
        self._sent, self._combined = state.numbers("counts", (2,)).tolist()
        self._cost = float(state.floats("current_cost", (1,))[0])
        if "current" in state.arrays:
            self._current = state.genes("current", (self.pixels, GENES))
