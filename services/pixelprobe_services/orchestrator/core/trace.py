"""What one attack has found so far: the part of a result that grows, and the part a checkpoint keeps."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import ClassScore, Edit

CHECKPOINT_VERSION = 2


class CheckpointError(Exception):
    """The bytes are no checkpoint of this version."""


class CheckpointVersionError(CheckpointError):
    """A checkpoint that another version of this program wrote."""


@dataclass(frozen=True)
class Best:
    """The best candidate: by success first, then by cost (lower is better)."""

    cost: float
    success: bool
    edits: tuple[Edit, ...]
    top: tuple[ClassScore, ...]
    probability_of_clean_top: tuple[float, ...]


@dataclass
class Trace:
    """Grows as the attack goes on. ``generations`` counts those told to the search, the start one not."""

    clean_top: tuple[ClassScore, ...] = ()
    clean_probability: float = float("nan")
    """Of the scored class."""
    best: Best | None = None
    generations: int = 0
    success_generation: int | None = None
    queries_to_success: int = 0
    fitness_by_generation: list[float] = field(default_factory=list)
    skipped: int = 0
    repeated: int = 0
    started_over: str = ""
    """Why what was found before had to be dropped; empty if it was not."""

    def offer(self, candidate: Best, generation: int, queries: int) -> None:
        """Keep ``candidate`` if it beats the best so far; note the first success."""
        if candidate.success and self.success_generation is None:
            self.success_generation = generation
            self.queries_to_success = queries
        if self.best is None or (not candidate.success, candidate.cost) < (
            not self.best.success,
            self.best.cost,
        ):
            self.best = candidate

    def dump(self) -> dict[str, Any]:
        """Plain data, as JSON can hold it."""
        return asdict(self)

    @classmethod
    def load(cls, data: dict[str, Any]) -> Trace:
        """The inverse of :meth:`dump`."""
        best = data["best"]
        return cls(
            **{
                **data,
                "clean_top": _class_scores(data["clean_top"]),
                "best": best
                and Best(
                    best["cost"],
                    best["success"],
                    tuple(Edit(**edit) for edit in best["edits"]),
                    _class_scores(best["top"]),
                    tuple(best["probability_of_clean_top"]),
                ),
            }
        )


def encode_checkpoint(trace: Trace, search: bytes, answered: bytes | None) -> bytes:
    """An attack's state as JSON.

    Args:
        trace: as it is now.
        search: the search's own bytes, of the end of the last generation.
        answered: of the generation under way, the answers that the trace has seen (``encode_scored``); None
            if none is under way.
    """
    return json.dumps(
        {
            "version": CHECKPOINT_VERSION,
            "trace": trace.dump(),
            "search": base64.b64encode(search).decode(),
            "answered": None if answered is None else base64.b64encode(answered).decode(),
        }
    ).encode()


def decode_checkpoint(state: bytes) -> tuple[Trace, bytes, bytes | None]:
    """The inverse of :func:`encode_checkpoint`.

    Raises:
        CheckpointError: other bytes, or another version.
    """
    try:
        data = json.loads(state)
        if data["version"] != CHECKPOINT_VERSION:
            raise CheckpointVersionError(f"checkpoint version {data['version']} is not {CHECKPOINT_VERSION}")
        return (
            Trace.load(data["trace"]),
            base64.b64decode(data["search"], validate=True),
            None if data["answered"] is None else base64.b64decode(data["answered"], validate=True),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"not a checkpoint: {error}") from error


def encode_scored(
    edits: NDArray[np.int16], probability: NDArray[np.float32], top_class: NDArray[np.int32]
) -> bytes:
    """One generation's freshly scored candidates, (n, k, 5), (n,) and (n,), for the store to append."""
    buffer = io.BytesIO()
    np.savez(buffer, edits=edits, probability=probability, top_class=top_class)
    return buffer.getvalue()


def decode_scored(
    chunk: bytes,
) -> tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.int32]]:
    """The inverse of :func:`encode_scored`.

    Raises:
        CheckpointError: other bytes.
    """
    try:
        with np.load(io.BytesIO(chunk), allow_pickle=False) as arrays:
            return arrays["edits"], arrays["probability"], arrays["top_class"]
    except (ValueError, OSError, KeyError) as error:
        raise CheckpointError(f"not a chunk of scored candidates: {error}") from error


def _class_scores(rows: list[dict[str, Any]]) -> tuple[ClassScore, ...]:
    return tuple(ClassScore(**row) for row in rows)
