"""The paper's findings held against ours: beyond chance, or left open."""

from __future__ import annotations

from typing import Any

import pytest

from client.report.metrics.evaluation import Evaluation
from client.report.numbers import work_out
from client.report.reference import load_reference
from client.report.rows import AttackRow
from client.report.shape import Finding, Verdict, findings
from tests.unit.report.made import failed, made

MODEL = "vgg16_cifar10"


def fooled(
    region: str, successes: int, pixels: int = 1, model: str = MODEL, **changes: Any
) -> list[AttackRow]:
    """100 pictures, the first so many of them fooled."""
    return [
        (made if n < successes else failed)(f"{n:03}", target=model, region=region, pixels=pixels, **changes)
        for n in range(100)
    ]


def found(rows: list[AttackRow]) -> list[Finding]:
    return findings(work_out(Evaluation(rows), load_reference(), {}, 3))


def verdicts(rows: list[AttackRow]) -> list[Verdict]:
    return [finding.verdict for finding in found(rows)]


@pytest.mark.parametrize(
    ("foreground", "verdict"),
    [(60, Verdict.HOLDS), (58, Verdict.HOLDS), (50, Verdict.OPEN), (45, Verdict.OPEN), (30, Verdict.FAILS)],
)
def test_foreground_is_close_to_whole_within_a_fifth(foreground: int, verdict: Verdict) -> None:
    # Of 60: the drop is 0, 3, 17, 25 and 50%, its interval about 10 points to either side.
    assert verdicts(fooled("whole", 60) + fooled("foreground", foreground))[0] is verdict


def test_a_drop_is_told_with_its_interval_and_the_papers() -> None:
    finding = found(fooled("whole", 60) + fooled("foreground", 45))[0]
    assert finding.paper == "4.1% less often"  # 1 - 41.6 / 43.4 of this model
    assert finding.ours.startswith("25.0% less often (95% interval of the drop: 1")
    more = found(fooled("whole", 40) + fooled("foreground", 50))[0]
    assert more.ours.startswith("25.0% more often (95% interval of the drop: −")


@pytest.mark.parametrize(
    ("background", "verdict"),
    [(20, Verdict.HOLDS), (49, Verdict.OPEN), (50, Verdict.OPEN), (90, Verdict.FAILS)],
)
def test_background_falls_less_where_every_model_says_so_beyond_chance(
    background: int, verdict: Verdict
) -> None:
    rows = fooled("whole", 60) + fooled("foreground", 50) + fooled("background", background)
    assert verdicts(rows)[1] is verdict


def test_one_model_that_leaves_it_open_leaves_it_open() -> None:
    rows = fooled("whole", 60) + fooled("foreground", 50) + fooled("background", 20)
    rows += [
        row
        for region in ("whole", "foreground", "background")
        for row in fooled(region, 40, model="nin_cifar10")
    ]
    finding = found(rows)[1]
    assert finding.verdict is Verdict.OPEN
    assert finding.ours.endswith("for 1 of 2 models")


@pytest.mark.parametrize(("generations", "verdict"), [(5, Verdict.HOLDS), (6, Verdict.FAILS)])
def test_soon_is_five_generations(generations: int, verdict: Verdict) -> None:
    assert verdicts(fooled("whole", 60, generations=generations))[2] is verdict


def test_few_successes_leave_soon_open() -> None:
    finding = found(fooled("whole", 1))[2]
    assert (finding.verdict, finding.ours) == (Verdict.OPEN, "100% of 1 success")


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [((10, 20, 30), Verdict.HOLDS), ((10, 10, 10), Verdict.OPEN), ((30, 20, 10), Verdict.FAILS)],
)
def test_more_pixels_by_a_sign_test(steps: tuple[int, ...], verdict: Verdict) -> None:
    rows = [
        row
        for model in ("a", "b", "c")
        for pixels, successes in zip((1, 3, 5), steps, strict=True)
        for row in fooled("whole", successes, pixels, model)
    ]
    assert verdicts(rows)[3] is verdict


def test_without_attacks_everything_is_open() -> None:
    assert verdicts([]) == [Verdict.OPEN] * 4
    assert [finding.ours for finding in found([])] == [
        "no picture was attacked both whole and in the foreground; “almost” is taken as at most 20%",
        "no picture was attacked both whole and in the background",
        "no success to tell from",
        "one number of pixels only",
    ]


def test_without_success_whole_there_is_nothing_to_drop_from() -> None:
    rows = fooled("whole", 0) + fooled("foreground", 0)
    assert found(rows)[0].ours.startswith("no picture fell whole")
    assert verdicts(rows)[0] is Verdict.OPEN
