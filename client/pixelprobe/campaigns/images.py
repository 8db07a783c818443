"""Images of a spec: picked in the order of its seed, decoded one by one, labelled with the targets' classes.

Class names do not always identify a class: several of ImageNet's 1000 classes share a name ("crane", bird
and machine), and classifiers name the same class differently ("tench", "tench, Tinca tinca", "n01440764").
A class of a data set that numbers its classes is therefore the target's class of that number, where the
target calls it by any of its names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelprobe.campaigns.spec_file import DataKind, DataSource, Spec, SpecError
from pixelprobe.inputs.datasets.base import Entry, in_seeds_order
from pixelprobe.inputs.datasets.cifar10 import cifar10_entries
from pixelprobe.inputs.datasets.folder import Report, folder_entries, ignore
from pixelprobe.inputs.datasets.imagenet import imagenet_entries
from pixelprobe.inputs.datasets.imagenet_classes import by_wordnet_id, imagenet_classes
from pixelprobe.inputs.images import ImageError
from pixelprobe.inputs.planned import PlanError, PlannedImage, choose_class, fit_to_target
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.model import Target

WITH_BACKGROUND = 1001
"""Classes of a network for ImageNet with "background" before the others, as TensorFlow's have."""

_BACKGROUND_HINT = (
    "with 1001 classes, class 0 is usually 'background' and all others are one higher than ImageNet's: give "
    "the target a labels_file with the 1001 names, or serve it without class 0"
)

ClassKey = tuple[str, int | None]
"""A class of a data set: its name, and its number where the data set numbers them."""


@dataclass(frozen=True, eq=False)
class PickedImage:
    """An image to attack.

    Attributes:
        label: its class, where known.
        pixels: (height, width, 3) uint8 RGB in the targets' size.
    """

    name: str
    label: int | None
    pixels: NDArray[np.uint8]


def load_entries(spec: Spec, folder: Path | None = None, on_skipped: Report = ignore) -> list[Entry]:
    """Return all images of the spec's data set, in the order in which its seed picks them.

    Args:
        spec: names the data set.
        folder: of the data set, instead of the spec's.
        on_skipped: called with a line for files and folders that are left out.

    Raises:
        SpecError: neither names a folder, or there are fewer images than wanted.
        DatasetError: the folder is missing or does not hold the data set.
    """
    source = spec.data
    chosen = folder or source.folder
    if chosen is None:
        raise SpecError(f"{spec.path}: data.folder: missing; expected the data's folder, or --data DIR")
    entries = _entries(source, chosen, on_skipped)
    for key, count in [("data", source.count), *((f"attacks.{g.name}", g.count) for g in spec.groups)]:
        if count and len(entries) < count:
            raise SpecError(
                f"{spec.path}: {key}.count: expected at most {len(entries)}, the images in {chosen}, "
                f"got {count}"
            )
    return in_seeds_order(entries, source.seed)


def _entries(source: DataSource, folder: Path, on_skipped: Report) -> list[Entry]:
    if source.kind is DataKind.CIFAR10:
        return cifar10_entries(folder, source.split, on_skipped)
    if source.kind is DataKind.IMAGENET:
        return imagenet_entries(folder, source.split, on_skipped)
    return folder_entries(folder, class_folders=source.class_folders, on_skipped=on_skipped)


