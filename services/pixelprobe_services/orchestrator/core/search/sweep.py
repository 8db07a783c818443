"""Trying the corner candidates of a scene one piece after another, best first; shared by several searches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.orchestrator.core.search.base import Costs, SearchProtocolError
from pixelprobe_services.orchestrator.core.search.order import EVIDENCE, CornerOrder, Numbers
from pixelprobe_services.orchestrator.core.search.scene import Scene
from pixelprobe_services.orchestrator.core.search.state import SearchState, StateDecodeError

PIECES = (10, 10, 10, 20, 20, 40, 50, 50, 100)
"""Candidates of the first pieces: small while scores still change the order much."""

LEADERS = 400
"""How many of the best candidates a sweep remembers with their costs."""

GROWTH = 4
"""A later piece is this part of what was tried already, so that a long sweep has few pieces."""


class CornerSweep:
    """What was tried, with what result, and what comes next.

    Attributes:
        tried: how many candidates have a cost.
        evidence, cost: (m,) the candidates that the order learns from, in the order tried; their costs.
        leaders, leader_cost: (l,) the best ``LEADERS`` of all candidates tried, best first; their costs.

    Learns from the scores of the first ``EVIDENCE`` candidates or a little more, whole pieces; from then on
    the order is fixed, and the number of candidates tried is all that need be saved.
    """

    def __init__(self) -> None:
        self.tried = 0
        self.evidence: Numbers = np.empty(0, dtype=np.intp)
        self.cost: Costs = np.empty(0)
        self.leaders: Numbers = np.empty(0, dtype=np.intp)
        self.leader_cost: Costs = np.empty(0)
        self._order: CornerOrder | None = None
        self._scene: Scene | None = None
        self._rest: Numbers | None = None
        self._ranks: NDArray[np.float64] | None = None

    def bind(self, scene: Scene) -> None:
        """Give the sweep its scene; must come before all that follows."""
        self._scene, self._order, self._rest, self._ranks = scene, None, None, None

    @property
    def size(self) -> int:
        """How many corner candidates there are."""
        return len(self._ordering.candidates)

    @property
    def exhausted(self) -> bool:
        """Whether all were tried."""
        return self.tried >= self.size

    def next_piece(self, most: int | None = None) -> Numbers:
        """The numbers to try next, best first, at most ``most``; at least one unless exhausted."""
        piece, start = PIECES[-1], 0
        for planned in PIECES:
            if self.tried <= start:
                piece = planned
                break
            start += planned
        piece = max(piece, self.tried // GROWTH)
        if most is not None:
            piece = min(piece, most)
        if len(self.evidence) < EVIDENCE:
            return self._ordering.choose(self.evidence, self._bound.progress(self.cost), piece)
        if self._rest is None:
            self._rest = self._ranked_rest()
        start = self.tried - len(self.evidence)
        return self._rest[start : start + piece]

    def add(self, numbers: Numbers, cost: Costs) -> None:
        """Record the costs of the piece last given, in its order."""
        if len(self.evidence) < EVIDENCE:
            self.evidence = np.concatenate([self.evidence, numbers])
            self.cost = np.concatenate([self.cost, cost])
            self._rest = self._ranks = None
        self.tried += len(numbers)
        leaders = np.concatenate([self.leaders, numbers])
        costs = np.concatenate([self.leader_cost, cost])
        best = np.argsort(costs, kind="stable")[:LEADERS]
        self.leaders, self.leader_cost = leaders[best], costs[best]

    def ranks(self) -> tuple[Numbers, NDArray[np.float64]]:
        """All candidates and their ranks by what is known now."""
        if self._ranks is None:
            self._ranks = self._ordering.ranks(self.evidence, self._bound.progress(self.cost))
        return self._ordering.candidates, self._ranks

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """What must be saved."""
        return {
            "sweep_evidence": self.evidence.astype(np.float64),
            "sweep_cost": self.cost,
            "sweep_leaders": self.leaders.astype(np.float64),
            "sweep_leader_cost": self.leader_cost,
            "sweep_tried": np.array([self.tried], dtype=np.float64),
        }

    def load(self, state: SearchState) -> None:
        """Take back what :meth:`arrays` returned. Raises StateDecodeError where it does not fit."""
        self.evidence = state.numbers("sweep_evidence", (None,))
        self.cost = state.floats("sweep_cost", self.evidence.shape)
        self.leaders = state.numbers("sweep_leaders", (None,))
        self.leader_cost = state.floats("sweep_leader_cost", self.leaders.shape)
        self.tried = int(state.numbers("sweep_tried", (1,))[0])
        if self.tried < len(self.evidence):
            raise StateDecodeError(f"{self.tried} candidates were tried, {len(self.evidence)} have costs")

    def _ranked_rest(self) -> Numbers:
        """All candidates without evidence, best first."""
        candidates, ranks = self.ranks()
        left = ~np.isin(candidates, self.evidence)
        return candidates[left][np.argsort(-ranks[left], kind="stable")]

    @property
    def _bound(self) -> Scene:
        if self._scene is None:
            raise SearchProtocolError("the search has no scene: bind one first")
        return self._scene

    @property
    def _ordering(self) -> CornerOrder:
        if self._order is None:
            self._order = CornerOrder(self._bound)
        return self._order
