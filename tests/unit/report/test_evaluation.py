from __future__ import annotations

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.evaluation import Condition, Evaluation
from tests.unit.report.made import failed, made


def test_attacks_are_sorted_by_model_pixels_and_region() -> None:
    evaluation = Evaluation(
        [
            made(target="b", region="control"),
            made(target="b", region="whole"),
            made(target="a", pixels=5, region="background"),
            made(target="a", pixels=1, region="foreground"),
        ]
    )
    assert evaluation.conditions == (
        Condition("a", "foreground", 1),
        Condition("a", "background", 5),
        Condition("b", "whole", 1),
        Condition("b", "control", 1),
    )
    assert evaluation.models == ("a", "b")
    assert evaluation.regions == ("whole", "foreground", "background", "control")
    assert evaluation.pixel_counts == (1, 5)


def test_goals_are_kept_apart_and_what_was_left_out_is_in_neither() -> None:
    rows = [
        made("a"),
        failed("b"),
        made("c", Outcome.ERROR),
        made("a", target_class=1),
        made("a", Outcome.NOT_APPLICABLE, target_class=0),
    ]
    evaluation = Evaluation(rows)
    assert evaluation.untargeted("net", "whole", 1) == rows[:2]
    assert evaluation.targeted("net", "whole", 1) == [rows[3]]
    assert evaluation.untargeted("net", "whole", 3) == ()
    assert len(evaluation.rows) == 5


def test_the_same_attack_counts_once_and_one_that_ran_wins() -> None:
    evaluation = Evaluation(
        [
            made("a", Outcome.ERROR),
            failed("a", queries_sent=7),
            made("a", queries_sent=8),
            made("a", Outcome.CANCELLED),
            made("a", pixels=3),
        ]
    )
    (kept,) = evaluation.untargeted("net", "whole", 1)
    assert (kept.outcome, kept.queries_sent) == (Outcome.FAILURE, 7)
    assert evaluation.repeated == 3
    assert len(evaluation.rows) == 2


def test_an_empty_evaluation_has_nothing() -> None:
    evaluation = Evaluation([])
    assert (evaluation.rows, evaluation.conditions, evaluation.models, evaluation.repeated) == ((), (), (), 0)
