from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pixelprobe_services.common.values import Goal
from pixelprobe_services.orchestrator.core.goal import cost, is_success, not_applicable_reason, scored_class

probabilities = hnp.arrays(np.float32, st.integers(0, 9), elements=st.floats(0, 1, width=32))


def test_untargeted_watches_the_clean_class_and_targeted_the_target() -> None:
    assert scored_class(Goal(), 3) == 3
    assert scored_class(Goal(5), 3) == 5
    assert scored_class(Goal(0), 3) == 0


@given(probabilities)
def test_the_cost_falls_as_the_goal_comes_nearer(probability: NDArray[np.float32]) -> None:
    untargeted, targeted = cost(Goal(), probability), cost(Goal(0), probability)
    assert untargeted.dtype == targeted.dtype == np.float64
    np.testing.assert_array_equal(untargeted, probability.astype(np.float64))
    np.testing.assert_array_equal(targeted, -untargeted)


def test_success_is_any_other_class_or_the_very_target() -> None:
    top = np.array([0, 3, 5], dtype=np.int32)
    assert is_success(Goal(), 3, top).tolist() == [True, False, True]
    assert is_success(Goal(5), 3, top).tolist() == [False, False, True]
    assert is_success(Goal(0), 3, top).tolist() == [True, False, False]
    assert is_success(Goal(), 3, top[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("goal", "label", "attack_misclassified", "said"),
    [
        (Goal(), None, False, None),
        (Goal(), 3, False, None),
        (Goal(), 0, False, "misclassified: class 3 instead of class 0"),
        (Goal(), 0, True, None),
        (Goal(5), None, False, None),
        (Goal(3), None, False, "of the target class already: class 3"),
        (Goal(3), 0, True, "of the target class already: class 3"),
        (Goal(0), 0, True, None),
        (Goal(0), 0, False, "misclassified"),
    ],
)
def test_what_cannot_be_attacked_is_told_with_its_reason(
    goal: Goal, label: int | None, attack_misclassified: bool, said: str | None
) -> None:
    reason = not_applicable_reason(goal, 3, label, attack_misclassified)
    if said is None:
        assert reason is None
    else:
        assert reason is not None
        assert said in reason


def test_reasons_use_names_where_they_are_known() -> None:
    names = ("airplane", "automobile", "bird", "cat")
    reason = not_applicable_reason(Goal(), 3, 0, False, names)
    assert reason == "the clean image is misclassified: cat instead of airplane"
    beyond = not_applicable_reason(Goal(), 3, 7, False, names)
    assert beyond == "the clean image is misclassified: cat instead of class 7"


def test_names_that_several_classes_share_come_with_their_numbers() -> None:
    names = ("crane", "dog", "crane")
    reason = not_applicable_reason(Goal(), 0, 2, False, names)
    assert reason == "the clean image is misclassified: crane (0) instead of crane (2)"
