"""What of an attack outlives the process, so that a killed attack goes on as if nothing had happened.

Saved at most about a second of work apart, even within a generation: where many attacks share a slow target,
a generation of one takes long, and all that was scored since the last save would have to be asked again.
"""

from __future__ import annotations

import logging
import time

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import SearchSettings
from pixelprobe_services.orchestrator.core.memory import ScoredMemory
from pixelprobe_services.orchestrator.core.perturbation import GENES, EditArray
from pixelprobe_services.orchestrator.core.search.base import Search
from pixelprobe_services.orchestrator.core.search.factory import create_search, restore_search
from pixelprobe_services.orchestrator.core.search.state import SearchState, StateError
from pixelprobe_services.orchestrator.core.trace import (
    CheckpointError,
    Trace,
    decode_checkpoint,
    decode_scored,
    encode_checkpoint,
    encode_scored,
)
from pixelprobe_services.orchestrator.store.base import AttackId, Checkpoint, Store
from pixelprobe_services.orchestrator.timing import Timing

Answers = tuple[EditArray, NDArray[np.float32], NDArray[np.int32]]
"""Scored candidates: (n, k, 5) edits, (n,) the scored class's probability, (n,) the best class."""

log = logging.getLogger(__name__)


class Journal:
    """One attack's: told of each answer, it saves now and then, and gives back what was saved.

    Attributes:
        trace: what the attack has found so far.
        memory: all candidates scored in the generations that are complete.
        under_way: the generation that is not complete has begun; :meth:`answered` are its answers.
    """

    def __init__(
        self, store: Store, attack: AttackId, pixels: int, save_seconds: float = Timing.save
    ) -> None:
        self.trace = Trace()
        self.memory = ScoredMemory(pixels)
        self.under_way = False
        self._store = store
        self._attack = attack
        self._pixels = pixels
        self._save_seconds = save_seconds
        self._search: SearchState | None = None  # at the end of the last complete generation
        self._answered: list[Answers] = []  # in the generation under way
        self._unsaved: list[Answers] = []  # in complete generations
        self._is_saved = True
        self._saved_at = time.monotonic()

    async def resume(self, settings: SearchSettings, seed: int) -> Search:
        """The search to go on with: from the last save, or from the start if there is none that fits."""
        checkpoint = await self._store.load_checkpoint(self._attack)
        search = self._restored(checkpoint) if checkpoint else None
        if checkpoint and not search:
            await self._store.drop_checkpoint(self._attack)
        if not search:
            self.trace, self.memory = Trace(), ScoredMemory(self._pixels)
            self.under_way, self._answered = False, []
            search = create_search(settings, self._pixels, seed)
        self._search = search.state()
        return search

    def begin_generation(self) -> None:
        """The candidates of the next generation are known, and the trace has counted those not to be sent."""
        self.under_way = True
        self._is_saved = False

    def answered(self) -> Answers:
        """The answers in the generation under way, in the order they came."""
        return _joined(self._answered, self._pixels)

    def add(self, edits: EditArray, probability: NDArray[np.float32], top_class: NDArray[np.int32]) -> None:
        """More answers of the generation under way; the trace has seen them."""
        self._answered.append((edits, probability, top_class))
        self._is_saved = False

    def end_generation(self, search: Search) -> None:
        """``search`` was told; the trace has the generation's fitness."""
        self.under_way = False
        self._unsaved += self._answered
        self._answered = []
        self._search = search.state()
        self._is_saved = False

    async def save_now_and_then(self) -> None:
        """Save if the last save was ``save_seconds`` ago."""
        if time.monotonic() - self._saved_at >= self._save_seconds:
            await self.save()

    async def save(self) -> None:
        """Save, unless nothing is new."""
        if self._is_saved or self._search is None:
            return
        answered = encode_scored(*self.answered()) if self.under_way else None
        state = encode_checkpoint(self.trace, self._search.to_bytes(), answered)
        chunks = (encode_scored(*_joined(self._unsaved, self._pixels)),) if self._unsaved else ()
        await self._store.save_checkpoint(self._attack, Checkpoint(state, chunks))
        self._unsaved = []
        self._is_saved = True
        self._saved_at = time.monotonic()

    def _restored(self, checkpoint: Checkpoint) -> Search | None:
        """Take back a save; None if another version of this program wrote it."""
        try:
            self.trace, search, answered = decode_checkpoint(checkpoint.state)
            for chunk in checkpoint.scored:
                self.memory.insert(*decode_scored(chunk))
            self.under_way = answered is not None
            self._answered = [decode_scored(answered)] if answered is not None else []
            return restore_search(SearchState.from_bytes(search))
        except (CheckpointError, StateError) as error:
            log.warning("attack %s starts over: %s", self._attack, error)
            return None


def _joined(answers: list[Answers], pixels: int) -> Answers:
    if not answers:
        return (
            np.empty((0, pixels, GENES), dtype=np.int16),
            np.empty(0, dtype=np.float32),
            np.empty(0, dtype=np.int32),
        )
    edits, probability, top_class = zip(*answers, strict=True)
    return np.concatenate(edits), np.concatenate(probability), np.concatenate(top_class)
