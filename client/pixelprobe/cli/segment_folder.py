"""The folder that ``segment`` writes: masks, overlays, and in ``segment.json`` what they are masks of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pixelprobe.inputs.images import InputImage, load_image, load_mask
from pixelprobe.inputs.planned import PlanError
from pixelprobe_services.common.files import write_text

RECORD = "segment.json"
VERSION = 1
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Segmented:
    """An image's mask as it was made. ``image`` is the image's absolute path."""

    image: str
    image_sha256: str
    width: int
    height: int
    segmenter: str
    choice_reason: str
    area_fraction: float
    needs_review: bool
    review_reason: str


def digest_of(image: InputImage) -> str:
    """SHA-256 in hex of the decoded pixels."""
    return hashlib.sha256(image.pixels.tobytes()).hexdigest()


def mask_id(mask: NDArray[np.bool_]) -> str:
    """A short digest by which a mask is known again."""
    return hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()[:16]


def mask_path(folder: Path, name: str) -> Path:
    """Path of the mask of the image called ``name``."""
    return folder / f"{name}_mask.png"


def overlay_path(folder: Path, name: str) -> Path:
    """Path of its overlay."""
    return folder / f"{name}_overlay.png"


def saliency_path(folder: Path, name: str) -> Path:
    """Path of its saliency map, if there is one."""
    return folder / f"{name}_saliency.png"


def read_record(folder: Path) -> dict[str, Segmented]:
    """Read the folder's record, by name; empty where ``segment`` has written nothing yet.

    Raises:
        PlanError: the record is damaged.
    """
    path = folder / RECORD
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["version"] != VERSION:
            raise PlanError(f"{path}: of another version; segment the images again")
        return {name: Segmented(**fields) for name, fields in table["images"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"{path}: damaged; delete it and segment the images again") from error


def add_to_record(folder: Path, made: Mapping[str, Segmented]) -> None:
    """Keep what is new beside what is there; a name that comes again is replaced.

    Raises:
        PlanError: the record that is there is damaged.
    """
    images = {**read_record(folder), **made}
    table = {"version": VERSION, "images": {name: asdict(each) for name, each in images.items()}}
    text = json.dumps(table, indent=2, ensure_ascii=False)
    # Bytes of a path that are not UTF-8 are lone surrogates in Python, which only an escape can hold.
    escaped = _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    write_text(folder / RECORD, escaped + "\n")


def load_segmented(folder: Path, name: str, segmented: Segmented) -> tuple[InputImage, NDArray[np.bool_]]:
    """The image and its mask, as they are on disk now.

    Raises:
        ImageError: one of the files cannot be used.
        PlanError: the image is another one by now, or the mask's size is not its.
    """
    image = load_image(Path(segmented.image))
    if digest_of(image) != segmented.image_sha256:
        raise PlanError(f"{segmented.image}: has changed since it was segmented; segment it again")
    mask = load_mask(mask_path(folder, name))
    if mask.shape != image.pixels.shape[:2]:
        raise PlanError(
            f"{mask_path(folder, name)}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels, "
            f"but {segmented.image} is {image.width} x {image.height}"
        )
    return image, mask
