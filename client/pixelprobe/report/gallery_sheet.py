"""The gallery as one PNG: Fig. 1, a row a picture, a column a model and region."""

from __future__ import annotations

from PIL import Image

from pixelprobe.model import Outcome
from pixelprobe.report.figures.style import pixels_in_words
from pixelprobe.report.material import GalleryPicture, Material, Shot
from pixelprobe.results.captions import percent
from pixelprobe.results.drawing import ARROW
from pixelprobe.results.gallery import Cell, clean_cell, contact_sheet, mask_cell, success_cell

_ENDED = {None: "not attacked", Outcome.FAILURE: "not fooled", Outcome.BUDGET_EXHAUSTED: "not fooled"}


def gallery_sheet(material: Material) -> Image.Image:
    """All pictures of the gallery, at least one."""
    pictures = material.gallery.pictures
    regions: dict[str, list[str]] = {}
    for shot in pictures[0].shots:
        regions.setdefault(shot.target, []).append(shot.region)
    rows = [
        [
            _clean(picture, material),
            _mask(picture),
            *(_cell(picture, shot, material) for shot in picture.shots),
        ]
        for picture in pictures
    ]
    return contact_sheet(
        f"Fooled by {pixels_in_words(material.gallery.pixels)}",
        "the pictures that fell most often, of as many classes as there are",
        [("picture", ["original", "mask"]), *regions.items()],
        rows,
        f"Rings: changed pixels. a% {ARROW} b%: probability of the old class before, of the new one after.",
    )


def _clean(picture: GalleryPicture, material: Material) -> Cell:
    label = material.class_name(picture.shots[0].target, picture.label) if picture.label is not None else ""
    return clean_cell(picture.pixels, label or picture.name, picture.name if label else "")


def _mask(picture: GalleryPicture) -> Cell:
    return Cell(None, "no mask") if picture.mask is None else mask_cell(picture.pixels, picture.mask)


def _cell(picture: GalleryPicture, shot: Shot, material: Material) -> Cell:
    if shot.after is None or shot.before is None:
        return Cell(None, _ENDED.get(shot.outcome, "left out"))
    change = f"{percent(shot.before.probability)} {ARROW} {percent(shot.after.probability)}"
    return success_cell(
        picture.pixels, shot.edits, material.class_name(shot.target, shot.after.class_index), change
    )
