"""Which of a target's classes a data set's classes are, where names repeat or differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelprobe.campaigns.images import class_labels
from pixelprobe.inputs.datasets.base import Entry
from pixelprobe.inputs.datasets.imagenet_classes import imagenet_classes
from pixelprobe.inputs.images import InputImage
from pixelprobe.inputs.planned import PlanError
from pixelprobe.model import Target
from tests.unit.client.values import OTHER, TARGET

MINE = Path("mine.toml")
NAMES = tuple(known.name for known in imagenet_classes())
OLD_NAMES = tuple({"crane bird": "crane", "maillot tank suit": "maillot"}.get(name, name) for name in NAMES)
"""As older lists have them: two pairs of classes share a name."""

IMAGENET = Target("imagenet", True, "", 224, 224, 1000, NAMES, True)


def labelled(class_name: str, index: int | None = None, also_called: tuple[str, ...] = ()) -> Entry:
    def load() -> InputImage:
        return InputImage(Path("x"), np.zeros((6, 8, 3), np.uint8))

    return Entry("x", class_name, index, load, also_called)


def all_of_imagenet() -> list[Entry]:
    return [labelled(known.name, known.index, known.also_called) for known in imagenet_classes()]


def test_classes_are_numbered_as_the_target_numbers_them() -> None:
    # the data set's own numbers matter only where a target tells no names
    numbered = [labelled("cat", 1), labelled("dog", 0)]
    assert class_labels(MINE, numbered, [TARGET]) == {("cat", 1): 0, ("dog", 0): 1}
    nameless = replace(TARGET, labels=())
    assert class_labels(MINE, numbered, [nameless]) == {("cat", 1): 1, ("dog", 0): 0}
    assert class_labels(MINE, numbered, [TARGET, nameless]) == {("cat", 1): 0, ("dog", 0): 1}
    assert class_labels(MINE, [labelled("2")], [nameless]) == {("2", None): 2}
    assert class_labels(MINE, [], [TARGET]) == {}


@pytest.mark.parametrize(
    ("entries", "targets", "told"),
    [
        (
            [labelled("cow")],
            [TARGET],
            "'cow' is no class of net.*class_folders = false ignores the names",
        ),
        ([labelled("cow", 2)], [TARGET], "'cow' is no class of net; it knows cat, dog, Frog$"),
        ([labelled("cat")], [TARGET, OTHER], "'cat' is class 0 of net, 1 of other; attack them separately"),
        ([labelled("cat", 5)], [TARGET, OTHER], "'cat' is class 0 of net, 1 of other; attack them separate"),
        ([labelled("3")], [replace(TARGET, labels=())], "'3' is no class of net"),
        ([labelled("n01440764")], [TARGET], "'n01440764' is no class of net"),
    ],
)
def test_a_class_that_targets_do_not_know_or_number_differently(
    entries: list[Entry], targets: list[Target], told: str
) -> None:
    with pytest.raises(PlanError, match=rf"^mine.toml: the data set's classes: .*{told}"):
        class_labels(MINE, entries, targets)


@pytest.mark.parametrize(
    "labels",
    [
        NAMES,
        OLD_NAMES,
        tuple(known.wordnet_id for known in imagenet_classes()),
        tuple(", ".join(known.also_called[:-1]) for known in imagenet_classes()),
        tuple(name.upper() for name in NAMES),
        (),
    ],
    ids=["names", "repeated-names", "ids", "lemmas", "capitals", "none"],
)
def test_imagenets_classes_have_their_own_numbers_however_the_target_calls_them(
    labels: tuple[str, ...],
) -> None:
    found = class_labels(MINE, all_of_imagenet(), [replace(IMAGENET, labels=labels)])
    assert found == {(known.name, known.index): known.index for known in imagenet_classes()}


def test_a_target_that_numbers_imagenets_classes_in_another_order_is_met_by_name() -> None:
    turned = replace(IMAGENET, labels=NAMES[::-1])
    found = class_labels(MINE, all_of_imagenet(), [turned])
    assert found == {(known.name, known.index): 999 - known.index for known in imagenet_classes()}
    with pytest.raises(PlanError, match=r"is class .* of imagenet, .* of other; attack them"):
        class_labels(MINE, all_of_imagenet(), [IMAGENET, replace(turned, name="other")])


def test_in_another_order_a_repeated_name_tells_nothing() -> None:
    with pytest.raises(PlanError, match=r"'crane' is class 482 and 865 of imagenet; give the index"):
        class_labels(MINE, [labelled("crane", 517, ("crane", "n03126707"))], [turned_old()])


def turned_old() -> Target:
    return replace(IMAGENET, labels=OLD_NAMES[::-1])


def test_a_target_of_other_classes_is_refused() -> None:
    birds = replace(IMAGENET, labels=tuple(f"bird {index}" for index in range(1000)))
    with pytest.raises(PlanError, match=r"'tench' is no class of imagenet; it knows 0 to 999$"):
        class_labels(MINE, all_of_imagenet()[:1], [birds])
    one_other = replace(IMAGENET, labels=("trout", *NAMES[1:]))
    with pytest.raises(PlanError, match=r"'tench' is no class of imagenet"):
        class_labels(MINE, all_of_imagenet(), [one_other])
    with pytest.raises(PlanError, match="'tench' is no class of net; it knows cat, dog, Frog"):
        class_labels(MINE, all_of_imagenet()[:1], [TARGET])


def test_a_plain_folders_wordnet_ids_are_understood_by_targets_of_a_thousand_classes() -> None:
    entries = [labelled("n01440764"), labelled("n02012849"), labelled("n03126707")]
    wanted = {("n01440764", None): 0, ("n02012849", None): 134, ("n03126707", None): 517}
    for labels in (NAMES, OLD_NAMES, ()):
        assert class_labels(MINE, entries, [replace(IMAGENET, labels=labels)]) == wanted
    with pytest.raises(PlanError, match="'n00000000' is no class of imagenet"):
        class_labels(MINE, [labelled("n00000000")], [IMAGENET])
