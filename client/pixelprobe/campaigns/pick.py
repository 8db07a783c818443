"""The images of a spec: picked by its seed, decoded one by one, labelled as the targets number classes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelprobe.campaigns.classes import class_labels
from pixelprobe.campaigns.spec_values import DataKind, DataSource, Spec, SpecError
from pixelprobe.inputs.datasets.base import Entry, in_seeds_order
from pixelprobe.inputs.datasets.cifar10 import cifar10_entries
from pixelprobe.inputs.datasets.folder import Report, folder_entries, ignore
from pixelprobe.inputs.datasets.imagenet import imagenet_entries
from pixelprobe.inputs.images import ImageError
from pixelprobe.inputs.planned import PlanError, PlannedImage, fit_to_target
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.model import Target


@dataclass(frozen=True, eq=False)
class PickedImage:
    """An image to attack: (height, width, 3) uint8 RGB in the targets' size, and its class where known."""

    name: str
    label: int | None
    pixels: NDArray[np.uint8]


def load_entries(spec: Spec, folder: Path | None = None, on_skipped: Report = ignore) -> list[Entry]:
    """All images of the spec's data set, in the order in which its seed picks them.

    Args:
        spec: says which data set.
        folder: where it is, instead of where the spec says.
        on_skipped: called with a line for files and folders that are left out.

    Raises:
        SpecError: nobody says where it is, or there are fewer images than wanted.
        DatasetError: it is not there, or not what it should be.
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
    """Decodes entries, in order, until there are as many images as the spec wants.

    One that cannot be read, or that is pixel for pixel one of those before it, is left out, and the next one
    takes its place.

    Attributes:
        unreadable: what could not be read so far, each a line that names the image and the reason.
        duplicates: names of those that came twice.
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
        """Each image as it is decoded.

        Raises:
            PlanError: an image has not the targets' size, and the spec does not say to resize.
            SpecError: there are not as many as wanted.
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
            lost = f"{len(self.unreadable)} cannot be read, {len(self.duplicates)} come twice"
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
