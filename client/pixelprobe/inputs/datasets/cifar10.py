"""Read CIFAR-10 from either of its two usual layouts, without any deep-learning framework.

* the parquet files of the Hugging Face hub, whose names contain the split, with the columns ``img`` (a
  struct with ``bytes``) or ``img.bytes``, an encoded image, and ``label``;
* the original batches that torchvision unpacks, ``cifar-10-batches-py``, see ``pickled``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pixelprobe.inputs.datasets.base import DatasetError, Entry, checked_labels
from pixelprobe.inputs.datasets.folder import Report, ignore
from pixelprobe.inputs.datasets.parquet import parquet_files, parquet_images
from pixelprobe.inputs.datasets.pickled import read_batch
from pixelprobe.inputs.images import ImageError, InputImage

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
"""Width and height of an image, in pixels."""

BATCHES = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
BATCH_FOLDER = "cifar-10-batches-py"

_Labelled = tuple[Callable[[], NDArray[np.uint8]], int]
"""A function that decodes an image, and its label."""


def cifar10_entries(folder: Path, split: str, on_skipped: Report = ignore) -> list[Entry]:
    """Return a split (``train`` or ``test``) in its own order; images are named by place, say ``test-00042``.

    Args:
        folder: holds the parquet files, in subfolders or not, or ``cifar-10-batches-py``, or is that.
        split: which.
        on_skipped: called with a line for each folder that is left out.

    Raises:
        DatasetError: neither layout is there, or what is there is no CIFAR-10.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    parquet = parquet_files(folder, split, on_skipped)
    if parquet:
        return _entries(split, _from_parquet(parquet))
    for batches in (folder / BATCH_FOLDER, folder):
        if all((batches / name).is_file() for name in BATCHES[split]):
            return _entries(split, [item for name in BATCHES[split] for item in _from_batch(batches / name)])
    raise DatasetError(
        f"{folder}: no CIFAR-10 in it; expected *{split}*.parquet with the columns img.bytes and label, "
        f"or {BATCH_FOLDER} with {', '.join(BATCHES[split])}"
    )


def _entries(split: str, items: list[_Labelled]) -> list[Entry]:
    entries = []
    for place, (decode, label) in enumerate(items):
        name = f"{split}-{place:05d}"
        entries.append(Entry(name, CLASSES[label], label, partial(_load, name, decode)))
    return entries


def _load(name: str, decode: Callable[[], NDArray[np.uint8]]) -> InputImage:
    try:
        return InputImage(Path(name), decode())
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: neither PNG nor JPEG") from error
    except Exception as error:  # decoders meet broken data with exceptions of every kind
        raise ImageError(f"{name}: {str(error) or type(error).__name__}") from error


def _from_parquet(files: list[Path]) -> list[_Labelled]:
    images = parquet_images(files, "img", len(CLASSES))
    return [(partial(_decode, image.content), image.label) for image in images]


def _decode(content: Callable[[], bytes]) -> NDArray[np.uint8]:
    """The image in one row of a parquet file, (32, 32, 3) uint8 RGB."""
    with Image.open(io.BytesIO(content()), formats=("PNG", "JPEG")) as image:
        if image.size != (SIDE, SIDE):
            raise ValueError(f"is {image.width} x {image.height} pixels, not {SIDE} x {SIDE}")
        return np.array(image.convert("RGB"), dtype=np.uint8)


def _from_batch(file: Path) -> list[_Labelled]:
    batch = read_batch(file)
    labels = checked_labels(file, batch.labels, len(CLASSES))
    # Rows hold the red, then the green, then the blue channel, each row by row.
    images = batch.data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return [(partial(np.ascontiguousarray, images[row]), label) for row, label in enumerate(labels)]
