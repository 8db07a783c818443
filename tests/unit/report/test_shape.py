"""The paper's findings held against ours: beyond chance, or left open."""

from __future__ import annotations

from typing import Any

import pytest

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.numbers import work_out
from pixelprobe.report.reference import CIFAR10, IMAGENET, Dataset, load_reference
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.shape import Finding, Verdict, findings
from tests.unit.report.made import failed, made

MODEL = "vgg16_cifar10"


def fooled(
    region: str, successes: int, pixels: int = 1, model: str = MODEL, **changes: Any
) -> list[AttackRow]:
    """100 images, the first so many of them fooled."""
    return [
        (made if n < successes else failed)(f"{n:03}", target=model, region=region, pixels=pixels, **changes)
        for n in range(100)
    ]


def found(rows: list[AttackRow], dataset: Dataset = CIFAR10) -> list[Finding]:
    evaluation = Evaluation(rows)
    return findings(work_out(evaluation, load_reference(), {}, 3), evaluation, dataset)


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


def test_the_share_that_the_foreground_keeps_is_told_beside_the_fifth_that_it_may_lose() -> None:
    finding = found(fooled("whole", 60) + fooled("foreground", 58))[0]
    # 58 / 60; the fewest and most of it are what the drop's interval leaves.
    low, high = finding.ours.partition("drop: ")[2].partition("%")[0].split(" to ")
    assert finding.ours.startswith("3.3% less often")
    ends = [f"{1 - float(end.replace('−', '-')) / 100:.2f}" for end in (high, low)]
    assert finding.ours.endswith(
        f"; foreground / whole is 0.97 ({ends[0]} to {ends[1]}); “almost” is taken as at least 0.8 of it"
    )


@pytest.mark.parametrize(
    ("dataset", "foreground", "background", "generations"),
    [(CIFAR10, "6.8%", "54.3%", "1.4 to 4.7"), (IMAGENET, "5.9%", "58.0%", "1.0 to 9.5")],
)
def test_models_that_the_paper_lacks_stand_beside_its_averages_on_their_data_set(
    dataset: Dataset, foreground: str, background: str, generations: str
) -> None:
    rows = [
        row
        for region, successes in (("whole", 60), ("foreground", 50), ("background", 20))
        for row in fooled(region, successes, model="mine")
    ]
    first, second, third, fourth = found(rows, dataset)
    assert first.paper == f"{foreground} less often, the mean of its networks on {dataset.name}"
    assert second.paper == f"{background} less often, the mean of its networks on {dataset.name}"
    assert third.paper == f"means of {generations} generations on {dataset.name} (Table IV)"
    assert ("one pixel only" in fourth.paper) is (dataset is IMAGENET)


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
    assert (finding.verdict, finding.ours) == (
        Verdict.OPEN,
        "100% of 1 success, 100% in the start population (counted as generation 1); "
        "searches were cut at 100 generations",
    )


def searches(*allowed: int, late: int = 0) -> list[AttackRow]:
    """100 cut at each; 20 succeed in the start population, 20 after 2 generations, ``late`` after 6."""
    when = [(1, 1)] * 20 + [(2, 3)] * 20 + [(6, 7)] * late
    return [
        made(
            f"{cut} {number}",
            target=MODEL,
            generations=when[number][0],
            generations_allowed=cut,
            fitness_by_generation=(0.3,) * when[number][1],
        )
        if number < len(when)
        else failed(f"{cut} {number}", target=MODEL, generations=cut, generations_allowed=cut)
        for cut in allowed
        for number in range(100)
    ]


@pytest.mark.parametrize(
    ("rows", "verdict", "told"),
    [
        (
            searches(5),
            Verdict.OPEN,
            "100% of 40 successes, 50% in the start population (counted as generation 1); "
            "but searches were cut at 5 generations, so that no success could come later",
        ),
        (
            searches(6, late=10),
            Verdict.HOLDS,
            "80% of 50 successes, 40% in the start population (counted as generation 1); "
            "searches were cut at 6 generations, so that few successes could come later",
        ),
        (
            searches(10, 20, late=60),
            Verdict.FAILS,
            "40% of 200 successes, 20% in the start population (counted as generation 1); "
            "searches were cut at 10 to 20 generations",
        ),
        # Of the 40 successes of the short searches nothing is told.
        (
            [*searches(3), *searches(100, late=10)],
            Verdict.HOLDS,
            "80% of 50 successes, 40% in the start population (counted as generation 1); "
            "of searches cut at up to 100 generations; those cut within 5 have no say",
        ),
    ],
)
def test_successes_are_only_soon_where_they_could_have_been_late(
    rows: list[AttackRow], verdict: Verdict, told: str
) -> None:
    finding = found(rows)[2]
    assert (finding.verdict, finding.ours) == (verdict, told)


def test_a_query_budget_that_cuts_searches_leaves_it_open_too() -> None:
    rows = searches(100, late=10)
    rows[-1] = made("cut", Outcome.BUDGET_EXHAUSTED, target=MODEL, generations=5)
    finding = found(rows)[2]
    assert finding.verdict is Verdict.OPEN
    assert finding.ours.endswith("cut at 100 generations; but a query budget cut 1 search within 5")
    rows[-1] = made("cut", Outcome.BUDGET_EXHAUSTED, target=MODEL, generations=6)
    assert found(rows)[2].verdict is Verdict.HOLDS


def test_control_regions_have_no_say() -> None:
    rows = searches(100) + fooled("control", 90, generations=50)
    assert found(rows)[2].ours.startswith("100% of 40 successes")


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
        "no image was attacked both whole and in the foreground; “almost” is taken as at least 0.8 of it",
        "no image was attacked both whole and in the background",
        "no success to judge from",
        "one number of pixels only",
    ]


def test_without_success_whole_there_is_nothing_to_drop_from() -> None:
    rows = fooled("whole", 0) + fooled("foreground", 0)
    assert found(rows)[0].ours.startswith("no image fell whole")
    assert verdicts(rows)[0] is Verdict.OPEN
