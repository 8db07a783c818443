from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pixelprobe_services.orchestrator.core.memory import ScoredMemory, first_occurrences

EditBatch = NDArray[np.int16]


def batches(pixels: int) -> st.SearchStrategy[EditBatch]:
    """Few values, so that candidates repeat; large ones, so that no gene may spill into the next."""
    genes = [st.sampled_from(values) for values in ([0, 1, 32767], [0, 1, 32767], [0, 255], [0, 255], [0, 1])]
    edit = st.tuples(*genes)
    candidate = st.tuples(*[edit] * pixels)
    return st.lists(candidate, max_size=8).map(
        lambda rows: np.array(rows, dtype=np.int16).reshape(-1, pixels, 5)
    )


@st.composite
def histories(draw: st.DrawFn) -> list[EditBatch]:
    return draw(st.lists(batches(draw(st.sampled_from([1, 2, 3]))), min_size=1, max_size=6))


@given(histories())
@settings(max_examples=200, deadline=None)
def test_memory_answers_like_a_dict(history: list[EditBatch]) -> None:
    memory = ScoredMemory(history[0].shape[1])
    reference: dict[bytes, tuple[float, int]] = {}
    answered = 0
    for batch in history:
        known = memory.lookup(batch)
        assert known.dtype == np.int32
        assert [row >= 0 for row in known] == [row.tobytes() in reference for row in batch]

        numbers = np.arange(answered, answered + len(batch))
        answered += len(batch)
        memory.insert(batch, (numbers / 1000).astype(np.float32), numbers.astype(np.int32))
        for row, number in zip(batch, numbers.tolist(), strict=True):
            reference.setdefault(row.tobytes(), (float(np.float32(number / 1000)), number))

        assert len(memory) == len(reference)
        probability, top_class = memory.answers(memory.lookup(batch))
        assert probability.dtype == np.float32
        assert top_class.dtype == np.int32
        expected = [reference[row.tobytes()] for row in batch]
        assert list(zip(probability.tolist(), top_class.tolist(), strict=True)) == expected


@given(histories())
@settings(deadline=None)
def test_rows_number_candidates_in_the_order_they_came_and_stay(history: list[EditBatch]) -> None:
    memory = ScoredMemory(history[0].shape[1])
    order: dict[bytes, int] = {}
    for batch in history:
        memory.insert(batch, np.zeros(len(batch), np.float32), np.zeros(len(batch), np.int32))
        for row in batch:
            order.setdefault(row.tobytes(), len(order))
        for earlier in history:
            expected = [order.get(row.tobytes(), -1) for row in earlier]
            assert memory.lookup(earlier).tolist() == expected


@given(histories())
@settings(deadline=None)
def test_first_occurrences_point_at_the_earliest_equal_candidate(history: list[EditBatch]) -> None:
    for batch in history:
        rows = [row.tobytes() for row in batch]
        assert first_occurrences(batch).tolist() == [rows.index(row) for row in rows]


@pytest.mark.parametrize("pixels", [1, 5])
def test_every_single_gene_tells_candidates_apart(pixels: int) -> None:
    memory = ScoredMemory(pixels)
    base = np.full((pixels, 5), 100, dtype=np.int16)
    changed = np.repeat(base[None], 2 * base.size, axis=0)
    for index, (slot, gene) in enumerate(np.ndindex(base.shape)):
        changed[2 * index, slot, gene] += 1
        changed[2 * index + 1, slot, gene] -= 1
    memory.insert(changed, np.zeros(len(changed), np.float32), np.arange(len(changed)))
    assert len(memory) == len(changed)
    assert memory.lookup(base[None]).tolist() == [-1]
    assert memory.answers(memory.lookup(changed))[1].tolist() == list(range(len(changed)))


@pytest.mark.parametrize(("pixels", "megabytes"), [(1, 0.81), (5, 2.1)])
def test_a_whole_attack_is_remembered_in_little_space(pixels: int, megabytes: float) -> None:
    memory = ScoredMemory(pixels)
    rng = np.random.default_rng(5)
    while len(memory) < 40_000:
        batch = rng.integers(0, 256, (400, pixels, 5)).astype(np.int16)
        memory.insert(batch, rng.random(400), np.zeros(400, np.int64))
    arrays = [value for value in vars(memory).values() if isinstance(value, np.ndarray)]
    assert sum(array.nbytes for array in arrays) <= megabytes * 1e6
    assert all(array.base is None or array.base.nbytes <= array.nbytes for array in arrays)


@given(hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
def test_candidates_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    memory = ScoredMemory(2)
    edits = np.zeros(shape, dtype=np.int16)
    answers = np.zeros(shape[0], np.float32), np.zeros(shape[0], np.int32)
    if shape[1:] == (2, 5):
        memory.insert(edits, *answers)
        assert len(memory) == 1
        return
    with pytest.raises(ValueError, match="shape"):
        memory.lookup(edits)
    with pytest.raises(ValueError, match="shape"):
        memory.insert(edits, *answers)


def test_there_must_be_one_answer_for_each_candidate() -> None:
    memory = ScoredMemory(1)
    with pytest.raises(ValueError, match="3 and 2 answers for 2 candidates"):
        memory.insert(np.zeros((2, 1, 5), np.int16), np.zeros(3, np.float32), np.zeros(2, np.int32))
    assert len(memory) == 0
