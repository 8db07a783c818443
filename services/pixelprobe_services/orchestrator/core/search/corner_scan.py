"""An exact search over corner colours for one pixel: all of them in the end, the likeliest first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import SearchSettings
from pixelprobe_services.orchestrator.core.search.base import Costs, Genes, Search
from pixelprobe_services.orchestrator.core.search.scene import Scene
from pixelprobe_services.orchestrator.core.search.state import SearchState
from pixelprobe_services.orchestrator.core.search.sweep import CornerSweep


class CornerScan(Search):
    """Tries the eight corner colours of every pixel of the region; see ``order`` for the order.

    Deterministic: the seed changes nothing. Ignores ``population`` and ``generations``: it ends when every
    candidate was tried, and then it is a proof. Where a target answers with labels alone it stays exact, but
    has no scores to learn from.
    """

    max_pixels = 1
    needs_scores = False

    def __init__(self, settings: SearchSettings, pixels: int, seed: int) -> None:
        super().__init__(settings, pixels, seed)
        self._sweep = CornerSweep()

    def bind(self, scene: Scene) -> None:
        super().bind(scene)
        self._sweep.bind(scene)

    @property
    def finished(self) -> bool:
        """Whether every corner candidate was tried."""
        _ = self.scene
        return self._sweep.exhausted

    @property
    def conclusion(self) -> str:
        return exact_conclusion(self.scene, self._sweep) if self.finished else ""

    def _propose(self) -> Genes:
        return self.scene.corner_genes(self._sweep.next_piece())[:, None, :]

    def _accept(self, candidates: Genes, cost: Costs) -> None:
        self._sweep.add(self.scene.corner_numbers(candidates[:, 0]), cost)

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        return self._sweep.arrays()

    def _load(self, state: SearchState) -> None:
        self._sweep.load(state)


def exact_conclusion(scene: Scene, sweep: CornerSweep) -> str:
    """What an exhausted sweep without a success has proved."""
    goal = "reaches the target class" if scene.targeted else "fools this image"
    return f"no corner colour of any pixel of the region {goal} (all {sweep.size} tried)"
