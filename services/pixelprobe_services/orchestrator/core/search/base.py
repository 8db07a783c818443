"""What a search is: it is asked for candidates and told their cost. It never calls anyone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import InvalidSpecError, RegionMode, SearchSettings, Strategy
from pixelprobe_services.orchestrator.core.perturbation import GENES
from pixelprobe_services.orchestrator.core.search.state import SearchState, StateDecodeError

Genes = NDArray[np.float64]
"""(population, k, 5) float64 in [0, 1]: x, y, red, green, blue of k edits, scaled by ``decode``."""

Costs = NDArray[np.float64]
"""(population,) float64, the lower the better."""


class SearchProtocolError(RuntimeError):
    """Asked after the last generation, told without having been asked, or the best wanted before any."""


class Search(ABC):
    """One search for one attack: ``ask``, score elsewhere, ``tell``, and again until ``finished``.

    The same settings, seed and costs give the same candidates, and a search restored from its state, taken
    at any time, goes on bit for bit like the one that was not interrupted. Not safe for concurrent use.

    Attributes:
        settings: as given.
        pixels: edits of a candidate, k.
        generation: -1 before the start population was told, 0 after it, and one more with each telling.
    """

    def __init__(self, settings: SearchSettings, pixels: int, seed: int) -> None:
        if pixels < 1:
            raise InvalidSpecError("pixels", f"{pixels} is not positive")
        self.settings = settings
        self.pixels = pixels
        self.generation = -1
        # Named, because NumPy may change its default generator.
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._asked: Genes | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """Under which ``factory.SEARCHES`` finds this search."""

    @property
    @abstractmethod
    def best_candidate(self) -> Genes:
        """A candidate that was told ``best_cost``, (k, 5) float64, read-only.

        Raises:
            SearchProtocolError: nothing was told yet.
        """

    @property
    @abstractmethod
    def best_cost(self) -> float:
        """The lowest cost told so far.

        Raises:
            SearchProtocolError: nothing was told yet.
        """

    @abstractmethod
    def _propose(self) -> Genes:
        """Draw the next population. The only place that may use the random generator."""

    @abstractmethod
    def _accept(self, candidates: Genes, cost: Costs) -> None:
        """Learn from the costs of the population last proposed; never write into what ``_arrays`` gave."""

    @abstractmethod
    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        """What must be saved beside what this base saves. Called once a population was told."""

    @abstractmethod
    def _load(self, state: SearchState) -> None:
        """Take back what ``_arrays`` gave. Raises StateDecodeError where it does not fit."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(population, k, 5)."""
        return self.settings.population, self.pixels, GENES

    @property
    def finished(self) -> bool:
        """Whether all generations were told."""
        return self.generation >= self.settings.generations

    def ask(self) -> Genes:
        """The candidates to score next, (population, k, 5), read-only. The same ones until they are told.

        Raises:
            SearchProtocolError: the search is finished.
        """
        if self._asked is None:
            if self.finished:
                raise SearchProtocolError(f"all {self.settings.generations} generations were told")
            self._asked = self._propose()
            self._asked.setflags(write=False)
        return self._asked

    def tell(self, cost: NDArray[np.floating]) -> None:
        """Take the costs of the candidates last asked for; this ends the generation.

        Args:
            cost: (population,), in the order of ``ask``; infinite is allowed.

        Raises:
            ValueError: another shape, or NaN. The search stays as it was.
            SearchProtocolError: nothing was asked.
        """
        if self._asked is None:
            raise SearchProtocolError("told without having been asked")
        told = np.array(cost, dtype=np.float64)
        if told.shape != (self.settings.population,):
            raise ValueError(f"costs of shape {told.shape} for a population of {self.settings.population}")
        if np.isnan(told).any():
            raise ValueError("a cost is NaN")
        self._accept(self._asked, told)
        self._asked = None
        self.generation += 1

    def state(self) -> SearchState:
        """All that the search is, at any time; later calls do not change it."""
        arrays = self._arrays() if self.generation >= 0 else {}
        if self._asked is not None:
            arrays["asked"] = self._asked
        data = {
            "settings": _settings_to_data(self.settings),
            "pixels": self.pixels,
            "generation": self.generation,
            "random": self._rng.bit_generator.state,
        }
        return SearchState(self.name, arrays, data)

    @classmethod
    def restore(cls, state: SearchState) -> Self:
        """The search that gave ``state``.

        Raises:
            StateDecodeError: the state does not hold together.
        """
        try:
            search = cls(_settings_from_data(state.data["settings"]), int(state.data["pixels"]), seed=0)
            search.generation = int(state.data["generation"])
            search._rng.bit_generator.state = state.data["random"]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise StateDecodeError(f"the saved search does not hold together: {error!r}") from error
        if not -1 <= search.generation <= search.settings.generations:
            raise StateDecodeError(f"the saved generation {search.generation} cannot be")
        if search.generation >= 0:
            search._load(state)
        if "asked" in state.arrays:
            search._asked = state.genes("asked", search.shape)
        return search


def _settings_to_data(settings: SearchSettings) -> dict[str, Any]:
    enums = {"strategy": settings.strategy.value, "region_mode": settings.region_mode.value}
    return {**asdict(settings), **enums}


def _settings_from_data(data: Mapping[str, Any]) -> SearchSettings:
    enums = {"strategy": Strategy(data["strategy"]), "region_mode": RegionMode(data["region_mode"])}
    return SearchSettings(**{**data, **enums})
