"""Journal of one attack: what outlives the process, so that a killed attack continues to the same result.

It is saved about every second of work, even within a generation: where many attacks share a slow target, a
generation of one takes long, and everything scored since the last save would have to be queried again.

Each blob carries its SHA-256. A checkpoint is dropped only if it is proven to be of no use: its checksum is
wrong, or another version wrote it. A shortage of this machine (descriptors, memory) while reading it says
nothing about the checkpoint; the attack is released and its campaign waits.
"""

from __future__ import annotations

import hashlib
import logging
import time

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.errors import UnavailableError
from pixelprobe_services.common.values import SearchSettings
from pixelprobe_services.orchestrator.attacks.resources import OutOfResourcesError, shortage_under
from pixelprobe_services.orchestrator.core.memory import ScoredMemory
from pixelprobe_services.orchestrator.core.perturbation import GENES, EditArray
from pixelprobe_services.orchestrator.core.search.base import Search
from pixelprobe_services.orchestrator.core.search.factory import create_search, restore_search
from pixelprobe_services.orchestrator.core.search.state import SearchState, StateError, StateVersionError
from pixelprobe_services.orchestrator.core.trace import (
    CheckpointError,
    CheckpointVersionError,
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

_SEAL = b"PXCP"
"""Before the SHA-256 of the rest. Blobs of earlier versions have neither."""


class UnreadableCheckpointError(UnavailableError):
    """A sound checkpoint of this version cannot be read: a bug, which must not cost what was found."""

    reason = "CHECKPOINT_UNREADABLE"


class _UselessError(Exception):
    """A checkpoint is proven to be damaged or of another version."""


class Journal:
    """Records an attack's answers, saves them from time to time, and restores what was saved.

    >>> journal = Journal(store, attack, pixels=1)
    >>> search = await journal.resume(settings, seed)
    >>> journal.begin_generation()
    >>> journal.add(edits, probability, top_class)
    >>> await journal.save_now_and_then()

    Attributes:
        trace: what the attack has found so far.
        memory: all candidates scored in complete generations.
        under_way: whether a generation has begun and is not complete; :meth:`answered` are its answers.
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
        """Return the search to continue: from the last save, or from the start.

        Raises:
            OutOfResourcesError: the save could not be read now.
            UnreadableCheckpointError: the save is sound and cannot be read.
            StoreError: see the store.
        """
        checkpoint = await self._store.load_checkpoint(self._attack)
        search, started_over = None, ""
        if checkpoint:
            try:
                search = self._restored(checkpoint)
            except _UselessError as error:
                started_over = str(error)
        if search:
            self._search = search.state()
            return search
        self.trace, self.memory = Trace(started_over=started_over), ScoredMemory(self._pixels)
        self.under_way, self._answered = False, []
        search = create_search(settings, self._pixels, seed)
        self._search = search.state()
        if started_over:
            log.warning("attack %s starts over: %s", self._attack, started_over)
            await self._store.drop_checkpoint(self._attack)
            self._is_saved = False
            await self.save()  # at once, so that the result says so whatever happens next
        return search

    def begin_generation(self) -> None:
        """Note that the next generation's candidates are known, and that the trace counted those not sent."""
        self.under_way = True
        self._is_saved = False

    def answered(self) -> Answers:
        """Return the answers of the generation under way, in the order they came."""
        return _joined(self._answered, self._pixels)

    def add(self, edits: EditArray, probability: NDArray[np.float32], top_class: NDArray[np.int32]) -> None:
        """Add answers of the generation under way; the trace has them already."""
        self._answered.append((edits, probability, top_class))
        self._is_saved = False

    def end_generation(self, search: Search) -> None:
        """Note that ``search`` has the generation's costs, and the trace its fitness."""
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
        state = _sealed(encode_checkpoint(self.trace, self._search.to_bytes(), answered))
        chunks = (_sealed(encode_scored(*_joined(self._unsaved, self._pixels))),) if self._unsaved else ()
        await self._store.save_checkpoint(self._attack, Checkpoint(state, chunks))
        self._unsaved = []
        self._is_saved = True
        self._saved_at = time.monotonic()

    def _restored(self, checkpoint: Checkpoint) -> Search:
        """Take over what was saved.

        Raises:
            _UselessError: it is damaged, or another version of this program wrote it.
            OutOfResourcesError, UnreadableCheckpointError: see :meth:`resume`.
        """
        state, is_proven = _unsealed(checkpoint.state)
        try:
            self.trace, search, answered = decode_checkpoint(state)
            for chunk in checkpoint.scored:
                self.memory.insert(*decode_scored(_unsealed(chunk)[0]))
            self.under_way = answered is not None
            self._answered = [decode_scored(answered)] if answered is not None else []
            return restore_search(SearchState.from_bytes(search))
        except _UselessError:
            raise
        except (CheckpointVersionError, StateVersionError) as error:
            raise _UselessError(f"its checkpoint is of another version: {error}") from error
        except (CheckpointError, StateError, OSError, MemoryError, ImportError) as error:
            if lacking := shortage_under(error):
                raise OutOfResourcesError(f"cannot read a checkpoint: {lacking}") from error
            if is_proven:
                raise UnreadableCheckpointError(f"attack {self._attack}: {error}") from error
            raise _UselessError(f"its checkpoint is damaged: {error}") from error


def _sealed(data: bytes) -> bytes:
    return _SEAL + hashlib.sha256(data).digest() + data


def _unsealed(blob: bytes) -> tuple[bytes, bool]:
    """Return the data, and whether its checksum proves it sound; an earlier version wrote none.

    Raises:
        _UselessError: the checksum is wrong.
    """
    if not blob.startswith(_SEAL):
        return blob, False
    start = len(_SEAL) + hashlib.sha256().digest_size
    checksum, data = blob[len(_SEAL) : start], blob[start:]
    if hashlib.sha256(data).digest() != checksum:
        raise _UselessError("its checkpoint is damaged: wrong checksum")
    return data, True


def _joined(answers: list[Answers], pixels: int) -> Answers:
    if not answers:
        return (
            np.empty((0, pixels, GENES), dtype=np.int16),
            np.empty(0, dtype=np.float32),
            np.empty(0, dtype=np.int32),
        )
    edits, probability, top_class = zip(*answers, strict=True)
    return np.concatenate(edits), np.concatenate(probability), np.concatenate(top_class)
