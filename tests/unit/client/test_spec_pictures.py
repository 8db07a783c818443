"""Which pictures a spec picks, and what it makes of those that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.datasets.base import Entry
from client.model import SearchOptions, Target
from client.pictures import Picture, PictureError, save_png
from client.plan import PlanError
from client.spec.model import AttackGroup, DataKind, DataSource, Spec, SpecError
from client.spec.pictures import Pick, class_labels, load_entries
from tests.unit.client.values import OTHER, TARGET

GROUP = AttackGroup("", None, ("net",), (), (1,), ("untargeted",), SearchOptions(), None)
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


def spec(count: int | None = None, *, resize: bool = False, groups: tuple[int | None, ...] = (None,)) -> Spec:
    source = replace(SPEC.data, count=count, resize=resize)
    named = tuple(replace(GROUP, name=f"g{place}", count=number) for place, number in enumerate(groups))
    return replace(SPEC, data=source, groups=named)


def entry(name: str, value: int = 0, *, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Entry:
    pixels = np.full((*size, 3), value, np.uint8)
    return Entry(name, None, None, lambda: Picture(Path(name), pixels))


def broken(name: str) -> Entry:
    def load() -> Picture:
        raise PictureError(f"{name}: damaged")

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


def test_too_few_pictures_are_an_error_that_counts_them() -> None:
    entries = [entry("a", 1), broken("b"), entry("c", 1)]
    for wanted in (spec(2), spec(None, groups=(None, 2))):
        with pytest.raises(
            SpecError, match="expected 2 pictures, got 1; of 3 1 cannot be read, 1 come twice"
        ):
            names(Pick(wanted, entries, [TARGET]))
    with pytest.raises(SpecError, match="expected 1 pictures, got 0"):
        names(Pick(spec(), [broken("b")], [TARGET]))


def test_another_size_is_an_error_unless_the_spec_says_to_resize() -> None:
    entries = [entry("big.png", 7, size=(4 * HEIGHT, 4 * WIDTH))]
    with pytest.raises(
        PlanError, match=r"big.png is 32 x 24 pixels, but net takes 8 x 6; data.resize = true in"
    ):
        names(Pick(spec(), entries, [TARGET]))
    (picked,) = Pick(spec(resize=True), entries, [TARGET])
    np.testing.assert_array_equal(picked.pixels, np.full((HEIGHT, WIDTH, 3), 7, np.uint8))


def labelled(name: str, class_name: str, index: int | None = None) -> Entry:
    return Entry(name, class_name, index, lambda: Picture(Path(name), np.zeros((HEIGHT, WIDTH, 3), np.uint8)))


def test_classes_are_numbered_as_the_target_numbers_them() -> None:
    entries = [labelled("x", "frog"), labelled("y", "cat"), entry("z", 1)]
    (one, *_, last) = Pick(spec(), entries, [TARGET])
    assert (one.label, last.label) == (2, None)
    # the data set's own numbers matter only where a target tells no names
    numbered = [labelled("x", "cat", 1), labelled("y", "dog", 0)]
    assert class_labels(SPEC, numbered, [TARGET]) == {"cat": 0, "dog": 1}
    nameless = replace(TARGET, labels=())
    assert class_labels(SPEC, numbered, [nameless]) == {"cat": 1, "dog": 0}
    assert class_labels(SPEC, numbered, [TARGET, nameless]) == {"cat": 0, "dog": 1}
    assert class_labels(SPEC, [labelled("x", "2")], [nameless]) == {"2": 2}


@pytest.mark.parametrize(
    ("entries", "targets", "told"),
    [
        (
            [labelled("x", "cow")],
            [TARGET],
            "'cow' is no class of net.*class_folders = false takes subfolders",
        ),
        ([labelled("x", "cow", 2)], [TARGET], "'cow' is no class of net; it knows cat, dog, Frog$"),
        (
            [labelled("x", "cat")],
            [TARGET, OTHER],
            "'cat' is class 0 of net, 1 of other; attack them separately",
        ),
    ],
)
def test_a_class_that_targets_do_not_know_or_number_differently(
    entries: list[Entry], targets: list[Target], told: str
) -> None:
    with pytest.raises(PlanError, match=rf"mine.toml: the data set's classes: .*{told}"):
        class_labels(SPEC, entries, targets)


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


def test_a_seed_picks_and_more_pictures_begin_with_the_fewer(folder: Path) -> None:
    def picked(count: int, seed: int) -> list[str]:
        wanted = replace(SPEC, data=replace(SPEC.data, count=count, seed=seed))
        return names(Pick(wanted, load_entries(wanted, folder), [TARGET]))

    assert picked(5, 1)[:3] == picked(3, 1)
    assert len({tuple(picked(3, seed)) for seed in range(20)}) > 10


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (lambda: spec(7), r"data.count: expected at most 6, the pictures in .*, got 7"),
        (lambda: spec(None, groups=(2, 9)), r"attacks.g1.count: expected at most 6, .* got 9"),
    ],
)
def test_more_than_there_are(folder: Path, wanted: Callable[[], Spec], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        load_entries(wanted(), folder)
