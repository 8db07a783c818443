"""Any folder of images; its subfolders may be their classes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pixelprobe.inputs.datasets.base import DatasetError, Entry
from pixelprobe.inputs.images import load_image

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm")
)
"""Files with other names are no images and not looked at."""


def folder_entries(folder: Path, *, class_folders: bool) -> list[Entry]:
    """The images in ``folder`` and below, by their paths from there; hidden files and folders are none.

    Args:
        folder: where to look.
        class_folders: the first part of an image's path, where it has more than one, is its class.

    Raises:
        DatasetError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    try:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    except OSError as error:
        raise DatasetError(f"{error.filename or folder}: {error.strerror}") from error
    entries = []
    for path in files:
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts) or path.is_dir():
            continue
        class_name = parts[0] if class_folders and len(parts) > 1 else None
        entries.append(Entry("/".join(parts), class_name, None, partial(load_image, path)))
    if not entries:
        raise DatasetError(f"{folder}: no images in it ({', '.join(sorted(SUFFIXES))})")
    return entries
