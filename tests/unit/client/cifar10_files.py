"""CIFAR-10 as the hub has it, made up."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def sample_images(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, cells: list[Any], labels: list[Any], column: str = "img") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = [{"bytes": cell, "path": None} for cell in cells] if column == "img" else cells
    pq.write_table(pa.table({column: values, "label": labels}), path)
