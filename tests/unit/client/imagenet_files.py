"""ImageNet as people have it, made up: a few small images of the real classes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

TENCH, GOLDFISH, CRANE_BIRD, CRANE_MACHINE = "n01440764", "n01443537", "n02012849", "n03126707"


def photograph(value: int, width: int = 20, height: int = 15) -> np.ndarray:
    """Flat, so that JPEG gives it back as it was."""
    return np.full((height, width, 3), value, np.uint8)


def jpeg(pixels: np.ndarray, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", quality=100)
    return buffer.getvalue()


def write_jpeg(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg(photograph(value)))


def write_parquet(
    path: Path,
    cells: list[Any],
    labels: list[Any],
    *,
    flat: bool = False,
    paths: list[str | None] | None = None,
    rows: int | None = None,
) -> None:
    """``flat``: a column image.bytes instead of the hub's struct; ``rows``: of a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if flat:
        table = pa.table({"image.bytes": pa.array(cells, pa.binary()), "label": labels})
    else:
        fields: dict[str, Any] = {"bytes": pa.array(cells, pa.binary())}
        if paths is not None:
            fields["path"] = pa.array(paths, pa.string())
        struct = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
        table = pa.table({"image": struct, "label": labels})
    pq.write_table(table, path, row_group_size=rows)
