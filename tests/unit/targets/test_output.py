"""The output adapter: what counts as scores, and what an attacker sees who gets fewer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pixelprobe_services.kserve.errors import BadAnswerError
from pixelprobe_services.orchestrator.targets.answers import Listed, OutputAdapter

CLASSES = np.array([[0], [2]], np.int32)
ROWS = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], np.float32)


def test_kinds_of_one_distribution() -> None:
    for kind, values in (
        ("probabilities", ROWS),
        ("percent", ROWS * 100),
        ("log_probabilities", np.log(ROWS)),
        ("logits", np.log(ROWS) + np.array([[3], [-700]])),
    ):
        scores = OutputAdapter(3, kind=kind).scores("y", values, CLASSES)  # type: ignore[arg-type]
        np.testing.assert_allclose(scores.class_probabilities, [[0.5], [0.8]], rtol=1e-5)
        np.testing.assert_array_equal(scores.top_classes[:, 0], [0, 2])
        assert scores.class_probabilities.dtype == scores.top_probabilities.dtype == np.float32


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 1, 3), (2, 1, 3)])
def test_axes_of_length_one_are_nothing(shape: tuple[int, ...]) -> None:
    scores = OutputAdapter(3).scores("y", ROWS.reshape(shape), CLASSES)
    np.testing.assert_array_equal(scores.class_probabilities, np.array([[0.5], [0.8]], np.float32))


@pytest.mark.parametrize("values", [ROWS.reshape(3, 2), ROWS.reshape(1, 2, 3), ROWS.reshape(2, 3, 1)[:1]])
def test_other_shapes_are_refused(values: NDArray[Any]) -> None:
    with pytest.raises(BadAnswerError, match=r"expected float32 \[2, 3\]"):
        OutputAdapter(3).scores("y", values, CLASSES)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (np.full((2, 10), 0.9), "sums to 9, so it is no distribution"),
        (np.full((2, 10), 0.01), r"sums to 0\.1.*activation = \"sigmoid\""),
        (np.array([[0.98, 0, 0], [0.5, 0.5, 0]]), r"sums to 0\.98"),
        (np.array([[4.0, -2, 1], [0.5, 0.5, 0]]), "runs from -2 to 4: .* not logits"),
        (np.array([[np.nan, 0, 1], [0.5, 0.5, 0]]), "NaN or infinity"),
        (np.array([[1, 0, 0], [0, 1, 0]]), "expected floating-point scores"),
    ],
)
def test_what_is_no_distribution_is_refused(values: NDArray[Any], complaint: str) -> None:
    classes = np.zeros((2, 1), np.int32)
    with pytest.raises(BadAnswerError, match=complaint):
        OutputAdapter(values.shape[1]).scores("y", values, classes)


def test_sigmoids_pass_where_the_operator_says_so() -> None:
    values = np.full((2, 10), 0.9)
    classes = np.zeros((2, 1), np.int32)
    scores = OutputAdapter(10, activation="sigmoid").scores("y", values, classes)
    np.testing.assert_allclose(scores.class_probabilities, 0.9, rtol=1e-6)
    logits = OutputAdapter(10, kind="logits", activation="sigmoid").scores("y", np.zeros((2, 10)), classes)
    np.testing.assert_array_equal(logits.class_probabilities, 0.5)
    with pytest.raises(BadAnswerError, match="runs from"):
        OutputAdapter(10, activation="sigmoid").scores("y", values * 2, classes)


def test_rounded_percent_needs_a_wider_tolerance() -> None:
    values = np.array([[33.0, 33.0, 33.0]])
    classes = np.zeros((1, 1), np.int32)
    assert OutputAdapter(3, kind="percent").scores("y", values, classes)  # 0.99
    values[:] = 32
    with pytest.raises(BadAnswerError, match=r"sums to 0\.96"):
        OutputAdapter(3, kind="percent").scores("y", values, classes)
    assert OutputAdapter(3, kind="percent", sum_tolerance=0.05).scores("y", values, classes)


def listed(*rows: dict[str, float]) -> Listed:
    return Listed([list(row) for row in rows], [list(row.values()) for row in rows])


def test_a_class_that_is_not_listed_counts_with_the_smallest_listed_score() -> None:
    output = OutputAdapter(4, top_k=2, labels=("cat", "dog", "frog", "hen"))
    assert output.answers == "top_k"
    answer = listed({"dog": 0.3, "hen": 0.6}, {"cat": 0.9, "dog": 0.05})
    scores = output.scores("y", answer, np.array([[3, 0], [2, 0]], np.int32))
    np.testing.assert_allclose(scores.class_probabilities, [[0.6, 0.3], [0.05, 0.9]], rtol=1e-6)
    np.testing.assert_array_equal(scores.top_classes, [[3, 1], [0, 1]])
    np.testing.assert_allclose(scores.top_probabilities, [[0.6, 0.3], [0.9, 0.05]], rtol=1e-6)


def test_a_full_answer_cut_to_its_best_is_the_same_as_a_list() -> None:
    full = np.array([[0.1, 0.3, 0, 0.6]])
    output = OutputAdapter(4, top_k=2, labels=("cat", "dog", "frog", "hen"))
    classes = np.array([[3, 2]], np.int32)
    one = output.scores("y", full, classes)
    other = output.scores("y", listed({"hen": 0.6, "dog": 0.3}), classes)
    np.testing.assert_array_equal(one.class_probabilities, other.class_probabilities)
    np.testing.assert_array_equal(one.top_classes, other.top_classes)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (listed({"dog": 0.3}), r"lists 1 different classes, expected 2 \(top_k = 1\?\)"),
        (listed({"dog": 0.3, "1": 0.2}), "lists 1 different classes"),
        (listed({"dog": 0.3, "wolf": 0.2}), "names the class 'wolf', which is none of the 4 classes"),
        (listed({"dog": 0.3, "4": 0.2}), "names the class '4'"),
        (listed({"dog": 0.9, "cat": 0.8}), "sum to 1.7, more than 1"),
        (listed({"dog": 3.0, "cat": 0.8}), "runs from 0.8 to 3"),
        (Listed([["dog", "cat"]], [[0.5]]), "lists 2 labels and 1 scores"),
        (Listed([], []), "has 0 rows, expected 1"),
    ],
)
def test_lists_that_cannot_be_meant(answer: Listed, complaint: str) -> None:
    output = OutputAdapter(4, top_k=2, labels=("cat", "dog", "frog", "hen"))
    with pytest.raises(BadAnswerError, match=complaint):
        output.scores("y", answer, np.zeros((1, 1), np.int32))


@pytest.mark.parametrize(
    "answer",
    [
        np.array([2, 0]),
        np.array([[2], [0]], np.uint8),
        np.array([["frog"], ["LABEL_0"]], object),
        Listed([["frog"], ["cat"]], None),
        Listed([[2], [0]], None),
    ],
)
def test_labels_alone(answer: Any) -> None:
    output = OutputAdapter(3, kind="labels", labels=("cat", "dog", "frog"))
    assert output.answers == "labels"
    scores = output.scores("y", answer, CLASSES)
    np.testing.assert_array_equal(scores.top_classes, [[2], [0]])
    np.testing.assert_array_equal(scores.class_probabilities, [[0], [0]])


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (np.array([2.0, 0.0]), "expected class indices or names"),
        (np.array([3, 0]), "outside the model's 3 classes"),
        (np.array([["wolf"], ["cat"]], object), "names the class 'wolf'"),
        (Listed([[], ["cat"]], None), "names no class for a query"),
    ],
)
def test_labels_that_are_none(answer: Any, complaint: str) -> None:
    output = OutputAdapter(3, kind="labels", labels=("cat", "dog", "frog"))
    with pytest.raises(BadAnswerError, match=complaint):
        output.scores("y", answer, CLASSES)


def test_what_fills_a_request_up_is_dropped() -> None:
    filled = np.concatenate([ROWS, ROWS[-1:]])
    scores = OutputAdapter(3).scores("y", filled, CLASSES, sent=3)
    np.testing.assert_array_equal(scores.class_probabilities, np.array([[0.5], [0.8]], np.float32))
    assert len(scores.top_classes) == 2
