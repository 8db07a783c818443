"""From what a person asked for to a campaign's spec, with every mistake found before anything is sent."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pixelprobe_services.common.images import MAX_SIDE

from pixelprobe.inputs.images import Picture, PictureError, load_mask, load_picture
from pixelprobe.inputs.sizing import Sizing, SizingError, resize_mask, resize_picture
from pixelprobe.model import CampaignImage, CampaignSpec, Target

_LISTED_LABELS = 20
_DONE = {
    Sizing.CROP: "cropped and resampled",
    Sizing.STRETCH: "stretched",
    Sizing.SHORT_SIDE: "resampled and cropped (short-side-256)",
}

Item = TypeVar("Item")


class PlanError(ValueError):
    """What was asked for cannot be; the message is one line for people."""


class TargetNotAvailableError(Exception):
    """The target is known but cannot be attacked now; the message says why."""


@dataclass(frozen=True, eq=False)
class PlannedPicture:
    """A picture as it will be attacked, with what is known about it."""

    picture: Picture
    label: int | None = None
    mask: NDArray[np.bool_] | None = None

    @property
    def display_name(self) -> str:
        """The file's name without its suffix."""
        return self.picture.path.stem


def load_pictures(images: Sequence[Path], masks: Sequence[Path]) -> list[PlannedPicture]:
    """Decode pictures with their masks: none, one for all, or one each.

    Raises:
        PictureError: a file cannot be used.
        PlanError: the number of masks is off, or a mask's size is not its picture's.
    """
    each = per_picture(masks, len(images), "--mask")
    # A mask for all pictures is decoded once.
    loaded = {path: load_mask(path) for path in masks}
    planned = []
    for path, mask_path in zip(images, each, strict=True):
        picture = load_picture(path)
        mask = loaded[mask_path] if mask_path is not None else None
        if mask is not None and mask.shape != picture.pixels.shape[:2]:
            raise PlanError(
                f"{mask_path}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels, "
                f"but {path} is {picture.width} x {picture.height}"
            )
        planned.append(PlannedPicture(picture, mask=mask))
    return planned


def per_picture(items: Sequence[Item], pictures: int, option: str) -> list[Item | None]:
    """One item a picture, from none, one for all, or one each.

    Raises:
        PlanError: another number; ``option`` is what the message calls them.
    """
    if not items:
        return [None] * pictures
    if len(items) == 1:
        return [items[0]] * pictures
    if len(items) == pictures:
        return [*items]
    raise PlanError(f"{option}: given {len(items)} times for {pictures} pictures; once for all, or once each")


def choose_targets(names: Sequence[str], known: Sequence[Target]) -> list[Target]:
    """The targets of these names, each once, in the order given.

    Raises:
        PlanError: an unknown name, or targets whose pictures differ in size.
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
    """The index of a class given as an index or a label, the same for all targets.

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
    planned: PlannedPicture, target: Target, *, resize: bool, how: Sizing = Sizing.CROP
) -> PlannedPicture:
    """The picture in the target's size; resized, with a note, where that was asked for.

    Raises:
        PlanError: the sizes differ and ``resize`` is off.
        PictureError: it cannot be sized that way.
    """
    picture = planned.picture
    width, height = target.width, target.height
    if (picture.width, picture.height) == (width, height):
        return planned
    if not resize:
        raise PlanError(
            f"{picture.path} is {picture.width} x {picture.height} pixels, but {target.name} takes "
            f"{width} x {height}; add --resize to crop and resample it, or --resize-how for other ways"
        )
    try:
        pixels = resize_picture(picture.pixels, width, height, how)
        mask = resize_mask(planned.mask, width, height, how) if planned.mask is not None else None
    except SizingError as error:
        raise PictureError(f"{picture.path}: {error}") from error
    note = f"{_DONE[how]} from {picture.width} x {picture.height} to {width} x {height}"
    resized = replace(picture, pixels=pixels, notes=(*picture.notes, note))
    return replace(planned, picture=resized, mask=mask)


def check_sides(picture: Picture) -> None:
    """Raises PlanError if the picture is too large to be sent."""
    if max(picture.width, picture.height) > MAX_SIDE:
        raise PlanError(
            f"{picture.path} is {picture.width} x {picture.height} pixels; "
            f"at most {MAX_SIDE} a side can be sent"
        )


def with_images(
    spec: CampaignSpec, pictures: Sequence[PlannedPicture], digests: Sequence[str]
) -> CampaignSpec:
    """The spec for these uploaded pictures."""
    images = tuple(
        CampaignImage(digest, planned.display_name, planned.label, planned.mask)
        for planned, digest in zip(pictures, digests, strict=True)
    )
    return replace(spec, images=images)
