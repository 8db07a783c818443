"""Check the images, masks, targets and classes of a request, and build a campaign's spec of them.

Every mistake is found before anything is sent.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pixelprobe.inputs.images import ImageError, InputImage, load_image, read_mask, readable
from pixelprobe.inputs.sizing import Sizing, SizingError, resize_image, resize_mask
from pixelprobe.model import CampaignImage, CampaignSpec, Target
from pixelprobe_services.common.images import MAX_SIDE

_LISTED_LABELS = 20
_DONE = {
    Sizing.CROP: "cropped and resampled",
    Sizing.STRETCH: "stretched",
    Sizing.SHORT_SIDE: "resampled and cropped (short-side-256)",
}

Item = TypeVar("Item")


class PlanError(ValueError):
    """A request cannot be carried out as it is; the message is one line for people."""


class TargetNotAvailableError(Exception):
    """The target is known but cannot be attacked now; the message says why."""


@dataclass(frozen=True, eq=False)
class PlannedImage:
    """An image as it will be attacked.

    Attributes:
        image: its pixels.
        label: its true class, where known.
        mask: (height, width) bool, True is foreground; None lets the segmentation service make one.
        mask_notes: how the mask file was read, a line each; the file is named.
        mask_warnings: why the mask file may not be what was meant, likewise.
    """

    image: InputImage
    label: int | None = None
    mask: NDArray[np.bool_] | None = None
    mask_notes: tuple[str, ...] = ()
    mask_warnings: tuple[str, ...] = ()

    @property
    def display_name(self) -> str:
        """The file's name without its suffix, as text that can be sent."""
        return readable(self.image.path.stem)


def load_images(images: Sequence[Path], masks: Sequence[Path]) -> list[PlannedImage]:
    """Decode images with their masks: none, one for all, or one each.

    Raises:
        ImageError: a file cannot be used.
        PlanError: the number of masks is wrong, or a mask's size is not its image's.
    """
    each = per_image(masks, len(images), "--mask")
    # A mask for all images is decoded once.
    loaded = {path: read_mask(path) for path in masks}
    planned = []
    for path, mask_path in zip(images, each, strict=True):
        image = load_image(path)
        if mask_path is None:
            planned.append(PlannedImage(image))
            continue
        read = loaded[mask_path]
        mask = read.mask
        if mask.shape != image.pixels.shape[:2]:
            raise PlanError(
                f"{mask_path}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels, "
                f"but {path} is {image.width} x {image.height}"
            )
        notes = tuple(f"{mask_path}: {note}" for note in read.notes)
        warnings = tuple(f"{mask_path}: {warning}" for warning in read.warnings)
        planned.append(PlannedImage(image, mask=mask, mask_notes=notes, mask_warnings=warnings))
    return planned


def per_image(items: Sequence[Item], images: int, option: str) -> list[Item | None]:
    """Assign one item to each image, from none, one for all, or one each.

    Raises:
        PlanError: another number; ``option`` is what the message calls them.
    """
    if not items:
        return [None] * images
    if len(items) == 1:
        return [items[0]] * images
    if len(items) == images:
        return [*items]
    raise PlanError(f"{option}: given {len(items)} times for {images} images; once for all, or once each")


def choose_targets(names: Sequence[str], known: Sequence[Target]) -> list[Target]:
    """Find the targets of these names, each once, in the order given.

    Raises:
        PlanError: an unknown name, or targets whose images differ in size.
        TargetNotAvailableError: one of them cannot be attacked now.
    """
    by_name = {target.name: target for target in known}
    chosen = []
    for name in dict.fromkeys(names):
        if name not in by_name:
            listed = ", ".join(sorted(by_name)) or "none"
            raise PlanError(f"unknown target {name!r}; known targets: {listed}")
        target = by_name[name]
        if not target.available:
            raise TargetNotAvailableError(f"target {name} is not available: {target.unavailable_reason}")
        chosen.append(target)
    first = chosen[0]
    for target in chosen:
        if (target.width, target.height) != (first.width, first.height):
            raise PlanError(
                f"{first.name} takes {first.width} x {first.height} pixels and {target.name} "
                f"{target.width} x {target.height}; attack them separately"
            )
    return chosen


def choose_class(text: str, targets: Sequence[Target], option: str) -> int:
    """Find the index of a class given as an index or a label, the same for all targets.

    Raises:
        PlanError: no such class, several of that label, or the targets number it differently.
    """
    indices = {}
    for target in targets:
        found = target.class_indices(text)
        if not found:
            raise PlanError(
                f"{option}: {text!r} is no class of {target.name}; it knows {_classes(target, text)}"
            )
        if len(found) > 1:
            listed = " and ".join(map(str, found))
            raise PlanError(f"{option}: {text!r} is class {listed} of {target.name}; give the index")
        indices[target.name] = found[0]
    if len(set(indices.values())) > 1:
        numbers = ", ".join(f"{index} of {name}" for name, index in indices.items())
        raise PlanError(f"{option}: {text!r} is class {numbers}; attack them separately")
    return next(iter(indices.values()))


def _classes(target: Target, text: str) -> str:
    if 0 < len(target.labels) <= _LISTED_LABELS:
        return ", ".join(target.labels)
    close = difflib.get_close_matches(text.casefold(), {label.casefold() for label in target.labels}, 3)
    return f"0 to {target.classes - 1}" + (f", among them {', '.join(close)}" if close else "")


def fit_to_target(
    planned: PlannedImage, target: Target, *, resize: bool, how: Sizing = Sizing.CROP
) -> PlannedImage:
    """Return the image in the target's size; resized, with a note, where that was asked for.

    Raises:
        PlanError: the sizes differ and ``resize`` is off.
        ImageError: it cannot be sized that way.
    """
    image = planned.image
    width, height = target.width, target.height
    if (image.width, image.height) == (width, height):
        return planned
    if not resize:
        raise PlanError(
            f"{image.path} is {image.width} x {image.height} pixels, but {target.name} takes "
            f"{width} x {height}; add --resize to crop and resample it, or --resize-how for other ways"
        )
    try:
        pixels = resize_image(image.pixels, width, height, how)
        mask = resize_mask(planned.mask, width, height, how) if planned.mask is not None else None
    except SizingError as error:
        raise ImageError(f"{image.path}: {error}") from error
    note = f"{_DONE[how]} from {image.width} x {image.height} to {width} x {height}"
    resized = replace(image, pixels=pixels, notes=(*image.notes, note))
    return replace(planned, image=resized, mask=mask)


def check_sides(image: InputImage) -> None:
    """Raises PlanError if the image is too large to be sent."""
    if max(image.width, image.height) > MAX_SIDE:
        raise PlanError(
            f"{image.path} is {image.width} x {image.height} pixels; at most {MAX_SIDE} a side can be sent"
        )


def with_images(
    spec: CampaignSpec, planned_images: Sequence[PlannedImage], digests: Sequence[str]
) -> CampaignSpec:
    """The spec for these uploaded images."""
    images = tuple(
        CampaignImage(digest, planned.display_name, planned.label, planned.mask)
        for planned, digest in zip(planned_images, digests, strict=True)
    )
    return replace(spec, images=images)
