"""A small stand-in for CIFAR-10: ten classes of coloured shapes, which a network learns in seconds.

Made here, so that the tests ship no data, and written in both layouts that the loader reads.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from pixelprobe_deploy.modelzoo.datasets import LabelledImages

COLOURS = ((220, 40, 40), (40, 200, 40), (50, 70, 230), (230, 210, 40), (210, 50, 210))


def coloured_shapes(count: int, seed: int) -> LabelledImages:
    """``count`` noisy images, classes in turn: class c is a square (c < 5) or a disc in colour c % 5."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % 10
    images = rng.integers(0, 100, (count, 32, 32, 3), dtype=np.uint8)
    rows, columns = np.mgrid[:32, :32]
    for image, label in zip(images, labels, strict=True):
        radius = rng.integers(6, 12)
        down, right = np.abs(rows - rng.integers(11, 21)), np.abs(columns - rng.integers(11, 21))
        inside = np.maximum(down, right) <= radius if label < 5 else np.hypot(down, right) <= radius
        image[inside] = COLOURS[label % 5] + rng.integers(-20, 21, (int(inside.sum()), 3))
    return LabelledImages(images, labels)


def encoded(image: NDArray[np.uint8], encoding: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, encoding)
    return buffer.getvalue()


def write_parquet(data: LabelledImages, path: Path, encoding: str = "PNG") -> None:
    """The layout of the Hugging Face hub: a struct column ``img`` and a column ``label``."""
    images = [{"bytes": encoded(image, encoding), "path": None} for image in data.images]
    table = pa.table(
        {
            "img": pa.array(images, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "label": pa.array(data.labels),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_torchvision(train: LabelledImages, test: LabelledImages, folder: Path) -> None:
    """The layout of torchvision's CIFAR10: pickled batches of planar pixels, five for training."""
    root = folder / "cifar-10-batches-py"
    root.mkdir(parents=True)
    parts = np.array_split(np.arange(len(train.images)), 5)
    batches = {f"data_batch_{number}": (train, rows) for number, rows in enumerate(parts, start=1)}
    batches["test_batch"] = (test, np.arange(len(test.images)))
    for name, (data, rows) in batches.items():
        planar = data.images[rows].transpose(0, 3, 1, 2).reshape(len(rows), -1)
        (root / name).write_bytes(pickle.dumps({"data": planar, "labels": data.labels[rows].tolist()}))
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(label) for label in range(10)]}))
