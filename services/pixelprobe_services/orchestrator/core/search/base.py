"""The contract of a search: it proposes candidates and learns from their costs. It never calls anyone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import InvalidSpecError, RegionMode, SearchSettings, Strategy
from pixelprobe_services.orchestrator.core.perturbation import GENES
from pixelprobe_services.orchestrator.core.search.scene import Scene
from pixelprobe_services.orchestrator.core.search.state import SearchState, StateDecodeError

Genes = NDArray[np.float64]
"""(n, k, 5) float64 in [0, 1]: x, y, red, green, blue of k edits, scaled by ``perturbation.decode``."""

Costs = NDArray[np.float64]
"""(n,) float64, the lower the better."""


class SearchProtocolError(RuntimeError):
    """A search was used out of order: ``ask`` after the end, ``tell`` without ``ask``, or without a scene."""


class Search(ABC):
    """One search for one attack: ``bind``, then ``ask``, score elsewhere and ``tell`` until ``finished``.

    The candidates of one ``ask`` are a generation; its size is the search's own choice. The same settings,
    seed, scene and costs give the same candidates, and a search restored from a state taken at any time
    continues bit for bit like the uninterrupted one. Not safe for concurrent use.

    Example::

        search = create_search(SearchSettings(strategy=Strategy.CORNER_SCAN), pixels=1, seed=0)
        search.bind(Scene(image, RegionMap.from_mask(Region.WHOLE, None, 32, 32), clean_cost=0.93))
        while not search.finished:
            search.tell(score(search.ask()))

    Attributes:
        max_pixels: most edits of a candidate that this kind of search can handle; None is any number.
        needs_scores: it cannot work where a target answers with labels alone.
        needs_scene: it cannot propose anything before :meth:`bind`.
        settings: as given.
        pixels: edits of a candidate, k.
        generation: -1 before the first ``tell``, and one more with each.
    """

    max_pixels: ClassVar[int | None] = None
    needs_scores: ClassVar[bool] = True
    needs_scene: ClassVar[bool] = True

    def __init__(self, settings: SearchSettings, pixels: int, seed: int) -> None:
        if pixels < 1:
            raise InvalidSpecError("pixels", f"{pixels} is not positive")
        self.settings = settings
        if self.max_pixels is not None and pixels > self.max_pixels:
            raise InvalidSpecError(
                "pixels", f"{pixels} is more than {self.max_pixels}, the most of {self.name}"
            )
        self.pixels = pixels
        self.generation = -1
        # Named, because NumPy may change its default generator.
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._asked: Genes | None = None
        self._scene: Scene | None = None
        self._best: tuple[Genes, float] | None = None

    @property
    def name(self) -> str:
        """The key of this search in ``factory.SEARCHES``."""
        return self.settings.strategy.value

    @property
    def conclusion(self) -> str:
        """What a finished search without a success has proved, for people; empty where it proves nothing."""
        return ""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether there is nothing left to propose. May need the scene."""

    @abstractmethod
    def _propose(self) -> Genes:
        """Choose the next candidates. The only place that may use the random generator."""

    @abstractmethod
    def _accept(self, candidates: Genes, cost: Costs) -> None:
        """Learn from the costs of the last proposal; never write into what ``_arrays`` returned."""

    @abstractmethod
    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        """What must be saved beside what this base saves. Called only after a ``tell``."""

    @abstractmethod
    def _load(self, state: SearchState) -> None:
        """Take back what ``_arrays`` returned. Raises StateDecodeError where it does not fit."""

    def bind(self, scene: Scene) -> None:
        """Give the search its attack: once after it was created or restored, before ``ask``."""
        self._scene = scene

    @property
    def scene(self) -> Scene:
        """The attack as bound.

        Raises:
            SearchProtocolError: :meth:`bind` was not called.
        """
        if self._scene is None:
            raise SearchProtocolError("the search has no scene: bind one first")
        return self._scene

    @property
    def best_candidate(self) -> Genes:
        """The first candidate that reached ``best_cost``, (k, 5) float64, read-only.

        Raises:
            SearchProtocolError: no cost is known yet.
        """
        return self._known_best()[0]

    @property
    def best_cost(self) -> float:
        """The lowest cost so far.

        Raises:
            SearchProtocolError: no cost is known yet.
        """
        return self._known_best()[1]

    def ask(self) -> Genes:
        """The candidates to score next, (n, k, 5), n >= 1, read-only; the same ones until ``tell``.

        Raises:
            SearchProtocolError: the search is finished, or needs a scene and has none.
        """
        if self.needs_scene:
            _ = self.scene
        if self._asked is None:
            if self.finished:
                raise SearchProtocolError("the search is finished")
            self._asked = self._propose()
            self._asked.setflags(write=False)
        return self._asked

    def tell(self, cost: NDArray[np.floating]) -> None:
        """Take the costs of the candidates last asked for; this ends the generation.

        Args:
            cost: (n,), in the order of ``ask``; infinite is allowed.

        Raises:
            ValueError: another shape, or NaN. The search stays as it was.
            SearchProtocolError: there was no ``ask``.
        """
        if self._asked is None:
            raise SearchProtocolError("tell without ask")
        costs = np.array(cost, dtype=np.float64)
        if costs.shape != self._asked.shape[:1]:
            raise ValueError(f"costs of shape {costs.shape} for {len(self._asked)} candidates")
        if np.isnan(costs).any():
            raise ValueError("a cost is NaN")
        best = int(np.argmin(costs))
        if self._best is None or costs[best] < self._best[1]:
            candidate = self._asked[best].copy()  # not a view, which would keep the whole generation
            candidate.setflags(write=False)
            self._best = candidate, float(costs[best])
        self._accept(self._asked, costs)
        self._asked = None
        self.generation += 1

    def state(self) -> SearchState:
        """All that the search has learned, at any time; later calls do not change it."""
        arrays: dict[str, NDArray[np.float64]] = {}
        if self._best is not None:
            arrays = {
                "best_candidate": self._best[0],
                "best_cost": np.array([self._best[1]]),
                **self._arrays(),
            }
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
        """The search that returned ``state``; its scene must be bound anew.

        Raises:
            StateDecodeError: the state is inconsistent.
        """
        try:
            search = cls(_settings_from_data(state.data["settings"]), int(state.data["pixels"]), seed=0)
            search.generation = int(state.data["generation"])
            search._rng.bit_generator.state = state.data["random"]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise StateDecodeError(f"the saved search is inconsistent: {error!r}") from error
        if search.generation < -1:
            raise StateDecodeError(f"the saved generation {search.generation} is impossible")
        if search.generation >= 0:
            if "best_candidate" in state.arrays:
                candidate = state.genes("best_candidate", (search.pixels, GENES))
                search._best = candidate, float(state.floats("best_cost", (1,))[0])
            search._load(state)
            if search._best is None:
                raise StateDecodeError("the saved search has costs, but no best candidate")
        if "asked" in state.arrays:
            search._asked = state.genes("asked", (None, search.pixels, GENES))
        return search

    def _known_best(self) -> tuple[Genes, float]:
        if self._best is None:
            raise SearchProtocolError("no cost is known yet")
        return self._best


def _settings_to_data(settings: SearchSettings) -> dict[str, Any]:
    enums = {"strategy": settings.strategy.value, "region_mode": settings.region_mode.value}
    return {**asdict(settings), **enums}


def _settings_from_data(data: Mapping[str, Any]) -> SearchSettings:
    enums = {"strategy": Strategy(data["strategy"]), "region_mode": RegionMode(data["region_mode"])}
    return SearchSettings(**{**data, **enums})
