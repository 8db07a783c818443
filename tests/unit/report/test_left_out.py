from __future__ import annotations

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.evaluation import Evaluation, LeftOut, left_out
from tests.unit.report.made import made, targeted

MISREAD = "the clean image is misclassified: class 3 instead of 5"
ELSE = "the clean image is misclassified: class 1 instead of 2"


def test_what_was_left_out_is_counted_by_outcome_and_reason() -> None:
    rows = [
        made("a"),
        made("b", Outcome.BUDGET_EXHAUSTED, reason="all 5 queries of the budget are spent"),
        made("c", Outcome.NOT_APPLICABLE, reason=MISREAD),
        made("d", Outcome.NOT_APPLICABLE, reason=ELSE),
        made("e", Outcome.ERROR, reason="the target is gone: code 14"),
        made("f", Outcome.CANCELLED),
        made("a", Outcome.NOT_APPLICABLE, region="background", reason="the background has no pixels"),
    ]
    assert left_out(Evaluation(rows), classes=3) == [
        LeftOut("net", "whole", 1, "untargeted", "not_applicable", "the clean image is misclassified", 2, 2),
        LeftOut("net", "whole", 1, "untargeted", "error", "the target is gone", 1, 1),
        LeftOut("net", "whole", 1, "untargeted", "cancelled", "", 1, 1),
        LeftOut("net", "background", 1, "untargeted", "not_applicable", "the background has no pixels", 1, 1),
    ]


def test_errors_are_grouped_by_what_went_wrong_and_not_by_the_servers_address() -> None:
    told = "127.0.0.1:8001: model 'net_edits': DEADLINE_EXCEEDED: Stream removed (gave up after 7 attempts)"
    rows = [
        made("a", Outcome.ERROR, reason=told),
        made("b", Outcome.ERROR, reason=told.replace("1:8", "2:9")),
    ]
    (group,) = left_out(Evaluation(rows), classes=3)
    assert (group.reason, group.attacks) == ("model 'net_edits': DEADLINE_EXCEEDED", 2)


def test_attacks_and_images_are_counted_apart_and_own_classes_are_no_loss() -> None:
    rows = [
        made("a", Outcome.NOT_APPLICABLE, target_class=goal, reason="the mask needs review: 95% foreground")
        for goal in (1, 2)
    ]
    rows += [targeted("b", 1, Outcome.SUCCESS), targeted("b", 2, Outcome.FAILURE)]
    rows += [made("b", Outcome.NOT_APPLICABLE, target_class=0, reason="of the target class 0 already")]
    assert left_out(Evaluation(rows), classes=3) == [
        LeftOut("net", "whole", 1, "targeted", "not_applicable", "the mask needs review", 2, 1),
    ]


def test_images_with_too_few_targeted_attacks_are_listed_as_incomplete() -> None:
    rows = [
        targeted("a", 1, Outcome.SUCCESS),
        targeted("a", 2, Outcome.SUCCESS),
        targeted("b", 1, Outcome.SUCCESS),
        made("b", Outcome.ERROR, target_class=2, reason="gone"),
    ]
    assert left_out(Evaluation(rows), classes=3) == [
        LeftOut("net", "whole", 1, "targeted", "error", "gone", 1, 1),
        LeftOut("net", "whole", 1, "targeted", "incomplete", "fewer than 2 target classes attacked", 1, 1),
    ]


def test_nothing_left_out_is_nothing_listed() -> None:
    assert left_out(Evaluation([made()]), classes=10) == []
    assert left_out(Evaluation([]), classes=10) == []
