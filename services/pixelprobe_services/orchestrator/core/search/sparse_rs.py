"""Sparse-RS (Croce, Andriushchenko, Singh, Flammarion, Hein, AAAI 2022), its L0 version, in batches.

A candidate is a set of k pixels of the region with corner colours. A step draws a few of them anew, place
and colour, and keeps the result if it is no worse. The paper tries one proposal a step; here a generation is
a batch of proposals from one set, and the best of them is the step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import SearchSettings
from pixelprobe_services.orchestrator.core.search.base import Costs, Genes, Search
from pixelprobe_services.orchestrator.core.search.state import SearchState

BATCH = 10
"""Proposals a step. More would save round trips and cost queries."""

START_SHARE = 0.3
"""Share of the pixels drawn anew in the first step (the paper's alpha for L0)."""

SCHEDULE = (
    (50, 2), (200, 4), (500, 5), (1000, 6), (2000, 8), (4000, 10), (6000, 12), (8000, 15), (10_000, 20),
)  # fmt: skip
"""The paper's: up to so many of 10,000 queries, the share is the start's divided by the second number."""


class SparseRandomSearch(Search):
    """Sends ``population`` * (1 + ``generations``) queries at most, like differential evolution."""

    def __init__(self, settings: SearchSettings, pixels: int, seed: int) -> None:
        super().__init__(settings, pixels, seed)
        self._sent = 0
        self._current: Genes = np.empty((pixels, 0))
        self._cost = np.inf

    @property
    def finished(self) -> bool:
        """Whether all queries were used."""
        return self._sent >= self._most

    @property
    def _most(self) -> int:
        return self.settings.population * (1 + self.settings.generations)

    def _propose(self) -> Genes:
        count = min(BATCH, self._most - self._sent)
        if not self._sent:
            return np.stack([self._draw(self.pixels) for _ in range(count)])
        proposals = np.repeat(self._current[None], count, axis=0)
        replaced = self._replaced()
        for proposal in proposals:
            slots = self._rng.permutation(self.pixels)[:replaced]
            proposal[slots] = self._draw(replaced)
        return proposals

    def _draw(self, count: int) -> Genes:
        """(count, 5): edits drawn uniformly, on different pixels as far as the region has so many."""
        height, width = self.scene.size
        numbers = self.scene.corner_candidates
        chosen: list[int] = []
        while len(chosen) < count:
            drawn = numbers[self._rng.integers(len(numbers), size=8 * count)]
            _, first = np.unique(drawn % (height * width), return_index=True)
            chosen += drawn[np.sort(first)].tolist()
        return self.scene.corner_genes(np.array(chosen[:count]))

    def _replaced(self) -> int:
        """How many pixels a step draws anew now."""
        at = self._sent * 10_000 / self._most
        divisor = next((divisor for until, divisor in SCHEDULE if at <= until), SCHEDULE[-1][1])
        return max(1, int(START_SHARE / divisor * self.pixels))

    def _accept(self, candidates: Genes, cost: Costs) -> None:
        best = int(np.argmin(cost))
        if cost[best] <= self._cost or not self._sent:
            self._current, self._cost = candidates[best].copy(), float(cost[best])
        self._sent += len(cost)

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        return {
            "current": self._current,
            "current_cost": np.array([self._cost]),
            "sent": np.array([float(self._sent)]),
        }

    def _load(self, state: SearchState) -> None:
        self._current = state.genes("current", (self.pixels, 5))
        self._cost = float(state.floats("current_cost", (1,))[0])
        self._sent = int(state.numbers("sent", (1,))[0])
