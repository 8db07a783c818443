"""From probabilities to what the search minimises, and to whether an attack has succeeded (eq. 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import Goal


def scored_class(goal: Goal, clean_class: int) -> int:
    """The class whose probability is the fitness: the clean one (eq. 3), or the target (eq. 4)."""
    return clean_class if goal.target_class is None else goal.target_class


def cost(goal: Goal, probability: NDArray[np.floating]) -> NDArray[np.float64]:
    """What the search minimises: the probability of the clean class, or minus that of the target.

    Args:
        goal: of the attack.
        probability: (n,) of :func:`scored_class`, in [0, 1].

    Returns:
        (n,) float64.
    """
    value = probability.astype(np.float64)
    return value if goal.target_class is None else -value


def is_success(goal: Goal, clean_class: int, top_class: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether each best class, (n,) int, meets the goal: any but the clean one, or exactly the target."""
    if goal.target_class is None:
        return np.asarray(top_class != clean_class)
    return np.asarray(top_class == goal.target_class)


def not_applicable_reason(
    goal: Goal,
    clean_class: int,
    label: int | None,
    attack_misclassified: bool,
    names: Sequence[str] = (),
) -> str | None:
    """Why there is nothing to attack in an image of class ``clean_class``, for people; None if there is.

    Args:
        goal: of the attack.
        clean_class: the class that the model gives the clean image.
        label: the true class, where known.
        attack_misclassified: attack images that the model gets wrong without any edit too.
        names: the classes' names, where known.
    """

    def name(index: int) -> str:
        if index >= len(names):
            return f"class {index}"
        # Two of ImageNet's classes may share a name, such as "crane", bird and machine.
        return names[index] if names.count(names[index]) == 1 else f"{names[index]} ({index})"

    if label is not None and clean_class != label and not attack_misclassified:
        return f"the clean image is misclassified: {name(clean_class)} instead of {name(label)}"
    if goal.target_class == clean_class:
        return f"the clean image is of the target class already: {name(clean_class)}"
    return None
