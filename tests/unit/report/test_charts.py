"""Charts: what is drawn and what is not, what they say in words, and files that anything can read."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest
from PIL import Image

from pixelprobe.report.charts import Charts, draw_charts
from pixelprobe.report.figures.classes import pair_charts, reached_charts
from pixelprobe.report.figures.fitness import fitness_charts
from pixelprobe.report.figures.rates import budget_charts, success_charts
from pixelprobe.report.figures.style import Chart, file_name
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.numbers import Numbers, work_out
from pixelprobe.report.reference import load_reference
from pixelprobe.report.rows import AttackRow
from tests.unit.report.campaigns import campaign
from tests.unit.report.made import failed, made
from tests.unit.report.reports import LABELS, MODEL

HOSTILE = "<b>$\\frac{x & y ☃ " + "long" * 30


def numbers_of(rows: list[AttackRow], classes: int = 10) -> Numbers:
    return work_out(Evaluation(rows), load_reference(), {}, classes)


@pytest.fixture(scope="module")
def drawn() -> Charts:
    rows = list(campaign(30, models=(MODEL,), pixel_counts=(1, 3), targeted=10, generations=5))
    return draw_charts(numbers_of(rows), 10, {MODEL: LABELS})


def test_each_kind_has_its_files(drawn: Charts) -> None:
    assert [chart.name for chart in drawn.all] == [
        "success_1px",
        "success_3px",
        "figure_3_vgg16_cifar10",
        *(f"figure_4_vgg16_cifar10_{region}" for region in ("whole", "foreground", "background")),
        *(f"figure_5_vgg16_cifar10_{region}" for region in ("whole", "foreground", "background")),
        "figure_6_vgg16_cifar10",
        "success_by_budget_vgg16_cifar10_1px",
        "success_by_budget_vgg16_cifar10_3px",
    ]


def test_files_are_whole_images_of_the_size_they_say(drawn: Charts) -> None:
    for chart in drawn.all:
        root = ElementTree.fromstring(chart.svg)
        width = float(root.attrib["width"].removesuffix("pt"))
        assert width == pytest.approx(chart.width * 72 / 96, abs=1)
        assert not [e for e in root.iter() if e.tag.rpartition("}")[2] in ("script", "image", "a")]
        addresses = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
        assert all(address.startswith("#") for address in addresses)
        with Image.open(io.BytesIO(chart.png)) as image:
            assert image.width / image.height == pytest.approx(chart.width / chart.height, rel=0.01)
            # Something is drawn up to no edge: nothing is cut off.
            assert image.convert("L").getextrema() != (255, 255)
            edges = [image.convert("L").crop(box) for box in _edges(image)]
            assert all(edge.getextrema() == (255, 255) for edge in edges), chart.name


def _edges(image: Image.Image) -> list[tuple[int, int, int, int]]:
    width, height = image.size
    return [
        (0, 0, width, 1),
        (0, height - 1, width, height),
        (0, 0, 1, height),
        (width - 1, 0, width, height),
    ]


def test_words_tell_what_eyes_see() -> None:
    rows = [(made if n < 2 else failed)(f"{n}", target=MODEL, region=region)
            for n in range(4) for region in ("whole", "foreground", "background")]  # fmt: skip
    numbers = numbers_of(rows, 3)
    (success,) = success_charts(numbers.table_2)
    assert "vgg16_cifar10, whole: 50.0% (paper 43.4%)" in success.alt
    (budget,) = budget_charts(numbers.budgets)
    assert budget.alt.endswith("In the end: whole 50.0%; foreground 50.0%; background 50.0%.")
    whole, *_ = pair_charts(numbers.pairs, "untargeted", {MODEL: ("cat", "dog")})
    assert "2 in all, most often cat to dog 2." in whole.alt
    (fitness,) = fitness_charts(numbers.fitness)
    assert "2 images" in fitness.title
    assert "whole 0.30, foreground 0.30, background 0.30" in fitness.alt


def test_names_of_any_kind_are_drawn_as_they_are() -> None:
    rows = [made("a", target=HOSTILE, region=region) for region in ("whole", "foreground", "background")]
    rows += [made("a", target=HOSTILE, target_class=goal) for goal in (1, 2)]
    numbers = numbers_of(rows, 3)
    charts = draw_charts(numbers, 3, {HOSTILE: (HOSTILE,) * 3})
    assert len(charts.all) == 8
    for chart in charts.all:
        assert chart.name == file_name(chart.name)
        ElementTree.fromstring(chart.svg)


def test_the_same_numbers_make_the_same_files() -> None:
    rows = [made("a", target=MODEL)]

    def draw() -> list[Chart]:
        return list(success_charts(numbers_of(rows, 3).table_2))

    assert draw() == draw()


def test_two_models_never_share_a_file() -> None:
    rows = [made("a", target=name) for name in ("a/b", "a?b", "A-b")]
    names = [chart.name for chart in draw_charts(numbers_of(rows, 3), 3, {}).budgets]
    assert len({name.casefold() for name in names}) == 3


def test_nothing_to_draw_draws_nothing() -> None:
    assert draw_charts(numbers_of([], 3), 3, {}).all == []


def test_a_thousand_classes_are_not_drawn() -> None:
    rows = [made("a", target="alexnet_imagenet")]
    rows += [made("a", target="alexnet_imagenet", target_class=goal) for goal in range(1, 30)]
    charts = draw_charts(numbers_of(rows, 30), 30, {})
    assert (charts.reached, charts.untargeted_pairs, charts.targeted_pairs) == ([], [], [])
    assert len(charts.success) == 1


def test_imagenets_rates_are_drawn_beside_table_3() -> None:
    rows = [made(image, target="alexnet_imagenet", region="background") for image in "ab"]
    (chart,) = draw_charts(work_out(Evaluation(rows), load_reference(), {}, 1000), 1000, {}).success
    assert chart.alt.endswith("alexnet_imagenet, background: 100.0% (paper 6.9%).")


def test_alexnets_curves_are_as_many_as_the_papers() -> None:
    regions = ("whole", "foreground", "background")
    rows = [
        made(f"{n:02}", target="alexnet_imagenet", region=region, fitness_by_generation=(0.5, 0.25))
        for n in range(20)
        for region in regions
    ]
    (chart,) = draw_charts(work_out(Evaluation(rows), load_reference(), {}, 1000), 1000, {}).fitness
    assert chart.name == "figure_6_alexnet_imagenet"
    assert chart.title.startswith("alexnet_imagenet: best fitness by generation, 10 images")


def test_heat_maps_without_a_success_are_empty_maps() -> None:
    (chart,) = pair_charts(numbers_of([failed("a", target=MODEL)], 3).pairs, "untargeted", {})
    assert chart.alt.endswith("one pixel: 0 in all.")


def test_figure_3_counts_whoever_reached_a_class() -> None:
    rows = [
        row
        for image, wins in (("a", 2), ("b", 0))
        for goal in (1, 2)
        for row in [(made if goal <= wins else failed)(image, target=MODEL, target_class=goal)]
    ]
    (chart,) = reached_charts(numbers_of(rows, 3).reached)
    assert chart.alt.endswith("Share that reached at least one class: one pixel, whole: 50.0%.")
