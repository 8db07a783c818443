"""Which images a spec picks, and what it makes of those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelprobe.campaigns.images import Pick, load_entries
from pixelprobe.campaigns.spec_file import AttackGroup, DataKind, DataSource, Spec, SpecError
from pixelprobe.inputs.datasets.base import Entry
from pixelprobe.inputs.datasets.imagenet_classes import imagenet_classes
from pixelprobe.inputs.images import ImageError, InputImage, save_png
from pixelprobe.inputs.planned import PlanError
from pixelprobe.inputs.sizing import Sizing, resize_image
from pixelprobe.model import SearchSettings, Target
from tests.unit.client.imagenet_files import CRANE_BIRD, CRANE_MACHINE, write_jpeg
from tests.unit.client.values import TARGET

GROUP = AttackGroup("", None, ("net",), (), (1,), ("untargeted",), SearchSettings(), None)
SPEC = Spec(
    path=Path("mine.toml"),
    name="mine",
    seed=0,
    data=DataSource(DataKind.FOLDER, None),
    groups=(GROUP,),
    segmenter="",
    accept_unreviewed=False,
    attack_misclassified=False,
)
HEIGHT, WIDTH = TARGET.height, TARGET.width


def spec(
    count: int | None = None, *, resize: Sizing | None = None, groups: tuple[int | None, ...] = (None,)
) -> Spec:
    source = replace(SPEC.data, count=count, resize=resize)
    named = tuple(replace(GROUP, name=f"g{place}", count=number) for place, number in enumerate(groups))
    return replace(SPEC, data=source, groups=named)


def entry(name: str, value: int = 0, *, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Entry:
    pixels = np.full((*size, 3), value, np.uint8)
    return Entry(name, None, None, lambda: InputImage(Path(name), pixels))


def broken(name: str) -> Entry:
    def load() -> InputImage:
        raise ImageError(f"{name}: damaged")

    return Entry(name, None, None, load)


def names(pick: Pick) -> list[str]:
    return [picked.name for picked in pick]


def test_what_cannot_be_read_or_comes_twice_is_told_and_replaced() -> None:
    entries = [entry("a", 1), broken("b"), entry("c", 1), entry("d", 2), entry("e", 3), broken("f")]
    pick = Pick(spec(3), entries, [TARGET])
    assert names(pick) == ["a", "d", "e"]
    assert pick.unreadable == ["b: damaged"]
    assert pick.duplicates == ["c"]
    everything = Pick(spec(), entries, [TARGET])
    assert names(everything) == ["a", "d", "e"]
    assert everything.unreadable == ["b: damaged", "f: damaged"]


def test_too_few_images_are_an_error_that_counts_them() -> None:
    entries = [entry("a", 1), broken("b"), entry("c", 1)]
    for wanted in (spec(2), spec(None, groups=(None, 2))):
        with pytest.raises(SpecError, match=r"expected 2 images, got 1; .* 1 are copies of others"):
            names(Pick(wanted, entries, [TARGET]))
    with pytest.raises(SpecError, match="expected 1 images, got 0"):
        names(Pick(spec(), [broken("b")], [TARGET]))


def test_another_size_is_an_error_unless_the_spec_says_to_resize() -> None:
    entries = [entry("big.png", 7, size=(4 * HEIGHT, 4 * WIDTH))]
    with pytest.raises(
        PlanError, match=r"big.png is 32 x 24 pixels, but net takes 8 x 6; data.resize = true in"
    ):
        names(Pick(spec(), entries, [TARGET]))
    (picked,) = Pick(spec(resize=Sizing.CROP), entries, [TARGET])
    np.testing.assert_array_equal(picked.pixels, np.full((HEIGHT, WIDTH, 3), 7, np.uint8))


@pytest.mark.parametrize("how", Sizing)
def test_images_are_sized_as_the_spec_says(how: Sizing) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    big = Entry("big.png", None, None, lambda: InputImage(Path("big.png"), pixels))
    (picked,) = Pick(spec(resize=how), [big], [TARGET])
    np.testing.assert_array_equal(picked.pixels, resize_image(pixels, WIDTH, HEIGHT, how))
    # one that has the size already is left alone
    (same,) = Pick(spec(resize=how), [entry("a", 9)], [TARGET])
    np.testing.assert_array_equal(same.pixels, np.full((HEIGHT, WIDTH, 3), 9, np.uint8))


def test_a_image_too_narrow_for_its_sizing_is_left_out_and_told() -> None:
    strip = entry("strip.png", 1, size=(10_000_000, 1))
    pick = Pick(spec(resize=Sizing.SHORT_SIDE), [strip, entry("b", 2)], [TARGET])
    assert names(pick) == ["b"]
    (told,) = pick.unreadable
    assert told.startswith("strip.png: 1 x 10000000 pixels are too narrow for short-side-256")


def labelled(name: str, class_name: str, index: int | None, value: int) -> Entry:
    pixels = np.full((HEIGHT, WIDTH, 3), value, np.uint8)
    return Entry(name, class_name, index, lambda: InputImage(Path(name), pixels))


def test_images_come_with_their_classes_also_where_two_share_a_name() -> None:
    crane = replace(TARGET, labels=("crane", "dog", "crane"))
    entries = [
        labelled("machine", "crane", 2, 1),
        labelled("bird", "crane", 0, 2),
        labelled("z", "dog", 1, 3),
        entry("none", 4),
    ]
    picked = {picked.name: picked.label for picked in Pick(spec(), entries, [crane])}
    assert picked == {"machine": 2, "bird": 0, "z": 1, "none": None}


def test_imagenets_images_are_found_and_labelled(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "val" / CRANE_MACHINE / "a.JPEG", 60)
    write_jpeg(tmp_path / "val" / CRANE_BIRD / "b.JPEG", 70)
    source = DataSource(DataKind.IMAGENET, tmp_path, "val", resize=Sizing.STRETCH)
    wanted = replace(SPEC, data=source)
    target = Target("net", True, "", 8, 6, 1000, tuple(known.name for known in imagenet_classes()), True)
    picked = {picked.name: picked for picked in Pick(wanted, load_entries(wanted), [target])}
    assert {name: one.label for name, one in picked.items()} == {
        f"{CRANE_BIRD}/b.JPEG": 134,
        f"{CRANE_MACHINE}/a.JPEG": 517,
    }
    assert all(one.pixels.shape == (6, 8, 3) for one in picked.values())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place in range(6):
        save_png(tmp_path / f"{place}.png", np.full((HEIGHT, WIDTH, 3), place, np.uint8))
    return tmp_path


def test_the_data_option_goes_before_the_spec_and_somebody_must_say(folder: Path) -> None:
    with pytest.raises(
        SpecError, match=r"mine.toml: data.folder: missing; expected the data's folder, or --da"
    ):
        load_entries(SPEC)
    elsewhere = replace(SPEC, data=replace(SPEC.data, folder=folder / "nowhere"))
    with pytest.raises(PlanError, match="no such folder"):
        load_entries(elsewhere)
    assert len(load_entries(elsewhere, folder)) == 6


def test_a_seed_picks_and_more_images_begin_with_the_fewer(folder: Path) -> None:
    def picked(count: int, seed: int) -> list[str]:
        wanted = replace(SPEC, data=replace(SPEC.data, count=count, seed=seed))
        return names(Pick(wanted, load_entries(wanted, folder), [TARGET]))

    assert picked(5, 1)[:3] == picked(3, 1)
    assert len({tuple(picked(3, seed)) for seed in range(20)}) > 10


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (lambda: spec(7), r"data.count: expected at most 6, the images in .*, got 7"),
        (lambda: spec(None, groups=(2, 9)), r"attacks.g1.count: expected at most 6, .* got 9"),
    ],
)
def test_more_than_there_are(folder: Path, wanted: Callable[[], Spec], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        load_entries(wanted(), folder)
