"""The gallery as one PNG: Fig. 1, a row an image, a column a model and region."""

from __future__ import annotations

from PIL import Image

from pixelprobe.model import Outcome
from pixelprobe.report.figures.style import pixels_in_words
from pixelprobe.report.material import GalleryImage, Material, Shot
from pixelprobe.results.captions import percent
from pixelprobe.results.drawing import ARROW
from pixelprobe.results.gallery import Cell, clean_cell, contact_sheet, mask_cell, success_cell

_ENDED = {None: "not attacked", Outcome.FAILURE: "not fooled", Outcome.BUDGET_EXHAUSTED: "not fooled"}


def gallery_sheet(material: Material) -> Image.Image:
    """All images of the gallery, at least one."""
    images = material.gallery.images
    regions: dict[str, list[str]] = {}
    for shot in images[0].shots:
        regions.setdefault(shot.target, []).append(shot.region)
    rows = [
        [
            _clean(image, material),
            _mask(image),
            *(_cell(image, shot, material) for shot in image.shots),
        ]
        for image in images
    ]
    return contact_sheet(
        f"Fooled by {pixels_in_words(material.gallery.pixels)}",
        "the images that fell most often, of as many classes as there are",
        [("image", ["original", "mask"]), *regions.items()],
        rows,
        f"Rings: changed pixels. a% {ARROW} b%: probability of the old class before, of the new one after.",
    )


def _clean(image: GalleryImage, material: Material) -> Cell:
    label = material.class_name(image.shots[0].target, image.label) if image.label is not None else ""
    return clean_cell(image.pixels, label or image.name, image.name if label else "")


def _mask(image: GalleryImage) -> Cell:
    return Cell(None, "no mask") if image.mask is None else mask_cell(image.pixels, image.mask)


def _cell(image: GalleryImage, shot: Shot, material: Material) -> Cell:
    if shot.after is None or shot.before is None:
        return Cell(None, _ENDED.get(shot.outcome, "left out"))
    change = f"{percent(shot.before.probability)} {ARROW} {percent(shot.after.probability)}"
    return success_cell(
        image.pixels, shot.edits, material.class_name(shot.target, shot.after.class_index), change
    )
