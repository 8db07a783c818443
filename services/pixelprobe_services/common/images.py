"""Images and masks as protobuf messages (``pixelprobe.image.v1``) and as NumPy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pixelprobe_api.image.v1.image_pb2 import Image, Mask
from pixelprobe_services.common.errors import InvalidArgumentError

MAX_SIDE = 4096
"""Longest side of an image in pixels; 48 MiB of RGB still fit one message."""


def to_array(image: Image, *, field: str = "image") -> NDArray[np.uint8]:
    """Return the image as (height, width, 3) uint8 RGB: read-only, a copy of the message's bytes.

    Raises:
        InvalidArgumentError: a side is 0 or over MAX_SIDE, or the bytes are not height x width x 3;
            ``field`` is the path that the error names.
    """
    _check_sides(image.width, image.height, field)
    expected = image.height * image.width * 3
    rgb = image.rgb  # each access copies
    if len(rgb) != expected:
        raise InvalidArgumentError(
            f"{field}.rgb",
            f"{image.width} x {image.height} pixels take {expected} bytes, not {len(rgb)}",
        )
    return np.frombuffer(rgb, dtype=np.uint8).reshape(image.height, image.width, 3)


def from_array(pixels: NDArray[np.uint8], *, field: str = "image") -> Image:
    """Return the message for ``pixels``, (height, width, 3) uint8 RGB.

    Raises:
        InvalidArgumentError: another shape or dtype, or a side is 0 or over MAX_SIDE.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InvalidArgumentError(
            field, f"must be uint8 (height, width, 3), not {pixels.dtype} {pixels.shape}"
        )
    height, width, _ = pixels.shape
    _check_sides(width, height, field)
    return Image(width=width, height=height, rgb=pixels.tobytes())


def mask_to_array(mask: Mask, *, field: str = "mask") -> NDArray[np.bool_]:
    """Return the mask as (height, width) bool, True for foreground; padding bits are ignored.

    Raises:
        InvalidArgumentError: a side is 0 or over MAX_SIDE, or the bytes are not ceil(height x width / 8).
    """
    _check_sides(mask.width, mask.height, field)
    pixels = mask.height * mask.width
    expected = (pixels + 7) // 8
    if len(mask.bits) != expected:
        raise InvalidArgumentError(
            f"{field}.bits",
            f"{mask.width} x {mask.height} pixels take {expected} bytes, not {len(mask.bits)}",
        )
    bits = np.unpackbits(np.frombuffer(mask.bits, dtype=np.uint8), count=pixels)
    return bits.astype(np.bool_).reshape(mask.height, mask.width)


def mask_from_array(foreground: NDArray[np.bool_], *, field: str = "mask") -> Mask:
    """Return the message for ``foreground``, (height, width) bool.

    Raises:
        InvalidArgumentError: another shape or dtype, or a side is 0 or over MAX_SIDE.
    """
    if foreground.dtype != np.bool_ or foreground.ndim != 2:
        raise InvalidArgumentError(
            field, f"must be bool (height, width), not {foreground.dtype} {foreground.shape}"
        )
    height, width = foreground.shape
    _check_sides(width, height, field)
    return Mask(width=width, height=height, bits=np.packbits(foreground).tobytes())


def _check_sides(width: int, height: int, field: str) -> None:
    for name, side in (("width", width), ("height", height)):
        if not 1 <= side <= MAX_SIDE:
            raise InvalidArgumentError(f"{field}.{name}", f"{side} is not in 1 to {MAX_SIDE}")
