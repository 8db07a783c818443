"""Data sets: named images, decoded one at a time, in an order that a seed determines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixelprobe.inputs.images import InputImage
from pixelprobe.inputs.planned import PlanError


class DatasetError(PlanError):
    """A data set is missing, damaged or not what it should be; the message is one line that says which."""


@dataclass(frozen=True)
class Entry:
    """An image of a data set, not decoded yet.

    Attributes:
        name: its own within the data set, for people too.
        class_name: its true class, where known.
        class_index: its number, where the data set itself numbers the classes.
        load: decodes it; raises ImageError if it cannot be used.
        also_called: other names of its class, by which a classifier's label may be known.
    """

    name: str
    class_name: str | None
    class_index: int | None
    load: Callable[[], InputImage]
    also_called: tuple[str, ...] = ()


def in_seeds_order(entries: Iterable[Entry], seed: int) -> list[Entry]:
    """The entries in an order that depends on their names and the seed alone.

    Sorted by a hash, so that it is the same on every machine, and an image that comes or goes leaves the
    order of the others as it is.
    """

    def key(entry: Entry) -> bytes:
        return hashlib.sha256(f"pixelprobe-pick-1\n{seed}\n{entry.name}".encode()).digest()

    return sorted(entries, key=key)


def checked_labels(file: Path, labels: Sequence[Any], classes: int) -> list[int]:
    """The labels of a file's rows, as whole numbers under ``classes``.

    Raises:
        DatasetError: one is not; the message names its row.
    """
    for row, label in enumerate(labels):
        if not isinstance(label, int) or not 0 <= label < classes:
            raise DatasetError(f"{file}: row {row}: expected a label from 0 to {classes - 1}, got {label!r}")
    return list(labels)
