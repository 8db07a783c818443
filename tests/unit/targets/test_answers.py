"""Best classes and class probabilities, computed here where the server only sends whole rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from pixelprobe_services.kserve.errors import BadAnswerError
from pixelprobe_services.orchestrator.targets.answers import (
    best_classes,
    check_classes,
    check_probabilities,
    scores_of,
)

# Few distinct values, so that ties are the rule.
rows = st_numpy.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 12)),
    elements=st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0]),
)


@given(rows)
def test_best_classes_are_a_stable_descending_sort(probabilities: NDArray[np.float32]) -> None:
    before = probabilities.copy()
    expected = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    best = best_classes(probabilities)
    np.testing.assert_array_equal(best, expected)
    assert best.dtype == np.int32
    np.testing.assert_array_equal(probabilities, before)


def test_scores_of_whole_rows() -> None:
    probabilities = np.array([[0.1, 0.4, 0.1, 0.1, 0.2, 0.1], [0.5, 0.5, 0, 0, 0, 0]], np.float32)
    scores = scores_of(probabilities, np.array([[4, 0], [1, 5]], np.int32))
    np.testing.assert_array_equal(scores.class_probabilities, np.array([[0.2, 0.1], [0.5, 0]], np.float32))
    np.testing.assert_array_equal(scores.top_classes, [[1, 4, 0, 2, 3], [0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(
        scores.top_probabilities, np.array([[0.4, 0.2, 0.1, 0.1, 0.1], [0.5, 0.5, 0, 0, 0]], np.float32)
    )


@pytest.mark.parametrize("value", [-0.002, 1.002, 12.0, float("nan"), float("-inf")])
def test_one_bad_value_among_many_is_found(value: float) -> None:
    values = np.full((50, 10), 0.1, np.float32)
    assert check_probabilities("p", values, (50, 10)) is values
    values[31, 7] = value
    with pytest.raises(BadAnswerError):
        check_probabilities("p", values, (50, 10))


def test_class_indices_are_of_the_right_type_and_exist() -> None:
    values = np.array([[0, 9]], np.int32)
    assert check_classes("c", values, (1, 2), classes=10) is values
    with pytest.raises(BadAnswerError, match="outside the model's 9 classes"):
        check_classes("c", values, (1, 2), classes=9)
    with pytest.raises(BadAnswerError, match="expected int32"):
        check_classes("c", values.astype(np.int64), (1, 2), classes=10)
