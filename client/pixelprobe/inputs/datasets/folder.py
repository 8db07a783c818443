"""Read folders of images, whose subfolders may be classes; everything that is left out is reported."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pixelprobe.inputs.datasets.base import DatasetError, Entry
from pixelprobe.inputs.images import load_image, readable

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm")
)
"""Files with other suffixes are not taken for images."""

_NAMED_SUFFIXES = 5

Report = Callable[[str], None]
"""Takes one line about files or folders that are left out."""


def ignore(_line: str) -> None:
    """Take a line and do nothing with it."""


def folder_entries(folder: Path, *, class_folders: bool, on_skipped: Report = ignore) -> list[Entry]:
    """Return the images in ``folder`` and below, by their paths from there.

    Links to folders are followed, but for those that lead back to a folder they lie in. Hidden files and
    folders are left out.

    Args:
        folder: where to look.
        class_folders: the first part of an image's path, where it has more than one, is its class.
        on_skipped: called with a line for each kind of file, and each folder, that is left out.

    Raises:
        DatasetError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    entries, hidden, others = [], 0, Counter[str]()
    for path in sorted(walk_files(folder, on_skipped)):
        parts = path.relative_to(folder).parts
        is_image = path.suffix.lower() in SUFFIXES
        if any(part.startswith(".") for part in parts):
            hidden += is_image
        elif not is_image:
            others[path.suffix.lower() or "no suffix"] += 1
        else:
            class_name = readable(parts[0]) if class_folders and len(parts) > 1 else None
            entries.append(Entry(readable("/".join(parts)), class_name, None, partial(load_image, path)))
    if not entries:
        raise DatasetError(f"{folder}: no images in it ({', '.join(sorted(SUFFIXES))})")
    if hidden:
        on_skipped(f"{folder}: hidden images, or images in hidden folders, are left out: {hidden}")
    if others:
        named = ", ".join(f"{number} {suffix}" for suffix, number in others.most_common(_NAMED_SUFFIXES))
        more = ", ..." if len(others) > _NAMED_SUFFIXES else ""
        on_skipped(f"{folder}: files that are no images by their suffix are left out: {named}{more}")
    return entries


def walk_files(folder: Path, on_skipped: Report = ignore) -> Iterator[Path]:
    """Every file in ``folder`` and below; links to folders are followed unless they make a circle.

    Args:
        folder: where to look.
        on_skipped: called with a line for each folder that is not entered: a link to one of the folders that
            it lies in, or no permission.
    """

    def unreadable(error: OSError) -> None:
        on_skipped(f"{error.filename}: {error.strerror}; this folder is left out")

    above: dict[str, frozenset[tuple[int, int]]] = {}
    for place, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        own = Path(place).stat()
        known = above.pop(place, frozenset()) | {(own.st_dev, own.st_ino)}
        entered = []
        for name in folders:
            path = Path(place, name)
            try:
                found = path.stat()
            except OSError as error:
                unreadable(error)
                continue
            if (found.st_dev, found.st_ino) in known:
                on_skipped(f"{path}: a link to a folder that it lies in; not entered again")
                continue
            above[str(path)] = known
            entered.append(name)
        folders[:] = entered
        for name in files:
            yield Path(place, name)
