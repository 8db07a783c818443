"""Read labelled images from parquet files as the Hugging Face hub has them.

Labels are read at once, images when they are asked for: ImageNet's validation images alone have 6.7 GB.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pixelprobe.inputs.datasets.base import DatasetError, checked_labels
from pixelprobe.inputs.datasets.folder import Report, walk_files

HELD_BYTES = 256 * 2**20
"""Row groups are kept up to this size, as images are asked for in a seed's order: here and there."""


@dataclass(frozen=True)
class ParquetImage:
    """An image in a row of a parquet file.

    Attributes:
        label: its class, in range.
        path: the file that it once was, where the row says.
        content: reads the encoded image; raises ValueError where the row holds none, or OSError.
    """

    label: int
    path: str | None
    content: Callable[[], bytes]


def parquet_files(folder: Path, split: str, on_skipped: Report) -> list[Path]:
    """Return the parquet files in ``folder`` and below whose names contain the split, in order."""
    return sorted(path for path in walk_files(folder, on_skipped) if path.match(f"*{split}*.parquet"))


def parquet_images(files: Sequence[Path], column: str, classes: int) -> list[ParquetImage]:
    """Return the rows of all files, in order.

    Args:
        files: with the columns ``label`` and ``column``, a struct with ``bytes`` (and ``path``, or not), or
            ``column.bytes``.
        column: the images'.
        classes: labels are from 0 to that, less one.

    Raises:
        DatasetError: pyarrow is not installed; a file cannot be read, has not these columns, or holds a label
            out of range.
    """
    groups = _RowGroups()
    return [image for file in files for image in _rows(file, column, classes, groups)]


def _rows(file: Path, column: str, classes: int, groups: _RowGroups) -> Iterator[ParquetImage]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DatasetError(
            f"{file}: reading parquet needs pyarrow: pip install 'pixelprobe[report]'"
        ) from error
    try:
        # Opened here and not by pyarrow, which may take characters of the file's own name for a URI.
        with file.open("rb") as opened:
            parquet = pq.ParquetFile(opened)
            schema = parquet.schema_arrow
            names = schema.names
            if "label" not in names or not {column, f"{column}.bytes"} & set(names):
                raise DatasetError(
                    f"{file}: expected the columns {column}.bytes and label, got {', '.join(names)}"
                )
            wanted = column if column in names else f"{column}.bytes"
            labels = checked_labels(file, parquet.read(columns=["label"]).column(0).to_pylist(), classes)
            paths: list[Any] = [None] * len(labels)
            kind = schema.field(wanted).type
            if pa.types.is_struct(kind) and kind.get_field_index("path") >= 0:
                cells = parquet.read(columns=[f"{column}.path"]).column(0).to_pylist()
                paths = [cell and cell["path"] for cell in cells]
            sizes = [parquet.metadata.row_group(g).num_rows for g in range(parquet.num_row_groups)]
    except (OSError, ValueError) as error:  # pyarrow.ArrowInvalid is a ValueError
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{file}: {error}") from error
    places = ((group, row) for group, size in enumerate(sizes) for row in range(size))
    for label, path, (group, row) in zip(labels, paths, places, strict=True):
        content = partial(groups.content, file, wanted, group, row)
        yield ParquetImage(label, path if isinstance(path, str) else None, content)


class _RowGroups:
    """Reads the row groups of a column, and keeps those asked for last while they fit into HELD_BYTES."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[Path, int], Any] = OrderedDict()

    def content(self, file: Path, column: str, group: int, row: int) -> bytes:
        """The encoded image in a row of a row group."""
        if (file, group) not in self._held:
            self._held[file, group] = _read(file, column, group)
        self._held.move_to_end((file, group))
        while len(self._held) > 1 and sum(held.nbytes for held in self._held.values()) > HELD_BYTES:
            self._held.popitem(last=False)
        cell = self._held[file, group][row].as_py()
        content = cell["bytes"] if isinstance(cell, dict) else cell
        if not isinstance(content, bytes):
            raise ValueError("the cell holds no image")
        return content


def _read(file: Path, column: str, group: int) -> Any:
    import pyarrow.parquet as pq

    with file.open("rb") as opened:
        return pq.ParquetFile(opened).read_row_group(group, columns=[column]).column(0)
