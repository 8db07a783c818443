"""OPPSLA's one-pixel search, *One Pixel Adversarial Attacks via Sketched Programs* (PLDI 2023).

Corner colours in the paper's start order: first each pixel's most distant corner, then its next, and so on;
within each, pixels from the centre outwards. Four conditions then move candidates in the queue by the score
just seen. The paper learns the conditions for each network and class; this search has one fixed program of
the paper's form, so that nothing is spent on the target beforehand. The paper sends one query at a time; here
a generation is at most a twentieth of what was sent before, so that a long search has few round trips.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import SearchSettings
from pixelprobe_services.orchestrator.core.search.base import Costs, Genes, Search
from pixelprobe_services.orchestrator.core.search.scene import Scene
from pixelprobe_services.orchestrator.core.search.state import SearchState

NEIGHBOURS_BACK_BELOW = 0.0
"""B1: a score drop below this moves the neighbours, same colour, to the back of the queue."""

NEXT_COLOUR_BACK_ABOVE = 1.0
"""B2: a clean pixel whose brightest channel is above this moves its next colour to the back: never."""

NEIGHBOURS_FIRST_ABOVE = 0.1
"""B3: a score drop above this moves the neighbours, same colour, to the front."""

NEXT_COLOUR_FIRST_WITHIN = 0.0
"""B4: a pixel nearer to the centre than this, of 32 x 32, moves its next colour to the front: never.

