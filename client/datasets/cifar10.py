"""CIFAR-10 from either of the two layouts that people have on disk, without any deep-learning framework.

* the parquet files of the Hugging Face hub, whose names contain the split, with the columns ``img`` (a
  struct with ``bytes``) or ``img.bytes``, an encoded picture, and ``label``;
* the original batches that torchvision unpacks, ``cifar-10-batches-py``, see ``pickled``.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from client.datasets.base import DatasetError, Entry
from client.datasets.pickled import read_batch
from client.pictures import Picture, PictureError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
"""Width and height of a picture, in pixels."""

BATCHES = {
    "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
    "test": ("test_batch",),
}
BATCH_FOLDER = "cifar-10-batches-py"

_Labelled = tuple[Callable[[], NDArray[np.uint8]], int]
"""How to decode a picture, and its label."""


def cifar10_entries(folder: Path, split: str) -> list[Entry]:
    """One split (``train`` or ``test``) in its own order; a picture's name is its place, say ``test-00042``.

    Args:
        folder: holds the parquet files, in subfolders or not, or ``cifar-10-batches-py``, or is that.
        split: which.

    Raises:
        DatasetError: neither layout is there, or what is there is no CIFAR-10.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    parquet = sorted(folder.rglob(f"*{split}*.parquet"))
    if parquet:
        return _entries(split, [item for file in parquet for item in _from_parquet(file)])
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


def _load(name: str, decode: Callable[[], NDArray[np.uint8]]) -> Picture:
    try:
        return Picture(Path(name), decode())
    except UnidentifiedImageError as error:
        raise PictureError(f"{name}: neither PNG nor JPEG") from error
    except Exception as error:  # decoders meet broken data with exceptions of every kind
        raise PictureError(f"{name}: {str(error) or type(error).__name__}") from error


def _from_parquet(file: Path) -> list[_Labelled]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DatasetError(
            f"{file}: reading parquet needs pyarrow: pip install 'pixelprobe[report]'"
        ) from error
    try:
        # Read whole and then looked at: a file's own name may hold characters that pyarrow takes for a URI.
        with file.open("rb") as opened:
            table = pyarrow.parquet.read_table(opened)
    except (OSError, ValueError) as error:  # pyarrow.ArrowInvalid is a ValueError
        raise DatasetError(f"{file}: {error}") from error
    names = table.column_names
    if "label" not in names or not {"img", "img.bytes"} & set(names):
        raise DatasetError(f"{file}: expected the columns img.bytes and label, got {', '.join(names)}")
    column = table.column("img" if "img" in names else "img.bytes")
    labels = _checked_labels(file, table.column("label").to_pylist())
    return [(partial(_decode, column, row), label) for row, label in enumerate(labels)]


def _decode(column: Any, row: int) -> NDArray[np.uint8]:
    """The picture in one row of a parquet column, (32, 32, 3) uint8 RGB."""
    cell = column[row].as_py()
    encoded = cell["bytes"] if isinstance(cell, dict) else cell
    if not isinstance(encoded, bytes):
        raise ValueError("the cell holds no picture")
    with Image.open(io.BytesIO(encoded), formats=("PNG", "JPEG")) as image:
        if image.size != (SIDE, SIDE):
            raise ValueError(f"is {image.width} x {image.height} pixels, not {SIDE} x {SIDE}")
        return np.array(image.convert("RGB"), dtype=np.uint8)


def _from_batch(file: Path) -> list[_Labelled]:
    batch = read_batch(file)
    labels = _checked_labels(file, batch.labels)
    # Rows hold the red, then the green, then the blue channel, each row by row.
    pictures = batch.data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return [(partial(np.ascontiguousarray, pictures[row]), label) for row, label in enumerate(labels)]


def _checked_labels(file: Path, labels: list[Any]) -> list[int]:
    for row, label in enumerate(labels):
        if not isinstance(label, int) or not 0 <= label < len(CLASSES):
            raise DatasetError(f"{file}: row {row}: expected a label from 0 to 9, got {label!r}")
    return labels
