"""Differential evolution that starts from the best candidates of a scan of corner colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import SearchSettings
from pixelprobe_services.orchestrator.core.perturbation import GENES
from pixelprobe_services.orchestrator.core.search.base import Costs, Genes
from pixelprobe_services.orchestrator.core.search.corner_scan import exact_conclusion
from pixelprobe_services.orchestrator.core.search.differential_evolution import (
    DifferentialEvolution,
    latin_hypercube,
)
from pixelprobe_services.orchestrator.core.search.scene import Scene
from pixelprobe_services.orchestrator.core.search.state import SearchState, StateDecodeError
from pixelprobe_services.orchestrator.core.search.sweep import CornerSweep


class SeededEvolution(DifferentialEvolution):
    """Scans ``population`` corner candidates, evolves the best of them for ``generations`` (DE/rand/1/bin).

    With one pixel the start population is what the scan found, which is not paid for twice. With more, each
    member combines k of the scan's best single pixels. A region with too few candidates gets the rest of its
    population from a Latin hypercube.
    """

    needs_scene = True

    def __init__(self, settings: SearchSettings, pixels: int, seed: int) -> None:
        super().__init__(settings, pixels, seed)
        self._sweep = CornerSweep()
        self._evolved = -1
        """Generations of the evolution so far; -1 before the start population has costs."""

    def bind(self, scene: Scene) -> None:
        super().bind(scene)
        self._sweep.bind(scene)

    @property
    def finished(self) -> bool:
        """Whether the evolution is over."""
        return self._evolved >= self._generations

    @property
    def _scan_size(self) -> int:
        """Candidates of the scan."""
        return min(self.settings.population, self._sweep.size)

    @property
    def _generations(self) -> int:
        """Of the evolution, after its start population."""
        return self.settings.generations

    @property
    def _scanning(self) -> bool:
        return self._evolved < 0 and self._sweep.tried < self._scan_size

    def _propose(self) -> Genes:
        if self._scanning:
            numbers = self._sweep.next_piece(self._scan_size - self._sweep.tried)
            return np.repeat(self.scene.corner_genes(numbers)[:, None, :], self.pixels, axis=1)
        if self._population is None:
            return self._start_population()
        return self._trials(self._population)

    def _start_population(self) -> Genes:
        size = self._shape[0]
        leaders = self._sweep.leaders
        if self.pixels == 1:
            members = leaders[:size, None]
        else:
            # Gumbel noise on log weights draws without replacement, a leader's weight being 1 / its rank.
            keys = -np.log(1.0 + np.arange(len(leaders))) + self._rng.gumbel(size=(size, len(leaders)))
            members = leaders[np.argsort(-keys, axis=1)[:, : self.pixels]]
            members[0] = leaders[: self.pixels]
        genes = self.scene.corner_genes(members)
        if len(genes) < size:
            rest = latin_hypercube(self._rng, size - len(genes), self.pixels * GENES)
            genes = np.concatenate([genes, rest.reshape(-1, self.pixels, GENES)])
        return genes

    def _accept(self, candidates: Genes, cost: Costs) -> None:
        if self._scanning:
            self._sweep.add(self.scene.corner_numbers(candidates[:, 0]), cost)
        else:
            super()._accept(candidates, cost)
            self._evolved += 1

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        arrays = self._sweep.arrays() | {"evolved": np.array([self._evolved + 1.0])}
        return arrays | super()._arrays() if self._evolved >= 0 else arrays

    def _load(self, state: SearchState) -> None:
        self._sweep.load(state)
        self._evolved = int(state.numbers("evolved", (1,))[0]) - 1
        if self._evolved >= 0:
            self._population = state.genes("population", self._shape)
            self._cost = state.floats("cost", self._shape[:1])
        if self._evolved > self.generation:
            raise StateDecodeError(f"generation {self._evolved} of the evolution is impossible")


class AutoOnePixel(SeededEvolution):
    """The default for one pixel: scan all corner colours, then let the best evolve with free colours.

    The most it sends is ``population`` * (1 + ``generations``), as with differential evolution: a scan that
    is not through by then leaves the last fifth to the evolution. After a complete scan, which found nothing,
    the evolution is short.
    """

    EVOLVING = 100
    """Most members of the evolving population."""

    FREE_COLOURS = 2000
    """Most candidates of the evolution after a complete scan."""

    @property
    def conclusion(self) -> str:
        if not (self.finished and self._sweep.exhausted):
            return ""
        free = self._evolved * self._shape[0]
        return f"{exact_conclusion(self.scene, self._sweep)}; nor does any of {free} further candidates"

    @property
    def _most(self) -> int:
        return self.settings.population * (1 + self.settings.generations)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return min(self.EVOLVING, self.settings.population), self.pixels, GENES

    @property
    def _scan_size(self) -> int:
        return min(self._sweep.size, self._most - self._most // 5)

    @property
    def _generations(self) -> int:
        left = self._most - self._scan_size
        if self._scan_size == self._sweep.size:
            left = min(left, self.FREE_COLOURS)
        return left // self._shape[0]
