"""The saved form of a search: plain, versioned data, converted to bytes and back without loss or pickle."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATE_VERSION = 1
"""Of the layout of :class:`SearchState` and of what searches put in it. Raise it when either changes."""

_HEADER = "header"
_NOT_A_STATE = (
    ValueError,  # text, JSON and array headers; UnicodeDecodeError and JSONDecodeError are among them
    KeyError,
    TypeError,
    EOFError,
    OSError,
    RuntimeError,  # zipfile: "encrypted"; NotImplementedError is among them
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class StateError(ValueError):
    """A saved search cannot be used."""


class StateVersionError(StateError):
    """Sound data in a layout, or of a search, that this program does not know: the attack must restart."""


class StateDecodeError(StateError):
    """The bytes are not a saved search, or are damaged."""


@dataclass(frozen=True, eq=False)
class SearchState:
    """Everything a search needs to continue as if it had not been interrupted, save its scene.

    Attributes:
        name: of the search, as in ``factory.SEARCHES``.
        arrays: float64 arrays by name, read-only by convention.
        data: values that JSON can hold: settings, counters and the random generator's state.
        version: the layout.
    """

    name: str
    arrays: Mapping[str, NDArray[np.float64]]
    data: Mapping[str, Any]
    version: int = STATE_VERSION

    def to_bytes(self) -> bytes:
        """An uncompressed npz archive whose first member is a JSON header. Equal states give equal bytes."""
        names = sorted(self.arrays)
        # The header lists the arrays, because an archive with a damaged directory loses members silently.
        header = {"version": self.version, "name": self.name, "data": dict(self.data), "arrays": names}
        text = json.dumps(header, sort_keys=True, allow_nan=False).encode()
        buffer = io.BytesIO()
        members: dict[str, Any] = {_HEADER: np.frombuffer(text, dtype=np.uint8)}
        members.update((name, self.arrays[name]) for name in names)
        np.savez(buffer, **members)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> SearchState:
        """The state that :meth:`to_bytes` wrote.

        Raises:
            StateVersionError: written in another version of the layout.
            StateDecodeError: not written by :meth:`to_bytes`, or damaged since.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                header = json.loads(archive[_HEADER].tobytes())
                version = header["version"]
                if version == STATE_VERSION:
                    arrays = {name: archive[name] for name in header["arrays"]}
                    return cls(str(header["name"]), arrays, dict(header["data"]), version)
        except _NOT_A_STATE as error:
            raise StateDecodeError(f"not a saved search, or a damaged one: {error}") from error
        raise StateVersionError(f"saved in version {version!r}; this program knows {STATE_VERSION}")

    def floats(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
        """The array of that name, read-only.

        Args:
            name: of the array.
            shape: the expected one; None stands for any number of at least 1.

        Raises:
            StateDecodeError: it is missing, of another shape or type, or holds NaN.
        """
        array = self.arrays.get(name)
        if array is None or not _fits(array.shape, shape) or array.dtype != np.float64:
            raise StateDecodeError(f"the saved search has no float64 array {name!r} of shape {shape}")
        if np.isnan(array).any():
            raise StateDecodeError(f"the saved array {name!r} holds NaN")
        array.setflags(write=False)
        return array

    def genes(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
        """Like :meth:`floats`, of values in [0, 1]."""
        array = self.floats(name, shape)
        if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
            raise StateDecodeError(f"the saved array {name!r} leaves [0, 1]")
        return array

    def numbers(self, name: str, shape: tuple[int | None, ...]) -> NDArray[np.intp]:
        """Like :meth:`floats`, of whole numbers of at least 0."""
        array = self.floats(name, shape)
        if not (np.isfinite(array).all() and (array >= 0).all() and (array == np.floor(array)).all()):
            raise StateDecodeError(f"the saved array {name!r} holds more than whole numbers from 0")
        return array.astype(np.intp)


def _fits(actual: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a shape is the expected one, where None is any number of at least 1."""
    return len(actual) == len(expected) and all(
        side >= 1 if wanted is None else side == wanted for side, wanted in zip(actual, expected, strict=True)
    )