The program was chosen on recorded scores of the shipped NiN: a program with the thresholds that the paper
gives as an example (0.21, 0.19, 0.25, 8) needed three times the queries there.
"""

_ENDS = 1e12
"""Beyond every place in the start order: keys from here are the back, those from minus this the front."""


class SketchSearch(Search):
    """Tries every corner candidate in OPPSLA's order; deterministic, exact when it ends."""

    max_pixels = 1

    def __init__(self, settings: SearchSettings, pixels: int, seed: int) -> None:
        super().__init__(settings, pixels, seed)
        self._moved: dict[int, float] = {}
        """Keys of candidates that left their start place in the queue; infinite once tried."""
        self._moves = 0
        self._tried = 0
        self._key = np.empty(0)

    def bind(self, scene: Scene) -> None:
        super().bind(scene)
        self._order = _StartOrder(scene)
        self._key = self._order.place.copy()
        for number, key in self._moved.items():
            self._key[number] = key

    @property
    def finished(self) -> bool:
        """Whether every corner candidate was tried."""
        return self._tried >= len(self.scene.corner_candidates)

    @property
    def conclusion(self) -> str:
        if not self.finished:
            return ""
        goal = "reaches the target class" if self.scene.targeted else "fools this image"
        return f"no corner colour of any pixel of the region {goal} (all {self._tried} tried)"

    def _propose(self) -> Genes:
        left = len(self.scene.corner_candidates) - self._tried
        piece = min(max(1, self._tried // 20), left)
        chosen = np.argpartition(self._key, piece - 1)[:piece]
        chosen = chosen[np.lexsort((chosen, self._key[chosen]))]
        return self.scene.corner_genes(chosen)[:, None, :]

    def _accept(self, candidates: Genes, cost: Costs) -> None:
        numbers = self.scene.corner_numbers(candidates[:, 0])
        eager = self._key[numbers] < 0
        for number in numbers:
            self._move(int(number), np.inf)
        self._tried += len(numbers)
        drops = self.scene.clean_cost - cost
        for number, drop, was_eager in zip(numbers.tolist(), drops.tolist(), eager.tolist(), strict=True):
            neighbours = self._waiting(self._order.neighbours(number))
            following = self._waiting(self._order.next_colour(number))
            if not was_eager:
                if drop < NEIGHBOURS_BACK_BELOW:
                    self._move_all(neighbours, front=False)
                if self._order.brightest(number) > NEXT_COLOUR_BACK_ABOVE:
                    self._move_all(following, front=False)
            if drop > NEIGHBOURS_FIRST_ABOVE:
                self._move_all(neighbours, front=True)
            if self._order.from_centre(number) < NEXT_COLOUR_FIRST_WITHIN:
                self._move_all(following, front=True)

    def _waiting(self, numbers: list[int]) -> list[int]:
        return [number for number in numbers if np.isfinite(self._key[number])]

    def _move_all(self, numbers: list[int], *, front: bool) -> None:
        for number in numbers:
            if front and self._key[number] < 0:
                continue  # it is at the front already
            end = -_ENDS if front else _ENDS
            self._move(number, end + self._moves)

    def _move(self, number: int, key: float) -> None:
        self._moves += 1
        self._moved[number] = key
        self._key[number] = key

    def _arrays(self) -> dict[str, NDArray[np.float64]]:
        return {
            "moved": np.array(list(self._moved.items()), dtype=np.float64),
            "counts": np.array([self._tried, self._moves], dtype=np.float64),
        }

    def _load(self, state: SearchState) -> None:
        self._moved = {int(number): key for number, key in state.floats("moved", (None, 2)).tolist()}
        self._tried, self._moves = state.numbers("counts", (2,)).tolist()


class _StartOrder:
    """The queue before any score, and what the conditions ask of a candidate, all by number."""

    def __init__(self, scene: Scene) -> None:
        height, width = scene.size
        self._size = height, width
        rows, columns = np.indices((height, width))
        down, right = rows - (height - 1) / 2, columns - (width - 1) / 2
        self._from_centre = np.maximum(np.abs(down) * 32 / height, np.abs(right) * 32 / width).reshape(-1)
        self._brightest = scene.image.max(axis=-1).reshape(-1) / 255.0
        contrast = scene.contrast.reshape(len(scene.contrast), -1)
        self._colours = np.argsort(-contrast, axis=0, kind="stable")
        """(8, pixels): of each pixel its corners, the most distant first."""
        self._turn = np.argsort(self._colours, axis=0, kind="stable")
        outwards = np.broadcast_to((np.abs(down) + np.abs(right)).reshape(-1), contrast.shape)
        self.place = np.full(contrast.size, np.inf)
        candidates = scene.corner_candidates
        self._is_candidate = np.zeros(contrast.size, dtype=np.bool_)
        self._is_candidate[candidates] = True
        order = np.lexsort((candidates, outwards.reshape(-1)[candidates], self._turn.reshape(-1)[candidates]))
        self.place[candidates[order]] = np.arange(len(candidates), dtype=np.float64)

    def neighbours(self, number: int) -> list[int]:
        """The candidates of the same colour at the eight pixels around."""
        height, width = self._size
        corner, pixel = divmod(number, height * width)
        row, column = divmod(pixel, width)
        found = [
            corner * height * width + y * width + x
            for y in range(max(row - 1, 0), min(row + 2, height))
            for x in range(max(column - 1, 0), min(column + 2, width))
            if (y, x) != (row, column)
        ]
        return [candidate for candidate in found if self._is_candidate[candidate]]

    def next_colour(self, number: int) -> list[int]:
        """The candidate of the same pixel with the next nearer colour; none after the last."""
        pixels = self._size[0] * self._size[1]
        corner, pixel = divmod(number, pixels)
        turn = int(self._turn[corner, pixel]) + 1
        if turn >= len(self._colours):
            return []
        candidate = int(self._colours[turn, pixel]) * pixels + pixel
        return [candidate] if self._is_candidate[candidate] else []

    def brightest(self, number: int) -> float:
        """The clean pixel's largest channel, 0 to 1."""
        return float(self._brightest[number % len(self._brightest)])

    def from_centre(self, number: int) -> float:
        """Chebyshev distance from the centre in pixels of a 32 x 32 image."""
        return float(self._from_centre[number % len(self._from_centre)])
