from __future__ import annotations

from pixelprobe.report.metrics.evaluation import PAPER_REGIONS, Evaluation, fitness_panels
from pixelprobe.report.rows import AttackRow
from tests.unit.report.made import failed, made


def on_all(image: str, fitness: tuple[float, ...]) -> list[AttackRow]:
    return [made(image, region=region, fitness_by_generation=fitness) for region in PAPER_REGIONS]


def test_only_images_that_fell_in_all_regions_are_shown_in_every_panel() -> None:
    rows = on_all("a", (0.5, 0.25)) + on_all("b", (0.25, 0.25))
    rows += [
        made("c"),
        made("c", region="foreground"),
        failed("c", region="background"),
        made("d"),
        *on_all("other", (0.1,)),
    ]
    rows[-3:] = [made(row.image_digest, region=row.region, target="other") for row in rows[-3:]]
    panels = fitness_panels(Evaluation(rows), "net")
    assert [panel.region for panel in panels] == ["whole", "foreground", "background"]
    for panel in panels:
        assert [curve.image_digest for curve in panel.curves] == ["a", "b"]
        assert [list(curve.fitness) for curve in panel.curves] == [[0.5, 0.25], [0.25, 0.25]]
        assert panel.mean == [0.375, 0.25]


def test_curves_are_padded_to_one_length_across_panels_and_say_what_is_known() -> None:
    rows = [
        made("a", region="whole", fitness_by_generation=(0.5,)),
        made("a", region="foreground", fitness_by_generation=(0.75, 0.5, 0.25)),
        made("a", region="background", fitness_by_generation=(0.75, 0.5)),
    ]
    curves = [panel.curves[0] for panel in fitness_panels(Evaluation(rows), "net")]
    assert [list(curve.fitness) for curve in curves] == [[0.5] * 3, [0.75, 0.5, 0.25], [0.75, 0.5, 0.5]]
    assert [curve.known for curve in curves] == [1, 3, 2]


def test_too_many_images_are_sampled_by_seed_whatever_their_order() -> None:
    rows = [row for number in range(40) for row in on_all(f"{number:02}", (0.5,))]
    panels = fitness_panels(Evaluation(rows), "net", limit=15, seed=1)
    chosen = [curve.image_digest for curve in panels[0].curves]
    assert len(set(chosen)) == 15
    again = fitness_panels(Evaluation(rows[::-1]), "net", limit=15, seed=1)
    assert [curve.image_digest for curve in again[2].curves] == chosen
    other = fitness_panels(Evaluation(rows), "net", limit=15, seed=2)
    assert [curve.image_digest for curve in other[0].curves] != chosen


def test_without_such_images_the_panels_are_empty() -> None:
    for evaluation in (Evaluation([]), Evaluation([failed()]), Evaluation([made(region="whole")])):
        panels = fitness_panels(evaluation, "net")
        assert [(list(panel.curves), list(panel.mean)) for panel in panels] == [([], [])] * 3


def test_a_success_without_history_is_not_shown() -> None:
    rows = [made("a", region=region, fitness_by_generation=()) for region in PAPER_REGIONS]
    assert [list(panel.curves) for panel in fitness_panels(Evaluation(rows), "net")] == [[], [], []]
