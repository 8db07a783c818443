"""A target's answer, before anyone believes it: is it probabilities, and which classes lead?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.kserve.errors import BadAnswerError
from pixelprobe_services.orchestrator.targets.base import TOP, Scores

TOLERANCE = 1e-3
"""How far outside [0, 1] rounding (half precision included) may carry a probability."""


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
            "in [0, 1] (with the softmax inside the model), not logits"
        )
    return values


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
