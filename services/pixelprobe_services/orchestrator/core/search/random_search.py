"""Uniformly random candidates: the baseline that any search must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.orchestrator.core.search.base import Costs, Genes, Search, SearchProtocolError
from pixelprobe_services.orchestrator.core.search.state import SearchState


class RandomSearch(Search):
    """Learns nothing; of all candidates ever told it keeps the best, of equally good ones the first.

    Uses ``population`` and ``generations`` of the settings.
    """

    name = "random"

    _best_candidate: Genes | None = None
    _best_cost: float = np.inf

    @property
    def best_candidate(self) -> Genes:
        return self._told()[0]

    @property
    def best_cost(self) -> float:
        return self._told()[1]

    def _propose(self) -> Genes:
        return self._rng.random(self.shape)

    def _accept(self, candidates: Genes, cost: Costs) -> None:
        best = int(np.argmin(cost))
        if self._best_candidate is None or cost[best] < self._best_cost:
            # A copy, so as not to hold on to the whole population.
            self._best_candidate, self._best_cost = candidates[best].copy(), float(cost[best])
            self._best_candidate.setflags(write=False)

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        candidate, cost = self._told()
        return {"best_candidate": candidate, "best_cost": np.array([cost])}

    def _load(self, state: SearchState) -> None:
        self._best_candidate = state.genes("best_candidate", self.shape[1:])
        self._best_cost = float(state.floats("best_cost", (1,))[0])

    def _told(self) -> tuple[Genes, float]:
        if self._best_candidate is None:
            raise SearchProtocolError("the first population was not told yet")
        return self._best_candidate, self._best_cost
