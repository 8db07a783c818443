"""From a model's answer to scores: is it what the configuration says, and which classes lead?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.kserve.errors import BadAnswerError
from pixelprobe_services.orchestrator.targets.base import TOP, Answers, Scores

OutputKind = Literal["probabilities", "logits", "log_probabilities", "percent", "labels"]
Activation = Literal["softmax", "sigmoid"]

TOLERANCE = 1e-3
"""How far outside [0, 1] rounding (half precision included) may carry a probability."""
SUM_TOLERANCE = 0.01
"""How far from 1 rounding may carry a row's sum."""

_SIGMOID_CURE = 'if each class is scored by itself, say activation = "sigmoid"'


@dataclass(frozen=True)
class Listed:
    """An answer that names classes, best first or not: of each row some (label, score) pairs.

    Attributes:
        labels: a row each, of class indices or names.
        scores: likewise; None where the model answers labels alone.
    """

    labels: Sequence[Sequence[str | int]]
    scores: Sequence[Sequence[float]] | None


Answer = NDArray[Any] | Listed
"""Rows of one number a class (any float type; 4-D where the rest is 1), or what :class:`Listed` holds."""


class OutputAdapter:
    """Turns answers into scores, or refuses them.

    Args:
        classes: how many the model has.
        kind: what the numbers are.
        activation: "softmax" demands (or makes, from logits) rows that sum to 1; "sigmoid" does not.
        sum_tolerance: how far from 1 a row may sum.
        top_k: how many classes the attacker sees; None for all.
        labels: names of the classes in index order, for answers by name.
    """

    def __init__(
        self,
        classes: int,
        *,
        kind: OutputKind = "probabilities",
        activation: Activation = "softmax",
        sum_tolerance: float = SUM_TOLERANCE,
        top_k: int | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.classes = classes
        self._kind = kind
        self._activation = activation
        self._sum_tolerance = sum_tolerance
        self._top_k = top_k if top_k is not None and top_k < classes else None
        self._index = {label: index for index, label in enumerate(labels)}

    @property
    def answers(self) -> Answers:
        """What the attacker sees."""
        if self._kind == "labels":
            return "labels"
        return "probabilities" if self._top_k is None else "top_k"

    def scores(
        self, name: str, answer: Answer, classes: NDArray[np.int32], *, sent: int | None = None
    ) -> Scores:
        """The scores of ``classes``, (n, c) int32, and the best classes, from an answer to ``n`` queries.

        ``sent`` is the number of images in the request where it was filled up beyond ``n``.

        Raises:
            BadAnswerError: it is not what the configuration says; the message, which begins with the
                output's ``name``, says how.
        """
        if sent is not None and sent > len(classes):
            filler = np.zeros((sent - len(classes), classes.shape[1]), np.int32)
            return self.scores(name, answer, np.concatenate([classes, filler]))[: len(classes)]
        if isinstance(answer, Listed):
            return self._listed(name, answer, classes)
        if self._kind == "labels":
            return self._labels(self._one_label_each(name, answer, len(classes)), classes)
        probabilities = self.probabilities(name, answer, len(classes))
        if self._top_k is None:
            return scores_of(probabilities, classes)
        best = best_classes(probabilities, self._top_k)
        return self._bounded(best, np.take_along_axis(probabilities, best, axis=1), classes)

    def probabilities(self, name: str, values: NDArray[Any], rows: int) -> NDArray[np.float32]:
        """(rows, classes) float32, checked. Raises as :meth:`scores`."""
        if values.dtype.kind != "f":
            raise BadAnswerError(f"output '{name}' is {values.dtype}, expected floating-point scores")
        flat = squeezed(name, values, rows, self.classes)
        if not np.isfinite(flat).all() and self._kind != "log_probabilities":
            raise BadAnswerError(f"output '{name}' holds NaN or infinity")
        match self._kind:
            case "logits":
                return _softmax(flat) if self._activation == "softmax" else _sigmoid(flat)
            case "log_probabilities":
                if np.isnan(flat).any() or flat.max() > TOLERANCE:
                    raise BadAnswerError(
                        f"output '{name}' reaches {flat.max():.4g}: log-probabilities are at most 0"
                    )
                flat = np.exp(flat.astype(np.float64))
            case "percent":
                flat = flat / 100
        probabilities = check_probabilities(name, flat.astype(np.float32), (rows, self.classes))
        if self._activation == "softmax":
            check_sums(name, probabilities, self._sum_tolerance)
        return probabilities

    def check_sparse(self, scores: Scores) -> None:
        """See that the answer to sparse queries can belong to distributions. Raises as :meth:`scores`."""
        self.check_best("top_probabilities", scores.top_probabilities)

    def check_best(self, name: str, best: NDArray[np.float32]) -> None:
        """See that the best classes' probabilities, (n, t), can belong to distributions."""
        if self._activation != "softmax":
            return
        if best.shape[1] == self.classes:
            check_sums(name, best, self._sum_tolerance)
        elif best.sum(axis=1).max() > 1 + self._sum_tolerance:
            raise BadAnswerError(
                f"output '{name}': the best classes of a row sum to {best.sum(axis=1).max():.4g},"
                f" more than 1; {_SIGMOID_CURE}"
            )

    def _listed(self, name: str, answer: Listed, classes: NDArray[np.int32]) -> Scores:
        rows = len(classes)
        if len(answer.labels) != rows or (answer.scores is not None and len(answer.scores) != rows):
            raise BadAnswerError(f"output '{name}' has {len(answer.labels)} rows, expected {rows}")
        if answer.scores is None or self._kind == "labels":
            if not all(answer.labels):
                raise BadAnswerError(f"output '{name}' names no class for a query")
            first = [self._class(name, row[0]) for row in answer.labels]
            return self._labels(np.array(first, np.int32), classes)
        wanted = min(self._top_k or self.classes, self.classes)
        best = np.empty((rows, wanted), np.int32)
        scores = np.empty((rows, wanted), np.float32)
        for row, (labels, values) in enumerate(zip(answer.labels, answer.scores, strict=True)):
            if len(labels) != len(values):
                raise BadAnswerError(f"output '{name}' lists {len(labels)} labels and {len(values)} scores")
            indices = [self._class(name, label) for label in labels]
            if len(indices) < wanted or len(set(indices)) != len(indices):
                raise BadAnswerError(
                    f"output '{name}' lists {len(set(indices))} different classes, expected {wanted}"
                    f" (top_k = {len(set(indices))}?)"
                )
            order = sorted(range(len(indices)), key=lambda place: (-values[place], indices[place]))[:wanted]
            best[row] = [indices[place] for place in order]
            scores[row] = [values[place] for place in order]
        if self._kind == "percent":
            scores /= 100
        elif self._kind == "log_probabilities":
            scores = np.exp(scores)
        check_probabilities(name, scores, scores.shape)
        self.check_best(name, scores)
        return self._bounded(best, scores, classes)

    def _bounded(
        self, best: NDArray[np.int32], scores: NDArray[np.float32], classes: NDArray[np.int32]
    ) -> Scores:
        """Scores where a class that is not listed counts with the smallest listed score: its upper bound."""
        found = best[:, None, :] == classes[:, :, None]
        place = found.argmax(axis=2)
        asked = np.where(found.any(axis=2), np.take_along_axis(scores, place, axis=1), scores[:, -1:])
        return Scores(asked.astype(np.float32), best[:, :TOP], scores[:, :TOP])

    @staticmethod
    def _labels(best: NDArray[np.int32], classes: NDArray[np.int32]) -> Scores:
        """Indicators: 1 for the class that was answered, 0 for any other."""
        best = best[:, None]
        return Scores((classes == best).astype(np.float32), best, np.ones(best.shape, np.float32))

    def _one_label_each(self, name: str, values: NDArray[Any], rows: int) -> NDArray[np.int32]:
        flat = squeezed(name, values, rows, 1)[:, 0]
        if flat.dtype == object:
            return np.array([self._class(name, label) for label in flat], np.int32)
        if flat.dtype.kind not in "iu":
            raise BadAnswerError(f"output '{name}' is {flat.dtype}, expected class indices or names")
        return check_classes(name, flat.astype(np.int32), (rows,), self.classes)

    def _class(self, name: str, label: str | int) -> int:
        index = label if isinstance(label, int) else self._index.get(label.strip())
        if index is None and isinstance(label, str):
            digits = label.strip().removeprefix("LABEL_")  # so Hugging Face calls classes without names
            index = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else None
        if index is None or not 0 <= index < self.classes:
            raise BadAnswerError(
                f"output '{name}' names the class {str(label)[:60]!r}, which is none of the"
                f" {self.classes} classes: labels or labels_file must hold every name in index order"
            )
        return index


def squeezed(name: str, values: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """(rows, columns), from any shape that differs from it by axes of length 1.

    Raises:
        BadAnswerError: the shape is another.
    """
    shape = values.shape
    rest = [size for size in shape[1:] if size != 1]
    if not shape or shape[0] != rows or rest != ([columns] if columns != 1 else []):
        raise BadAnswerError(
            f"output '{name}' is {values.dtype} {list(shape)}, expected {values.dtype} {[rows, columns]}"
        )
    return values.reshape(rows, columns)


def scores_of(probabilities: NDArray[np.float32], classes: NDArray[np.int32]) -> Scores:
    """What a sparse answer would say, from whole rows of probabilities.

    Args:
        probabilities: (n, classes of the model) float32, checked.
        classes: (n, c) int32, the classes asked for.
    """
    top_classes = best_classes(probabilities)
    return Scores(
        class_probabilities=np.take_along_axis(probabilities, classes, axis=1),
        top_classes=top_classes,
        top_probabilities=np.take_along_axis(probabilities, top_classes, axis=1),
    )


def best_classes(probabilities: NDArray[np.float32], count: int = TOP) -> NDArray[np.int32]:
    """(n, min(count, classes)) int32, best first; among equals the lower index first, as ONNX's TopK does.

    ``argmax`` returns the first of equals, so a few of them are both stable and far cheaper than sorting
    a thousand classes.
    """
    left = probabilities.copy()
    rows = np.arange(len(left))
    best = np.empty((len(left), min(count, left.shape[1])), np.int32)
    for rank in range(best.shape[1]):
        best[:, rank] = left.argmax(axis=1)
        left[rows, best[:, rank]] = -np.inf
    return best


def check_probabilities(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The values themselves, when they are float32 probabilities of that shape.

    Raises:
        BadAnswerError: they are not; the message says in what way.
    """
    check_shape(name, values, np.dtype(np.float32), shape)
    low, high = values.min(), values.max()
    # NaN makes every comparison false, so this catches it as well.
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        if not np.isfinite(values).all():
            raise BadAnswerError(f"output '{name}' holds NaN or infinity")
        raise BadAnswerError(
            f"output '{name}' runs from {low:.4g} to {high:.4g}: the target must answer probabilities "
            "in [0, 1] (with the softmax inside the model), not logits; if it answers logits or percent, "
            'say output_kind = "logits" or "percent"'
        )
    return values


def check_sums(name: str, probabilities: NDArray[np.float32], tolerance: float) -> None:
    """Raises BadAnswerError unless each row sums to 1 within the tolerance."""
    sums = probabilities.sum(axis=1)
    worst = sums[np.abs(sums - 1).argmax()]
    if abs(worst - 1) > tolerance:
        raise BadAnswerError(
            f"output '{name}': a row sums to {worst:.4g}, so it is no distribution over the classes"
            f" (1 within {tolerance:g}); {_SIGMOID_CURE}"
        )


def check_classes(name: str, values: NDArray[Any], shape: tuple[int, ...], classes: int) -> NDArray[np.int32]:
    """The values themselves, when they are int32 class indices of that shape.

    Raises:
        BadAnswerError: they are not.
    """
    check_shape(name, values, np.dtype(np.int32), shape)
    if values.min() < 0 or values.max() >= classes:
        raise BadAnswerError(f"output '{name}' holds indices outside the model's {classes} classes")
    return values


def check_shape(name: str, values: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """Raises BadAnswerError unless an output has this type and shape."""
    if values.dtype != dtype or values.shape != shape:
        raise BadAnswerError(
            f"output '{name}' is {values.dtype} {list(values.shape)}, expected {dtype} {list(shape)}"
        )


def _softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    shares: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float32]:
    return (0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))).astype(np.float32)
