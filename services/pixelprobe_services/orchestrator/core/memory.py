"""The candidates that an attack has scored, so that no image is queried twice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.orchestrator.core.perturbation import GENES, EditArray

Keys = NDArray[Any]
"""(n,) comparable scalars, one for each candidate; equal exactly where the edits are."""


class ScoredMemory:
    """The candidates already scored in one attack, and their answers.

    Candidates are canonical edits (see ``perturbation.EffectiveEdits``) and are compared exactly, not by
    hash. An edit takes 8 bytes, a candidate 12 more: 40,000 candidates of one edit are 0.8 MB, of five edits
    2.1 MB. Rows are numbered in the order of insertion and never change.

    Example:
        >>> memory = ScoredMemory(pixels=1)
        >>> edits = np.array([[[4, 2, 255, 0, 0]]], dtype=np.int16)
        >>> memory.insert(edits, np.array([0.9]), np.array([3]))
        >>> memory.answers(memory.lookup(edits))
        (array([0.9], dtype=float32), array([3], dtype=int32))
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._sorted_keys = _keys(np.empty((0, pixels, GENES), dtype=np.int16))
        self._sorted_rows = np.empty(0, dtype=np.int32)
        self._probability = np.empty(0, dtype=np.float32)
        self._top_class = np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self._sorted_rows)

    def lookup(self, edits: EditArray) -> NDArray[np.int32]:
        """(n,) int32, the row of each candidate's answer, -1 where it is unknown.

        Args:
            edits: (n, pixels, 5) int16, canonical.

        Raises:
            ValueError: candidates of another number of edits.
        """
        keys = self._checked_keys(edits)
        if not len(self):
            return np.full(len(keys), -1, dtype=np.int32)
        place = np.minimum(np.searchsorted(self._sorted_keys, keys), len(self) - 1)
        known = self._sorted_keys[place] == keys
        return np.where(known, self._sorted_rows[place], np.int32(-1))

    def insert(
        self, edits: EditArray, probability: NDArray[np.floating], top_class: NDArray[np.integer]
    ) -> None:
        """Keep answers. Of equal candidates the first stays, whether inserted before or in this call.

        Args:
            edits: (n, pixels, 5) int16, canonical.
            probability: (n,) of the goal's class; kept as float32.
            top_class: (n,) the best class; kept as int32.

        Raises:
            ValueError: candidates of another number of edits, or not one answer for each.
        """
        if not len(edits) == len(probability) == len(top_class):
            raise ValueError(f"{len(probability)} and {len(top_class)} answers for {len(edits)} candidates")
        keys, first = np.unique(self._checked_keys(edits), return_index=True)
        new = self.lookup(edits[first]) < 0
        keys, first = keys[new], first[new]
        # Rows follow the order of the batch, the index that of the keys.
        rank = np.empty(len(first), dtype=np.int32)
        rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
        place = np.searchsorted(self._sorted_keys, keys)
        self._sorted_rows = np.insert(self._sorted_rows, place, rank + np.int32(len(self)))
        self._sorted_keys = np.insert(self._sorted_keys, place, keys)
        batch_order = np.sort(first)
        self._probability = np.append(self._probability, probability[batch_order].astype(np.float32))
        self._top_class = np.append(self._top_class, top_class[batch_order].astype(np.int32))

    def answers(self, rows: NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Of known rows: the goal's class's probability, (n,) float32, and the best class, (n,) int32."""
        return self._probability[rows], self._top_class[rows]

    def _checked_keys(self, edits: EditArray) -> Keys:
        if edits.shape[1:] != (self._pixels, GENES):
            raise ValueError(f"candidates of shape {edits.shape[1:]}, not {(self._pixels, GENES)}")
        return _keys(edits)


def first_occurrences(edits: EditArray) -> NDArray[np.intp]:
    """(n,) the index of the first candidate of the batch that equals each one; its own where it is the first.

    Args:
        edits: (n, k, 5) int16, canonical.
    """
    _, first, inverse = np.unique(_keys(edits), return_index=True, return_inverse=True)
    return first[inverse]


def _keys(edits: EditArray) -> Keys:
    """One scalar for each candidate. An edit fits 56 bits.

    Several make one opaque value, compared by bytes.
    """
    genes = edits.astype(np.uint64)
    packed = genes[..., 0]
    for gene, bits in ((1, 16), (2, 8), (3, 8), (4, 8)):
        packed = (packed << np.uint64(bits)) | genes[..., gene]
    pixels = edits.shape[1]
    if pixels == 1:
        return packed[:, 0]
    return np.ascontiguousarray(packed).view(np.dtype((np.void, 8 * pixels)))[:, 0]
