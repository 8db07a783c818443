"""Uniformly random candidates: the baseline that any search must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.orchestrator.core.perturbation import GENES
from pixelprobe_services.orchestrator.core.search.base import Costs, Genes, Search
from pixelprobe_services.orchestrator.core.search.state import SearchState, StateDecodeError


class RandomSearch(Search):
    """Draws ``population`` candidates for each of 1 + ``generations`` generations and learns nothing."""

    needs_scores = False
    needs_scene = False

    @property
    def finished(self) -> bool:
        """Whether all generations were evaluated."""
        return self.generation >= self.settings.generations

    def _propose(self) -> Genes:
        return self._rng.random((self.settings.population, self.pixels, GENES))

    def _accept(self, candidates: Genes, cost: Costs) -> None:
        pass

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        return {}

    def _load(self, state: SearchState) -> None:  # noqa: ARG002 - nothing but the base saves
        if self.generation > self.settings.generations:
            raise StateDecodeError(f"the saved generation {self.generation} is impossible")
