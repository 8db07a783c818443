"""Differential evolution as the paper defines it (sections III-C and IV-B), one whole generation at a time.

Where the paper is silent: CR is 0.7 and genes that leave [0, 1] are drawn again, both as in SciPy; selection
is synchronous, so that a generation is one batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import Strategy
from pixelprobe_services.orchestrator.core.perturbation import GENES
from pixelprobe_services.orchestrator.core.search.base import Costs, Genes, Search, SearchProtocolError
from pixelprobe_services.orchestrator.core.search.state import SearchState, StateDecodeError


class DifferentialEvolution(Search):
    """DE/rand/1/bin (the paper's) and DE/best/1/bin, from a Latin hypercube. Needs no scene."""

    needs_scene = False

    _population: Genes | None = None
    _cost: Costs | None = None

    @property
    def finished(self) -> bool:
        """Whether all generations were evaluated."""
        return self.generation >= self.settings.generations

    @property
    def _shape(self) -> tuple[int, int, int]:
        """(population, k, 5)."""
        return self.settings.population, self.pixels, GENES

    def _propose(self) -> Genes:
        if self._population is None:
            size, pixels, genes = self._shape
            return latin_hypercube(self._rng, size, pixels * genes).reshape(self._shape)
        return self._trials(self._population)

    def _trials(self, population: Genes) -> Genes:
        """One trial for each parent: mutation (eq. 11), crossover (eq. 13), and repair of genes outside."""
        parents = population.reshape(len(population), -1)
        mutants = self._mutate(parents)
        trials = np.where(crossed(self._rng, parents.shape, self.settings.crossover_rate), mutants, parents)
        outside = (trials < 0.0) | (trials > 1.0)
        trials[outside] = self._rng.random(np.count_nonzero(outside))
        return trials.reshape(population.shape)

    def _mutate(self, parents: Genes) -> Genes:
        """Eq. 11, with one F for the whole generation. rand1 starts at a random parent, best1 at the best."""
        low, high = self.settings.mutation_low, self.settings.mutation_high
        factor = low + (high - low) * self._rng.random()
        if self.settings.strategy is Strategy.BEST1BIN:
            r2, r3 = distinct_indices(self._rng, len(parents), 2)
            population, cost = self._evaluated()
            base = population[np.argmin(cost)].reshape(1, -1)
        else:
            r1, r2, r3 = distinct_indices(self._rng, len(parents), 3)
            base = parents[r1]
        mutants: Genes = base + factor * (parents[r2] - parents[r3])
        return mutants

    def _accept(self, candidates: Genes, cost: Costs) -> None:
        """Greedy selection: each trial replaces its parent if it is not worse."""
        if self._population is not None and self._cost is not None:
            replaced = cost <= self._cost
            candidates = np.where(replaced[:, None, None], candidates, self._population)
            cost = np.where(replaced, cost, self._cost)
        for array in (candidates, cost):
            array.setflags(write=False)
        self._population, self._cost = candidates, cost

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        population, cost = self._evaluated()
        return {"population": population, "cost": cost}

    def _load(self, state: SearchState) -> None:
        if self.generation > self.settings.generations:
            raise StateDecodeError(f"the saved generation {self.generation} is impossible")
        self._population = state.genes("population", self._shape)
        self._cost = state.floats("cost", self._shape[:1])
        if self._best is None:  # earlier versions saved no best candidate: a population never loses its best
            best = int(np.argmin(self._cost))
            self._best = self._population[best], float(self._cost[best])

    def _evaluated(self) -> tuple[Genes, Costs]:
        if self._population is None or self._cost is None:
            raise SearchProtocolError("the start population has no costs yet")
        return self._population, self._cost


def latin_hypercube(rng: np.random.Generator, size: int, dimensions: int) -> NDArray[np.float64]:
    """(size, dimensions) in [0, 1]: each [i / size, (i + 1) / size) has one point in every dimension.

    Written out here, not taken from SciPy, so that a seed means the same whatever the SciPy at hand.
    """
    strata = rng.permuted(np.tile(np.arange(size), (dimensions, 1)), axis=1).T
    points: NDArray[np.float64] = (strata + rng.random((size, dimensions))) / size
    return points


def distinct_indices(rng: np.random.Generator, size: int, count: int) -> NDArray[np.int64]:
    """(count, size) int64: column i holds ``count`` indices that differ from i and from one another.

    All such choices of indices in [0, size) are equally likely. Needs ``size`` > ``count``.
    """
    taken = np.arange(size)[None, :]
    for _ in range(count):
        drawn = rng.integers(size - len(taken), size=size)
        # Draw from what is left, then step over what is taken, lowest first.
        for other in np.sort(taken, axis=0):
            drawn += drawn >= other
        taken = np.vstack([taken, drawn])
    return taken[1:]


def crossed(rng: np.random.Generator, shape: tuple[int, int], rate: float) -> NDArray[np.bool_]:
    """Eq. 13: which genes come from the mutant, (size, genes) bool.

    Each does with probability ``rate``; one of each candidate, drawn uniformly, does for certain.
    """
    size, genes = shape
    mask = rng.random(shape) < rate
    mask[np.arange(size), rng.integers(genes, size=size)] = True
    return mask
