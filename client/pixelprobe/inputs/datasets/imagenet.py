"""Read ImageNet from its usual layouts, without any deep-learning framework.

* folders by WordNet id, ``n01440764/*.JPEG``, in ``val`` (or ``validation``) and ``train`` or without those:
  torchvision's layout too, whose ``meta.bin`` is not needed;
* the parquet files of the Hugging Face hub, whose names contain the split, with the columns ``image`` (a
  struct with ``bytes`` and perhaps ``path``) or ``image.bytes``, an encoded image, and ``label``, 0 to 999.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from pixelprobe.inputs.datasets.base import DatasetError, Entry
from pixelprobe.inputs.datasets.folder import Report, folder_entries, ignore
from pixelprobe.inputs.datasets.imagenet_classes import WORDNET_ID, by_wordnet_id, imagenet_classes
from pixelprobe.inputs.datasets.parquet import ParquetImage, parquet_files, parquet_images
from pixelprobe.inputs.images import ImageError, InputImage, decode_image

SIDE = 224
"""Width and height that the usual networks take, in pixels; the data's own images have any size."""

FOLDERS = {"val": ("val", "validation"), "train": ("train",)}
"""Names of a split's folder."""

_LISTED = 5


def imagenet_entries(folder: Path, split: str, on_skipped: Report = ignore) -> list[Entry]:
    """Return one split (``val`` or ``train``).

    An image's name is its path from the split's folder; in parquet the file name that stands there, or its
    place, say ``val-00042``, where not every image has one of its own.

    Args:
        folder: holds folders by WordNet id, or the split's folder with those, or parquet files, in subfolders
            or not. Other folders and files beside those are left out.
        split: which; of no effect where folders by WordNet id lie in ``folder`` itself.
        on_skipped: called with a line for what is left out.

    Raises:
        DatasetError: neither layout is there, or what is there is no ImageNet.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    for root in (*(folder / name for name in FOLDERS[split]), folder):
        if _has_class_folders(root):
            return _from_folders(root, on_skipped)
    parquet = parquet_files(folder, split, on_skipped)
    if parquet:
        return _from_parquet(split, parquet_images(parquet, "image", len(imagenet_classes())))
    raise DatasetError(
        f"{folder}: no ImageNet in it; expected folders by WordNet id such as n01440764, in {split} or not, "
        f"or *{split}*.parquet with the columns image.bytes and label"
    )


def _has_class_folders(root: Path) -> bool:
    try:
        return root.is_dir() and any(
            WORDNET_ID.fullmatch(path.name) and path.is_dir() for path in root.iterdir()
        )
    except OSError as error:
        raise DatasetError(f"{error.filename or root}: {error.strerror}") from error


def _from_folders(root: Path, on_skipped: Report) -> list[Entry]:
    known = by_wordnet_id()
    entries, strangers, elsewhere = [], set(), Counter[str]()
    for entry in folder_entries(root, class_folders=True, on_skipped=on_skipped):
        wordnet_id = entry.class_name or ""
        if wordnet_id in known:
            found = known[wordnet_id]
            entries.append(
                replace(entry, class_name=found.name, class_index=found.index, also_called=found.also_called)
            )
        elif WORDNET_ID.fullmatch(wordnet_id):
            strangers.add(wordnet_id)
        else:
            elsewhere[wordnet_id or "no folder"] += 1
    if strangers:
        some = ", ".join(sorted(strangers)[:_LISTED]) + (", ..." if len(strangers) > _LISTED else "")
        raise DatasetError(f"{root}: not among ImageNet's 1000 classes: {some}")
    if not entries:
        raise DatasetError(f"{root}: no images in its folders by WordNet id")
    if elsewhere:
        named = ", ".join(f"{number} in {name}" for name, number in elsewhere.most_common(_LISTED))
        more = ", ..." if len(elsewhere) > _LISTED else ""
        on_skipped(f"{root}: images outside of folders by WordNet id are left out: {named}{more}")
    return entries


def _from_parquet(split: str, images: list[ParquetImage]) -> list[Entry]:
    names = [PurePosixPath(image.path or "").name for image in images]
    if not all(names) or len(set(names)) < len(names):
        names = [f"{split}-{place:05d}" for place in range(len(images))]
    classes = imagenet_classes()
    entries = []
    for name, image in zip(names, images, strict=True):
        known = classes[image.label]
        load = partial(_load, name, image)
        entries.append(Entry(name, known.name, known.index, load, known.also_called))
    return entries


def _load(name: str, image: ParquetImage) -> InputImage:
    try:
        content = image.content()
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: {error}") from error
    return decode_image(content, name)