class Pick:
    """Decodes entries in order until there are as many images as the spec asks for.

    An image that cannot be read, or that equals an earlier one pixel for pixel, is replaced by the next.

    Attributes:
        unreadable: a line for each image that could not be read so far, with its name and the reason.
        duplicates: names of images that equal an earlier one.
    """

    def __init__(self, spec: Spec, entries: Sequence[Entry], targets: Sequence[Target]) -> None:
        self.unreadable: list[str] = []
        self.duplicates: list[str] = []
        self._spec = spec
        self._entries = entries
        self._target = targets[0]
        self._labels = class_labels(spec.path, entries, targets)
        self._least = max(spec.data.count or 1, *(group.count or 1 for group in spec.groups))

    def __iter__(self) -> Iterator[PickedImage]:
        """Yield each image as it is decoded.

        Raises:
            PlanError: an image has another size than the targets', and the spec does not resize.
            SpecError: there are fewer images than the spec asks for.
        """
        wanted = self._spec.data.count
        seen: set[bytes] = set()
        for entry in self._entries:
            if len(seen) == wanted:
                return
            try:
                pixels = self._fit(PlannedImage(entry.load())).image.pixels
            except ImageError as error:
                self.unreadable.append(str(error))
                continue
            content = hashlib.sha256(pixels.tobytes()).digest()  # all have one size
            if content in seen:
                self.duplicates.append(entry.name)
                continue
            seen.add(content)
            label = None
            if entry.class_name is not None:
                label = self._labels[entry.class_name, entry.class_index]
            yield PickedImage(entry.name, label, pixels)
        if len(seen) < self._least:
            lost = f"{len(self.unreadable)} cannot be read, {len(self.duplicates)} are copies of others"
            raise SpecError(
                f"{self._spec.path}: expected {self._least} images, got {len(seen)}; "
                f"of {len(self._entries)} {lost}"
            )

    def _fit(self, planned: PlannedImage) -> PlannedImage:
        how = self._spec.data.resize
        if how is None and (planned.image.width, planned.image.height) != (
            self._target.width,
            self._target.height,
        ):
            raise PlanError(
                f"{planned.image.path} is {planned.image.width} x {planned.image.height} pixels, but "
                f"{self._target.name} takes {self._target.width} x {self._target.height}; "
                f"data.resize = true in {self._spec.path} crops and resamples such images"
            )
        return fit_to_target(planned, self._target, resize=True, how=how or Sizing.CROP)


def class_labels(path: Path, entries: Iterable[Entry], targets: Sequence[Target]) -> dict[ClassKey, int]:
    """Return the targets' class index of each class of the data set.

    Args:
        path: the spec's file, for messages.
        entries: of the data set.
        targets: those without labels are taken to number classes as the data set does.

    Raises:
        PlanError: a target does not know a class, or targets number it differently.
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
            hint = "; data.class_folders = false ignores the names of subfolders" if index is None else ""
            raise PlanError(f"{path}: {error}{hint}") from error
    return labels


def _number(name: str, index: int | None, others: Sequence[str], targets: Sequence[Target]) -> int:
    option = "the data set's classes"
    known = by_wordnet_id().get(name)
    numbered = (len(imagenet_classes()), WITH_BACKGROUND)
    if index is None and known and all(target.classes in numbered for target in targets):
        # A subfolder that is named by a WordNet id.
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
        listed = ", ".join(f"{number} of {target}" for target, number in numbers.items())
        raise PlanError(f"{option}: {name!r} is class {listed}; attack them separately")
    return next(iter(numbers.values()), index)


def _by_name(target: Target, index: int, names: Sequence[str], option: str) -> int:
    """Return a class's index at a target with labels; the data set's own index where the label agrees."""
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
    """Return why a target without labels cannot be matched with ImageNet."""
    own, wanted = target.classes, len(imagenet_classes())
    problem = f"{target.name} has {own} classes and no labels, ImageNet has {wanted}"
    if target.classes == WITH_BACKGROUND:
        return f"{problem}; {_BACKGROUND_HINT}"
    return f"{problem}; give the target a labels_file, so that classes are matched by name"


def _agrees(target: Target, index: int, names: Iterable[str]) -> bool:
    """Whether the target's label of a class is, or lists, one of these names."""
    if index >= len(target.labels):
        return False
    label = target.labels[index].casefold()
    called = {label, *(part.strip() for part in label.split(","))}
    return not called.isdisjoint(name.casefold() for name in names)
