"""Serialises results and masks: the part of them that no SQL query reads."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple

import numpy as np

from pixelprobe_services.common.values import AttackResult, ClassScore, Edit, Held, Ledger, MaskArray, Outcome

RESULT_VERSION = 1


class PayloadError(Exception):
    """Bytes are not a result of a known version."""


def encode_result(result: AttackResult) -> bytes:
    """Return all but the outcome, as JSON; floats survive to the last bit."""
    return json.dumps(
        {
            "version": RESULT_VERSION,
            "reason": result.reason,
            "clean_top": _pairs(result.clean_top),
            "best_top": _pairs(result.best_top),
            "best_probability_of_clean_top": result.best_probability_of_clean_top,
            "edits": [[edit.x, edit.y, edit.red, edit.green, edit.blue] for edit in result.edits],
            "ledger": astuple(result.ledger),
            "generations": result.generations,
            "fitness_by_generation": result.fitness_by_generation,
            "queries_to_success": result.queries_to_success,
            "region_area_fraction": result.region_area_fraction,
            "clean_held": _held_pair(result.clean_held),
            "success_held": _held_pair(result.success_held),
            "started_over": result.started_over,
            "first_success_query": result.first_success_query,
            "answers": result.answers,
        },
        separators=(",", ":"),
    ).encode()


def decode_result(payload: bytes, outcome: Outcome) -> AttackResult:
    """Invert :func:`encode_result`.

    Raises:
        PayloadError: other bytes, or another version.
    """
    try:
        data = json.loads(payload)
        if data.pop("version") != RESULT_VERSION:
            raise PayloadError("a result of another version")
        return AttackResult(
            **{
                **data,
                "outcome": outcome,
                "clean_top": _scores(data["clean_top"]),
                "best_top": _scores(data["best_top"]),
                "best_probability_of_clean_top": tuple(data["best_probability_of_clean_top"]),
                "edits": tuple(Edit(*edit) for edit in data["edits"]),
                "ledger": Ledger(*data["ledger"]),  # before version 0003 of the schema, its first three
                "clean_held": _held(data.get("clean_held")),
                "success_held": _held(data.get("success_held")),
                "fitness_by_generation": tuple(data["fitness_by_generation"]),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PayloadError(f"not a result: {error}") from error


def encode_mask(mask: MaskArray) -> bytes:
    """Return a mask, (height, width) bool, with one bit per pixel, row by row."""
    return np.packbits(mask).tobytes()


def decode_mask(bits: bytes, height: int, width: int) -> MaskArray:
    """Invert :func:`encode_mask`: return (height, width) bool."""
    pixels = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=height * width)
    return pixels.astype(np.bool_).reshape(height, width)


def mask_digest(mask: MaskArray) -> str:
    """Return the SHA-256 in hex over the sides (4 bytes each, big-endian) and the bits."""
    height, width = mask.shape
    header = height.to_bytes(4, "big") + width.to_bytes(4, "big")
    return hashlib.sha256(header + encode_mask(mask)).hexdigest()


def _pairs(scores: tuple[ClassScore, ...]) -> list[list[float]]:
    return [[score.class_index, score.probability] for score in scores]


def _scores(pairs: list[tuple[int, float]]) -> tuple[ClassScore, ...]:
    return tuple(ClassScore(index, probability) for index, probability in pairs)


def _held_pair(held: Held | None) -> tuple[int, int] | None:
    return None if held is None else (held.held, held.asked)


def _held(pair: tuple[int, int] | None) -> Held | None:
    return None if pair is None else Held(*pair)
