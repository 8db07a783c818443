"""Which candidates of a generation are sent, and that the others get the very same answers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pixelprobe_services.common.values import Region, RegionMode
from pixelprobe_services.orchestrator.core.memory import ScoredMemory
from pixelprobe_services.orchestrator.core.perturbation import EffectiveEdits, apply_edits, effective
from pixelprobe_services.orchestrator.core.region import RegionMap
from pixelprobe_services.orchestrator.core.scoring import GenerationScoring

SIDE = 3
IMAGE = np.full((SIDE, SIDE, 3), 100, dtype=np.uint8)
CLEAN_PROBABILITY, CLEAN_CLASS = 0.625, 4


def candidates(seed: int, count: int = 60, pixels: int = 2) -> EffectiveEdits:
    """Few places and colours, so that many candidates are equal or clean."""
    rng = np.random.default_rng(seed)
    edits = np.empty((count, pixels, 5), dtype=np.int16)
    edits[..., :2] = rng.integers(0, SIDE, (count, pixels, 2))
    edits[..., 2:] = rng.choice([0, 100], (count, pixels, 1))
    mask = np.eye(SIDE, dtype=bool)
    return effective(
        edits, IMAGE, RegionMap.from_mask(Region.FOREGROUND, mask, SIDE, SIDE), RegionMode.COMPOSITE
    )


def image_scores(edits: EffectiveEdits) -> np.ndarray:
    """Any function of the image alone."""
    effective_rows = np.where(edits.counts[:, None, None] > 0, edits.edits, 0)
    images = apply_edits(IMAGE[None], np.zeros(len(effective_rows), np.int32), effective_rows)
    weights = np.arange(SIDE * SIDE * 3, dtype=np.float64)
    scores = (images.reshape(len(images), -1) @ weights % 97 / 97).astype(np.float32)
    return np.where(edits.counts == 0, np.float32(CLEAN_PROBABILITY), scores)


@given(st.integers(0, 10_000))
def test_everyone_gets_the_answer_of_their_image(seed: int) -> None:
    memory = ScoredMemory(pixels=2)
    for generation in range(3):
        edits = candidates(seed + generation)
        truth = image_scores(edits)
        scoring = GenerationScoring(edits, memory, CLEAN_PROBABILITY, CLEAN_CLASS)
        rows = scoring.fresh
        assert len({edits.edits[row].tobytes() for row in rows}) == len(rows)
        assert scoring.skipped == int((edits.counts == 0).sum())
        assert scoring.skipped + scoring.repeated + len(rows) == len(truth)
        for part in np.array_split(rows, 3):
            scoring.record(part, truth[part].astype(np.float32), np.full(len(part), 1, np.int32))
        np.testing.assert_array_equal(scoring.probabilities(), truth)
    assert len(memory) <= 3 * 60


def test_the_second_time_nothing_is_sent() -> None:
    memory = ScoredMemory(pixels=2)
    edits = candidates(1)
    first = GenerationScoring(edits, memory, CLEAN_PROBABILITY, CLEAN_CLASS)
    truth = image_scores(edits)
    first.record(first.fresh, truth[first.fresh].astype(np.float32), np.zeros(len(first.fresh), np.int32))
    second = GenerationScoring(edits, memory, CLEAN_PROBABILITY, CLEAN_CLASS)
    assert len(first.fresh) > 0
    assert len(second.fresh) == 0
    np.testing.assert_array_equal(second.probabilities(), truth)


def test_what_was_not_answered_is_not_known() -> None:
    scoring = GenerationScoring(candidates(2), ScoredMemory(pixels=2), CLEAN_PROBABILITY, CLEAN_CLASS)
    unknown = np.isnan(scoring.probabilities())
    assert unknown.sum() == 60 - scoring.skipped
