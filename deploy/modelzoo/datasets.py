"""CIFAR-10 as arrays, from either of the two layouts people have on disk.

* the parquet layout of the Hugging Face hub: ``train.parquet`` and ``test.parquet`` (or a file whose
  name contains the split) with the columns ``img.bytes`` (an encoded picture) and ``label``;
* torchvision's: the folder that ``torchvision.datasets.CIFAR10`` made (``cifar-10-batches-py``).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


class LabelledImages(NamedTuple):
    """``images``: (n, 32, 32, 3) uint8 RGB; ``labels``: (n,) int64, 0 to 9."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


class DatasetNotFoundError(Exception):
    """The folder holds none of the known layouts; the message says what was looked for."""


def load_cifar10(folder: Path, split: str) -> LabelledImages:
    """Read one split (``train`` or ``test``) of CIFAR-10 from ``folder``.

    Raises:
        DatasetNotFoundError: neither layout was found there.
    """
    parquet = sorted(folder.rglob(f"*{split}*.parquet"))
    if parquet:
        return _from_parquet(parquet)
    if (folder / "cifar-10-batches-py").is_dir():
        return _from_torchvision(folder, split)
    raise DatasetNotFoundError(
        f"no CIFAR-10 in {folder}: expected a *{split}*.parquet file with the columns img.bytes and "
        "label (Hugging Face layout) or the folder cifar-10-batches-py (torchvision layout)"
    )


def _from_parquet(files: list[Path]) -> LabelledImages:
    import pyarrow.parquet as pq

    images: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    for file in files:
        table = pq.read_table(file)
        label_column = "label" if "label" in table.column_names else "labels"
        encoded = table.column("img") if "img" in table.column_names else None
        rows = (
            [cell["bytes"] for cell in encoded.to_pylist()]
            if encoded is not None
            else table.column("img.bytes").to_pylist()
        )
        images += [np.asarray(Image.open(io.BytesIO(row)).convert("RGB")) for row in rows]
        labels += table.column(label_column).to_pylist()
    return LabelledImages(np.stack(images), np.asarray(labels, dtype=np.int64))


def _from_torchvision(folder: Path, split: str) -> LabelledImages:
    from torchvision.datasets import CIFAR10

    dataset = CIFAR10(str(folder), train=split == "train", download=False)
    return LabelledImages(np.asarray(dataset.data), np.asarray(dataset.targets, dtype=np.int64))
