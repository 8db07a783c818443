"""What an attack without success says of the model, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pixelprobe_services.common.values import Ledger, Outcome
from pixelprobe_services.orchestrator.core.verdict import SAME_ANSWERS, AnswerWatch, verdict

SPENT = "all 200 queries of the budget are spent"


def of(
    outcome: Outcome, ledger: Ledger, *, any_candidate: bool = True, same_answers: int = 0, reason: str = ""
) -> tuple[Outcome, str]:
    return verdict(
        outcome,
        reason,
        ledger,
        any_candidate=any_candidate,
        same_answers=same_answers,
        knobs="lower max_batch",
    )


def test_a_budget_without_an_answered_candidate_is_an_error_that_names_time_outs() -> None:
    ledger = Ledger(200, answered=1, timed_out=199)
    outcome, reason = of(Outcome.BUDGET_EXHAUSTED, ledger, any_candidate=False, reason=SPENT)
    assert outcome is Outcome.ERROR
    assert reason == (
        "no candidate was answered: 199 of 200 queries were not answered (time-outs); lower max_batch"
    )


def test_a_budget_lost_for_the_most_part_is_an_error() -> None:
    outcome, reason = of(Outcome.BUDGET_EXHAUSTED, Ledger(200, answered=99, timed_out=101), reason=SPENT)
    assert outcome is Outcome.ERROR
    assert reason.startswith("too few answers to call it a failure: 101 of 200")


def test_a_budget_lost_in_part_says_so() -> None:
    outcome, reason = of(Outcome.BUDGET_EXHAUSTED, Ledger(200, answered=150, timed_out=50), reason=SPENT)
    assert outcome is Outcome.BUDGET_EXHAUSTED
    assert reason == f"{SPENT}; 50 of 200 queries were not answered (time-outs); lower max_batch"


def test_a_budget_for_the_clean_image_alone_measured_nothing() -> None:
    outcome, reason = of(
        Outcome.BUDGET_EXHAUSTED, Ledger(1, answered=1), any_candidate=False, reason="all 1 queries"
    )
    assert (outcome, reason) == (Outcome.ERROR, "no candidate was answered: all 1 queries")


@pytest.mark.parametrize("outcome", [Outcome.FAILURE, Outcome.BUDGET_EXHAUSTED])
def test_one_answer_to_every_image_is_no_failure(outcome: Outcome) -> None:
    found, reason = of(outcome, Ledger(400, answered=400), same_answers=SAME_ANSWERS)
    assert found is Outcome.ERROR
    assert "the same answer to every image (100 different candidates)" in reason
    assert of(outcome, Ledger(400, answered=400), same_answers=SAME_ANSWERS - 1) == (outcome, "")


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.NOT_APPLICABLE, Outcome.CANCELLED])
def test_other_outcomes_stay(outcome: Outcome) -> None:
    assert of(outcome, Ledger(200, answered=1, timed_out=199), reason="so") == (outcome, "so")


def test_a_search_that_ended_has_all_its_answers() -> None:
    assert of(Outcome.FAILURE, Ledger(500, answered=200, timed_out=300)) == (Outcome.FAILURE, "")


def answers(top: float, rows: int = 1) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    return np.array([[3, 1]] * rows, dtype=np.int32), np.array([[top, 1 - top]] * rows, dtype=np.float32)


def test_answers_are_watched_until_one_differs() -> None:
    watch = AnswerWatch()
    classes, probabilities = answers(0.7)
    watch.start(classes[0], probabilities[0])
    watch.see(*answers(0.7, 60))
    watch.see(*answers(0.7, 50))
    assert watch.same == 110
    watch.see(*answers(0.7000001, 1))
    watch.see(*answers(0.7, 500))
    assert watch.same == 0


def test_certainty_is_not_judged() -> None:
    watch = AnswerWatch()
    classes, probabilities = answers(1.0)
    watch.start(classes[0], probabilities[0])
    watch.see(*answers(1.0, 500))
    assert watch.same == 0
