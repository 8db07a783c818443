"""KServe v2's tensors: their names for types, and raw little-endian bytes to and from NumPy arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pixelprobe_services.kserve.errors import BadAnswerError

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Little-endian, whatever this machine is."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class TensorSpec:
    """A model's input or output; -1 stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"'{self.name}' {self.datatype} {list(self.shape)}"


@dataclass(frozen=True)
class ModelConfiguration:
    """Triton's own additions: ``max_batch_size`` rows in a request (0 for any number), and parameters."""

    max_batch_size: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelMetadata:
    """A model's inputs and outputs."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def wire_bytes(array: NDArray[Any]) -> memoryview:
    """The array's own memory where the wire wants it so (C order, little-endian), else that of a copy."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data


def datatype_of(dtype: DTypeLike) -> str:
    """KServe's name of a NumPy type."""
    return _NAMES[np.dtype(dtype).newbyteorder("<")]


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> NDArray[Any]:
    """A read-only array over the received bytes; BYTES become an object array of str.

    Raises:
        BadAnswerError: an unknown type, or not as many bytes as the shape says.
    """
    if datatype == "BYTES":
        return _texts(name, shape, _unpacked(name, bytes(raw)))
    dtype = _dtype(name, datatype)
    expected = math.prod(shape) * dtype.itemsize
    if len(raw) != expected or min(shape, default=0) < 0:
        raise BadAnswerError(
            f"output '{name}' {datatype} {list(shape)} came with {len(raw)} bytes, not {expected}"
        )
    return np.frombuffer(raw, dtype).reshape(shape)


def from_values(name: str, datatype: str, shape: Sequence[int], values: Any) -> NDArray[Any]:
    """An array from listed values (flat or nested, row-major), as in JSON or protobuf's typed contents.

    Raises:
        BadAnswerError: values of another type, or not as many as the shape says.
    """
    if datatype == "BYTES":
        return _texts(name, shape, values)
    dtype = _dtype(name, datatype)
    try:
        array = np.asarray(values, dtype).reshape(-1)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadAnswerError(f"output '{name}' does not hold {datatype} values") from error
    if array.size != math.prod(shape) or min(shape, default=0) < 0:
        raise BadAnswerError(f"output '{name}' {list(shape)} came with {array.size} values")
    return array.reshape(shape)


def _unpacked(name: str, raw: bytes) -> list[bytes]:
    """Texts that each follow their length, a little-endian uint32."""
    texts, start = [], 0
    while start < len(raw):
        end = start + 4 + int.from_bytes(raw[start : start + 4], "little")
        if end > len(raw):
            raise BadAnswerError(f"output '{name}' BYTES ends within a text")
        texts.append(raw[start + 4 : end])
        start = end
    return texts


def _texts(name: str, shape: Sequence[int], values: Any) -> NDArray[Any]:
    if not isinstance(values, list) or not all(isinstance(value, str | bytes) for value in values):
        raise BadAnswerError(f"output '{name}' does not hold BYTES values")
    if len(values) != math.prod(shape) or min(shape, default=0) < 0:
        raise BadAnswerError(f"output '{name}' {list(shape)} came with {len(values)} values")
    texts = np.empty(len(values), object)
    texts[:] = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
    return texts.reshape(shape)


def _dtype(name: str, datatype: str) -> np.dtype[Any]:
    if datatype not in DTYPES:
        raise BadAnswerError(f"output '{name}' has the unusable type {datatype}")
    return DTYPES[datatype]
