"""Read CIFAR-10's original batches. They are pickles, which can run any code; here they can only make arrays.

The unpickler knows no names but those that Python 2 and 3 write for NumPy arrays and byte strings, and
refuses all others, so that a forged file is an error and nothing more.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelprobe.inputs.datasets.base import DatasetError

ROW_BYTES = 3072
"""An image: three channels of 32 x 32."""

MAX_BYTES = 256 * 2**20
"""A batch has 31 MB; nothing beyond this is read."""


@dataclass(frozen=True, eq=False)
class Batch:
    """``data``: (n, 3072) uint8, an image a row, channel by channel; ``labels``: n of them, unchecked."""

    data: NDArray[np.uint8]
    labels: list[Any]


def read_batch(file: Path) -> Batch:
    """Read one batch file.

    Raises:
        DatasetError: it cannot be read, holds anything but arrays, lists and strings, or is no batch.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DatasetError(f"{file}: has over {MAX_BYTES // 2**20} MiB; no CIFAR-10 batch has")
        with file.open("rb") as opened:
            content = _ArraysOnly(opened, encoding="bytes").load()
    except OSError as error:
        raise DatasetError(f"{file}: {error.strerror}") from error
    except DatasetError:
        raise
    except Exception as error:  # a damaged pickle ends in exceptions of every kind
        reason = str(error) or type(error).__name__
        raise DatasetError(f"{file}: not a CIFAR-10 batch, or a damaged one: {reason}") from error
    return _checked(file, content)


def _checked(file: Path, content: Any) -> Batch:
    data = content.get(b"data") if isinstance(content, dict) else None
    labels = content.get(b"labels") if isinstance(content, dict) else None
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.shape[1:] != (ROW_BYTES,)
        or not isinstance(labels, list)
        or len(labels) != len(data)
    ):
        raise DatasetError(
            f"{file}: not a CIFAR-10 batch; expected data, uint8 of n x {ROW_BYTES}, and n labels"
        )
    return Batch(data, labels)


def _reconstruct(subtype: type, shape: Any, dtype: Any) -> NDArray[Any]:
    """Rebuild an array as NumPy pickles it: an empty one, whose state follows."""
    return np.ndarray.__new__(subtype, shape, dtype)


def _encode(text: str, encoding: str) -> bytes:
    """Rebuild a byte string as Python 3 pickles it for Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for text in {encoding!r}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}") from None
