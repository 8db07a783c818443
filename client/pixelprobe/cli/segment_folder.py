"""A folder that ``segment`` has written: masks, overlays, and in ``segment.json`` what they are masks of."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelprobe.inputs.images import Picture, load_mask, load_picture
from pixelprobe.inputs.planned import PlanError

RECORD = "segment.json"
VERSION = 1


@dataclass(frozen=True)
class Segmented:
    """A picture's mask as it was made. ``image`` is the picture's absolute path."""

    image: str
    image_sha256: str
    width: int
    height: int
    segmenter: str
    choice_reason: str
    area_fraction: float
    needs_review: bool
    review_reason: str


def digest_of(picture: Picture) -> str:
    """SHA-256 in hex of the decoded pixels."""
    return hashlib.sha256(picture.pixels.tobytes()).hexdigest()


def mask_id(mask: NDArray[np.bool_]) -> str:
    """A short digest by which a mask is known again."""
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]


def mask_path(folder: Path, name: str) -> Path:
    """Where the mask of the picture called ``name`` is."""
    return folder / f"{name}_mask.png"


def overlay_path(folder: Path, name: str) -> Path:
    """Where its overlay is."""
    return folder / f"{name}_overlay.png"


def saliency_path(folder: Path, name: str) -> Path:
    """Where its saliency map is, if there is one."""
    return folder / f"{name}_saliency.png"


def read_record(folder: Path) -> dict[str, Segmented]:
    """What is in the folder, by name; empty where ``segment`` has written nothing yet.

    Raises:
        PlanError: the record is damaged.
    """
    path = folder / RECORD
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["version"] != VERSION:
            raise PlanError(f"{path}: of another version; segment the pictures again")
        return {name: Segmented(**fields) for name, fields in table["pictures"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"{path}: damaged; delete it and segment the pictures again") from error


def add_to_record(folder: Path, made: Mapping[str, Segmented]) -> None:
    """Keep what is new beside what is there; a name that comes again is replaced.

    Raises:
        PlanError: the record that is there is damaged.
    """
    pictures = {**read_record(folder), **made}
    table = {"version": VERSION, "pictures": {name: asdict(each) for name, each in pictures.items()}}
    write_text(folder / RECORD, json.dumps(table, indent=2, ensure_ascii=False) + "\n")


def load_segmented(folder: Path, name: str, segmented: Segmented) -> tuple[Picture, NDArray[np.bool_]]:
    """The picture and its mask, as they are on disk now.

    Raises:
        PictureError: one of the files cannot be used.
        PlanError: the picture is another one by now, or the mask's size is not its.
    """
    picture = load_picture(Path(segmented.image))
    if digest_of(picture) != segmented.image_sha256:
        raise PlanError(f"{segmented.image}: has changed since it was segmented; segment it again")
    mask = load_mask(mask_path(folder, name))
    if mask.shape != picture.pixels.shape[:2]:
        raise PlanError(
            f"{mask_path(folder, name)}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels, "
            f"but {segmented.image} is {picture.width} x {picture.height}"
        )
    return picture, mask


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
