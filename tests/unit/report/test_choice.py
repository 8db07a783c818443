from __future__ import annotations

from pixelprobe.report.collect import choose_images
from pixelprobe.report.metrics.evaluation import Evaluation
from tests.unit.report.made import failed, made, scores


def test_images_that_fell_in_more_regions_come_first() -> None:
    rows = [
        made("once", region="foreground"),
        made("twice", region="foreground"),
        made("twice", region="background"),
        failed("never", region="foreground"),
    ]
    choice = choose_images(Evaluation(rows))
    assert choice is not None
    assert (choice.pixels, list(choice.regions), list(choice.digests)) == (
        1,
        ["foreground", "background"],
        ["twice", "once"],
    )


def test_a_second_image_of_a_class_comes_after_the_first_of_every_other() -> None:
    cat, dog = scores((3, 0.8), (5, 0.1)), scores((5, 0.8), (3, 0.1))
    rows = [made(name, region="foreground", clean_top=cat) for name in ("cat1", "cat2")]
    rows += [
        made("cat1", region="background", clean_top=cat),
        made("cat2", region="background", clean_top=cat),
    ]
    rows += [made("dog", region="foreground", clean_top=dog)]
    choice = choose_images(Evaluation(rows), limit=2)
    assert choice is not None
    assert choice.digests == ["cat1", "dog"]


def test_the_fewest_pixels_that_succeeded_are_shown() -> None:
    choice = choose_images(
        Evaluation([failed("a", region="foreground"), made("a", region="foreground", pixels=3)])
    )
    assert choice is not None
    assert choice.pixels == 3


def test_whole_images_are_shown_where_no_region_was_attacked() -> None:
    choice = choose_images(Evaluation([made("a")]))
    assert choice is not None
    assert list(choice.regions) == ["whole"]


def test_targeted_successes_are_not_the_gallerys() -> None:
    assert choose_images(Evaluation([made("a", region="foreground", target_class=1)])) is None
    assert choose_images(Evaluation([])) is None
