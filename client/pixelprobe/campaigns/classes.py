"""Which of a target's classes each class of a data set is: by its name, or by number where names will not do.

Several of ImageNet's 1000 classes share a name ("crane", bird and machine), and classifiers call the same
class differently ("tench", "tench, Tinca tinca", "n01440764"). So a class of a data set that numbers its
classes is the target's of that number where the target calls that one by any of its names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pixelprobe.inputs.datasets.base import Entry
from pixelprobe.inputs.datasets.imagenet_classes import by_wordnet_id, imagenet_classes
from pixelprobe.inputs.planned import PlanError, choose_class
from pixelprobe.model import Target

WITH_BACKGROUND = 1001
"""Classes of a network for ImageNet that has "background" before the others, as TensorFlow's do."""

_BACKGROUND_HINT = (
    "with 1001 classes, class 0 is usually 'background' and all others are one higher than ImageNet's: give "
    "the target a labels_file with the 1001 names, or serve it without class 0"
)

ClassKey = tuple[str, int | None]
"""A class of a data set: its name, and its number where the data set numbers them."""


def class_labels(path: Path, entries: Iterable[Entry], targets: Sequence[Target]) -> dict[ClassKey, int]:
    """The targets' number of each class of the data set.

    Args:
        path: the spec's file, for messages.
        entries: of the data set.
        targets: those that tell no names are taken to number classes as the data set does.

    Raises:
        PlanError: a class that a target does not know, or that targets number differently.
    """
    classes = {
        (entry.class_name, entry.class_index): entry.also_called
        for entry in entries
        if entry.class_name is not None
    }
    labels = {}
    for (name, index), others in sorted(classes.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
        try:
            labels[name, index] = _number(name, index, others, targets)
        except PlanError as error:
            hint = "; data.class_folders = false takes subfolders for mere folders" if index is None else ""
            raise PlanError(f"{path}: {error}{hint}") from error
    return labels


def _number(name: str, index: int | None, others: Sequence[str], targets: Sequence[Target]) -> int:
    option = "the data set's classes"
    known = by_wordnet_id().get(name)
    numbered = (len(imagenet_classes()), WITH_BACKGROUND)
    if index is None and known and all(target.classes in numbered for target in targets):
        # A plain folder's subfolder with a WordNet id for a name.
        name, index, others = known.name, known.index, known.also_called
    if index is None:
        return choose_class(name, targets, option)
    numbers = {}
    for target in targets:
        if target.labels:
            numbers[target.name] = _by_name(target, index, (name, *others), option)
        elif others and others[-1] in by_wordnet_id() and target.classes != len(imagenet_classes()):
            raise PlanError(f"{option}: {_other_classes(target)}")
    if len(set(numbers.values())) > 1:
        told = ", ".join(f"{number} of {target}" for target, number in numbers.items())
        raise PlanError(f"{option}: {name!r} is class {told}; attack them separately")
    return next(iter(numbers.values()), index)


def _by_name(target: Target, index: int, names: Sequence[str], option: str) -> int:
    """The number of a class at a target that names its classes; its own number where the name agrees."""
    first = imagenet_classes()[0]
    shifted = target.classes == WITH_BACKGROUND and _agrees(target, 1, (first.name, *first.also_called))
    # Not both numbers: neighbours share names ("maillot"), so the wrong one may agree.
    own = index + 1 if shifted else index
    if _agrees(target, own, names):
        return own
    try:
        return choose_class(names[0], [target], option)
    except PlanError as error:
        if target.classes == WITH_BACKGROUND:
            raise PlanError(f"{error}; {_BACKGROUND_HINT}") from error
        raise


def _other_classes(target: Target) -> str:
    """Why a target without labels cannot be matched with ImageNet."""
    own, wanted = target.classes, len(imagenet_classes())
    problem = f"{target.name} has {own} classes and no labels, ImageNet has {wanted}"
    if target.classes == WITH_BACKGROUND:
        return f"{problem}; {_BACKGROUND_HINT}"
    return f"{problem}; give the target a labels_file, so that classes are matched by name"


def _agrees(target: Target, index: int, names: Iterable[str]) -> bool:
    """The target calls that class by one of these names, or by several of which one is among these."""
    if index >= len(target.labels):
        return False
    label = target.labels[index].casefold()
    called = {label, *(part.strip() for part in label.split(","))}
    return not called.isdisjoint(name.casefold() for name in names)
