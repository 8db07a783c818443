"""A search put away: plain, versioned data that goes to bytes and back without loss and without pickle."""

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
    """Sound data in a layout, or of a search, that this program does not know: start the attack over."""


class StateDecodeError(StateError):
    """Not a saved search, or a damaged one."""


@dataclass(frozen=True, eq=False)
class SearchState:
    """Everything a search needs to go on as if nothing had happened.

    Attributes:
        name: the search's, as in ``factory.SEARCHES``.
        arrays: float64 arrays by name; not to be written to.
        data: what JSON can hold: settings, counters and the random generator's state.
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

    def floats(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """The array of that name, read-only.

        Raises:
            StateDecodeError: it is missing, of another shape or type, or holds NaN.
        """
        array = self.arrays.get(name)
        if array is None or array.shape != shape or array.dtype != np.float64:
            raise StateDecodeError(f"the saved search has no float64 array {name!r} of shape {shape}")
        if np.isnan(array).any():
            raise StateDecodeError(f"the saved array {name!r} holds NaN")
        array.setflags(write=False)
        return array

    def genes(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Like :meth:`floats`, of values in [0, 1]."""
        array = self.floats(name, shape)
        if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
            raise StateDecodeError(f"the saved array {name!r} leaves [0, 1]")
        return array
