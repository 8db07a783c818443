"""The gallery as the page shows it: images in their own size as data URIs, rings drawn above them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelprobe.model import Edit, Outcome
from pixelprobe.report.material import GalleryImage, Material, Shot
from pixelprobe.results.captions import percent
from pixelprobe.results.gallery import apply_edits

PHOTOGRAPH_SIDE = 64
"""An image with a longer side is shown as it is; smaller ones are enlarged, so that pixels can be seen."""

_ENDED = {
    Outcome.FAILURE: "not fooled",
    Outcome.BUDGET_EXHAUSTED: "not fooled",
    Outcome.NOT_APPLICABLE: "left out",
    Outcome.CANCELLED: "cancelled",
    Outcome.ERROR: "error",
}


@dataclass(frozen=True)
class Ring:
    """A circle around a changed pixel, in the image's own pixels."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Frame:
    """One image on the page; ``uri`` is "" where there is nothing but ``captions`` to show.

    Attributes:
        heading: which region, or that it is the original.
        captions: class and probability, and before the change.
        alt: alternative text for readers who cannot see it.
        outline: where the foreground ends, as an SVG path in the image's pixels.
        width: of the image, in its own pixels, as is ``height``.
    """

    heading: str
    captions: tuple[str, ...]
    uri: str = ""
    alt: str = ""
    region: str = ""
    rings: tuple[Ring, ...] = ()
    outline: str = ""
    width: int = 1
    height: int = 1

    @property
    def photograph(self) -> bool:
        """It is large enough to be shown as it is."""
        return max(self.width, self.height) > PHOTOGRAPH_SIDE


@dataclass(frozen=True)
class Group:
    """One model's frames; ``remark`` compares the classes reached, where there are two."""

    model: str
    frames: tuple[Frame, ...]
    remark: str = ""


@dataclass(frozen=True)
class Strip:
    """One image: the original, and a group of frames for each model."""

    name: str
    original: Frame
    groups: tuple[Group, ...]


def gallery_strips(material: Material) -> list[Strip]:
    """All images of the gallery."""
    return [_strip(image, material) for image in material.gallery.images]


def _strip(image: GalleryImage, material: Material) -> Strip:
    models = list(dict.fromkeys(shot.target for shot in image.shots))
    label = material.class_name(models[0], image.label) if image.label is not None and models else ""
    original = Frame(
        heading="original",
        captions=(label or "true class not known",),
        uri=png_uri(image.pixels),
        alt=f"{image.name}, unchanged" + (f", of class {label}" if label else ""),
        outline=outline(image.mask) if image.mask is not None else "",
        width=image.pixels.shape[1],
        height=image.pixels.shape[0],
    )
    groups = []
    for model in models:
        own = [shot for shot in image.shots if shot.target == model]
        frames = tuple(_frame(image, shot, material) for shot in own)
        groups.append(Group(model, frames, _remark(own)))
    return Strip(image.name, original, tuple(groups))


def _remark(shots: Sequence[Shot]) -> str:
    reached = [shot.after.class_index for shot in shots if shot.after is not None]
    if len(reached) < 2:
        return ""
    return "the same class" if len(set(reached)) == 1 else "different classes"


def _frame(image: GalleryImage, shot: Shot, material: Material) -> Frame:
    height, width, _ = image.pixels.shape
    if shot.after is None or shot.before is None:
        text = "not attacked" if shot.outcome is None else _ENDED[shot.outcome]
        return Frame(shot.region, (text,), region=shot.region, width=width, height=height)
    before = f"{material.class_name(shot.target, shot.before.class_index)} {percent(shot.before.probability)}"
    after = f"{material.class_name(shot.target, shot.after.class_index)} {percent(shot.after.probability)}"
    where = "; ".join(f"column {edit.x}, row {edit.y}" for edit in shot.edits)
    text = f"{image.name}, changed in the {shot.region} at {where}"
    return Frame(
        heading=shot.region,
        captions=(after, f"was {before}"),
        uri=png_uri(apply_edits(image.pixels, shot.edits)),
        alt=f"{text}: {shot.target} says {after}, before {before}",
        region=shot.region,
        rings=rings(shot.edits, width, height),
        width=width,
        height=height,
    )


def rings(edits: Sequence[Edit], width: int, height: int) -> tuple[Ring, ...]:
    """Circles that leave the changed pixels free, and can be found on a large image."""
    radius = max(1.6, max(width, height) / 24)
    return tuple(Ring(edit.x + 0.5, edit.y + 0.5, radius) for edit in edits)


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """The image, (height, width, 3) uint8, as a PNG in a data URI."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def outline(mask: NDArray[np.bool_]) -> str:
    """The border between foreground and background along the pixels' edges, as an SVG path."""
    framed = np.pad(mask, 1)
    steps = []
    rows, columns = np.nonzero(framed[1:, :] != framed[:-1, :])
    steps += [f"M{x - 1} {y}h1" for y, x in zip(rows.tolist(), columns.tolist(), strict=True)]
    rows, columns = np.nonzero(framed[:, 1:] != framed[:, :-1])
    steps += [f"M{x} {y - 1}v1" for y, x in zip(rows.tolist(), columns.tolist(), strict=True)]
    return "".join(steps)
