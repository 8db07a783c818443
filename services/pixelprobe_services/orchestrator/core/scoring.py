"""One generation's candidates: which must be sent, and what is known without sending.

Three kinds of candidate (method.md, "Staying in the region"): *skipped* ones have no edit left and are the
clean image; *repeated* ones equal, pixel for pixel, one scored before in the same attack or an earlier one
of this generation; the rest are *fresh* and go to the target.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.orchestrator.core.memory import ScoredMemory, first_occurrences
from pixelprobe_services.orchestrator.core.perturbation import EffectiveEdits


class GenerationScoring:
    """Fills in the answers of ``n`` candidates as they come.

    Args:
        candidates: what the candidates really change.
        memory: what this attack has scored so far; every recorded answer goes into it.
        clean_probability: the scored class's probability on the clean image.
        clean_class: the clean image's class.
    """

    def __init__(
        self,
        candidates: EffectiveEdits,
        memory: ScoredMemory,
        clean_probability: float,
        clean_class: int,
    ) -> None:
        self.candidates = candidates
        self._memory = memory
        count = len(candidates.counts)
        self._probability = np.full(count, np.nan, dtype=np.float64)
        self._top_class = np.full(count, -1, dtype=np.int32)
        clean = candidates.counts == 0
        self._probability[clean] = clean_probability
        self._top_class[clean] = clean_class
        rows = memory.lookup(candidates.edits)
        known = ~clean & (rows >= 0)
        self._probability[known], self._top_class[known] = memory.answers(rows[known])
        self._first = first_occurrences(candidates.edits)
        unknown = ~clean & ~known
        self.fresh = np.flatnonzero(unknown & (self._first == np.arange(count)))
        self.skipped = int(clean.sum())
        self.repeated = int(known.sum() + unknown.sum() - len(self.fresh))

    def record(
        self, rows: NDArray[np.intp], probability: NDArray[np.float32], top_class: NDArray[np.int32]
    ) -> None:
        """The answers of ``rows`` (indices out of :attr:`fresh`)."""
        self._probability[rows] = probability
        self._top_class[rows] = top_class
        self._memory.insert(self.candidates.edits[rows], probability, top_class)

    def probabilities(self) -> NDArray[np.float64]:
        """The scored class's probability of all candidates, (n,) float64; NaN where not yet known."""
        return np.where(np.isnan(self._probability), self._probability[self._first], self._probability)
