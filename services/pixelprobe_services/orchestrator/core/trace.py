"""What one attack has found so far, and its checkpoint as bytes."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import AttackResult, ClassScore, Edit, Held, Ledger, Outcome
from pixelprobe_services.orchestrator.core.verdict import AnswerWatch, verdict

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
    held: Held | None = None
    """How often a success was one when it was asked for again; None where it was not."""


@dataclass
class Trace:
    """What an attack has found so far. ``generations`` counts complete ones, without the start population."""

    clean_top: tuple[ClassScore, ...] = ()
    clean_probability: float = float("nan")
    """Of the scored class."""
    best: Best | None = None
    generations: int = 0
    success_generation: int | None = None
    queries_to_success: int = 0
    first_success_query: int = 0
    """Number of the query, counted as the budget counts, that first met the goal; 0 without one."""
    fitness_by_generation: list[float] = field(default_factory=list)
    skipped: int = 0
    repeated: int = 0
    started_over: str = ""
    """Why what was found before had to be dropped; empty if it was not."""
    clean_held: Held | None = None
    """How often the clean image kept its class; None where it was asked for once."""
    unheld: int = 0
    """Candidates that met the goal, and did not when they were asked for again."""
    watch: AnswerWatch = field(default_factory=AnswerWatch)

    def beats(self, candidate: Best) -> bool:
        """Whether ``candidate`` is better than the best so far."""
        return self.best is None or (not candidate.success, candidate.cost) < (
            not self.best.success,
            self.best.cost,
        )

    def offer(self, candidate: Best, generation: int, queries: int, first_success: int = 0) -> None:
        """Keep ``candidate`` if it beats the best so far; note the first success."""
        if candidate.success and self.success_generation is None:
            self.success_generation = generation
            self.queries_to_success = queries
            self.first_success_query = first_success
        if self.beats(candidate):
            self.best = candidate

    def result(
        self, outcome: Outcome, reason: str, ledger: Ledger, *, region_area: float, knobs: str
    ) -> AttackResult:
        """The result of an attack that ended like this; see :func:`verdict` for what a failure needs.

        Args:
            outcome: as the search ended.
            reason: its reason, for people.
            ledger: the attack's queries, without skipped and repeated candidates.
            region_area: share of the image that the region covers.
            knobs: what an operator can do about a target that does not answer in time.
        """
        best = self.best
        ledger = replace(ledger, skipped=self.skipped, repeated=self.repeated)
        generations = self.generations
        if outcome is Outcome.SUCCESS and self.success_generation is not None:
            # Table IV counts a success in the start population as one generation.
            generations = max(1, self.success_generation)
        if outcome is not Outcome.SUCCESS and self.unheld:
            unheld = f"candidates that met the goal and did not hold when asked for again: {self.unheld}"
            reason = f"{reason}; {unheld}" if reason else unheld
        outcome, reason = verdict(
            outcome,
            reason,
            ledger,
            any_candidate=best is not None,
            same_answers=self.watch.same,
            knobs=knobs,
        )
        return AttackResult(
            outcome=outcome,
            reason=reason,
            clean_top=self.clean_top,
            best_top=best.top if best else (),
            best_probability_of_clean_top=best.probability_of_clean_top if best else (),
            edits=best.edits if best else (),
            ledger=ledger,
            generations=generations,
            fitness_by_generation=tuple(self.fitness_by_generation),
            queries_to_success=self.queries_to_success,
            first_success_query=self.first_success_query,
            region_area_fraction=region_area,
            clean_held=self.clean_held,
            success_held=best.held if best and best.success else None,
            started_over=self.started_over,
        )

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
                    _held(best.get("held")),
                ),
                "clean_held": _held(data.get("clean_held")),
                "watch": AnswerWatch(**data.get("watch", {})),
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


def _held(data: dict[str, int] | None) -> Held | None:
    return None if data is None else Held(**data)


def _class_scores(rows: list[dict[str, Any]]) -> tuple[ClassScore, ...]:
    return tuple(ClassScore(**row) for row in rows)
