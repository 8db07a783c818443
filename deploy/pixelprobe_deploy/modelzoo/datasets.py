"""CIFAR-10 as arrays, from either of the two layouts people have on disk.

* the parquet layout of the Hugging Face hub: ``train.parquet`` and ``test.parquet`` (or files whose
  names contain the split) with the columns ``img.bytes`` (an encoded image) and ``label``;
* torchvision's: the folder that ``torchvision.datasets.CIFAR10`` made (``cifar-10-batches-py``).
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelprobe_deploy.modelzoo.errors import ModelZooError

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SIDE = 32
"""Width and height of a CIFAR-10 image, in pixels."""


class LabelledImages(NamedTuple):
    """``images``: (n, 32, 32, 3) uint8 RGB; ``labels``: (n,) int64, 0 to 9; ``encoding``: how the images
    were stored (PNG, JPEG, raw), since a lossy copy is not quite the original data.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    encoding: str = "raw"


class DatasetError(ModelZooError):
    """The data set is there but damaged, or not CIFAR-10; the message names the file."""


class DatasetNotFoundError(DatasetError):
    """The folder holds none of the known layouts; the message says what was looked for."""


def load_cifar10(folder: Path, split: str) -> LabelledImages:
    """Read one split (``train`` or ``test``) of CIFAR-10 from ``folder``.

    Raises:
        DatasetNotFoundError: neither layout was found there.
        DatasetError: what was found cannot be read as CIFAR-10.
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
    encodings: set[str] = set()
    for file in files:
        try:
            table = pq.read_table(file)
            if "img" in table.column_names:
                encoded_images = [cell["bytes"] for cell in table.column("img").to_pylist()]
            else:
                encoded_images = table.column("img.bytes").to_pylist()
            for encoded in encoded_images:
                image = Image.open(io.BytesIO(encoded))
                encodings.add(image.format or "raw")
                images.append(_checked(np.asarray(image.convert("RGB"))))
            labels += table.column("label" if "label" in table.column_names else "labels").to_pylist()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"cannot read CIFAR-10 from {file}: {error}") from error
    if not images or not all(0 <= label < len(CIFAR10_CLASSES) for label in labels):
        raise DatasetError(f"no images with labels 0 to 9 in {files[0].parent}")
    return LabelledImages(
        np.stack(images), np.asarray(labels, dtype=np.int64), " and ".join(sorted(encodings))
    )


def _checked(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if image.shape != (SIDE, SIDE, 3):
        raise ValueError(f"an image of {image.shape[1]}x{image.shape[0]} pixels, expected {SIDE}x{SIDE}")
    return image


def _from_torchvision(folder: Path, split: str) -> LabelledImages:
    from torchvision.datasets import CIFAR10

    try:
        dataset = CIFAR10(str(folder), train=split == "train", download=False)
    except RuntimeError as error:  # torchvision's word for a missing file or a wrong checksum
        raise DatasetError(f"cannot read CIFAR-10 from {folder / 'cifar-10-batches-py'}: {error}") from error
    return LabelledImages(np.asarray(dataset.data), np.asarray(dataset.targets, dtype=np.int64))
