"""What an attack keeps as it goes, and that a checkpoint gives it back exactly."""

from __future__ import annotations

import numpy as np
import pytest

from pixelprobe_services.common.values import ClassScore, Edit
from pixelprobe_services.orchestrator.core.trace import (
    Best,
    CheckpointError,
    Trace,
    decode_checkpoint,
    decode_scored,
    encode_checkpoint,
    encode_scored,
)


def best(cost: float, success: bool) -> Best:
    return Best(cost, success, (Edit(1, 2, 3, 4, 5),), (ClassScore(3, 0.1),), (0.1, 1 / 3))


def test_success_beats_cost_and_cost_beats_later() -> None:
    trace = Trace()
    trace.offer(best(0.2, False), 0, 10)
    trace.offer(best(0.4, True), 1, 20)
    assert trace.best == best(0.4, True)
    trace.offer(best(0.1, False), 1, 30)
    assert trace.best == best(0.4, True)
    trace.offer(best(0.3, True), 2, 40)
    assert trace.best == best(0.3, True)
    trace.offer(Best(0.3, True, (), (), ()), 3, 50)
    assert trace.best == best(0.3, True)
    assert (trace.success_generation, trace.queries_to_success) == (1, 20)


def test_a_checkpoint_gives_back_all_of_it() -> None:
    trace = Trace(
        clean_top=(ClassScore(1, 1 / 3), ClassScore(2, 0.1)),
        clean_probability=1 / 3,
        best=best(1 / 7, True),
        generations=4,
        success_generation=2,
        queries_to_success=99,
        fitness_by_generation=[0.3, 1 / 9],
        skipped=7,
        repeated=8,
    )
    for answered in (None, b"", b"\x00answered\xff"):
        found = decode_checkpoint(encode_checkpoint(trace, b"\x00search\xff", answered))
        assert found == (trace, b"\x00search\xff", answered)
    empty, _, _ = decode_checkpoint(encode_checkpoint(Trace(clean_probability=0.5), b"", None))
    assert empty == Trace(clean_probability=0.5)


def test_scored_candidates_come_back() -> None:
    edits = np.arange(30, dtype=np.int16).reshape(3, 2, 5)
    probability = np.array([0.1, 0.2, 0.3], dtype=np.float32)
    top_class = np.array([1, 2, 3], dtype=np.int32)
    found = decode_scored(encode_scored(edits, probability, top_class))
    np.testing.assert_array_equal(found[0], edits)
    np.testing.assert_array_equal(found[1], probability)
    np.testing.assert_array_equal(found[2], top_class)
    assert [array.dtype for array in found] == [np.int16, np.float32, np.int32]


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"version": 99}', b"\xff\xfe", b'{"version": 2, "trace": {}}']
)
def test_other_bytes_are_no_checkpoint(data: bytes) -> None:
    with pytest.raises(CheckpointError):
        decode_checkpoint(data)


def test_other_bytes_are_no_scored_candidates() -> None:
    with pytest.raises(CheckpointError):
        decode_scored(b"nothing")
