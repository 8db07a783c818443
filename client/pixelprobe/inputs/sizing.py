"""Bring an image, and its mask along with it, to a target's size.

``stretch`` is the paper's. ``short-side-256`` is how ImageNet's networks are usually evaluated, to the pixel
as torchvision does it (``Resize(256)``, ``CenterCrop(224)``); at other sizes than 224 in that proportion.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelprobe.inputs.images import MASK_THRESHOLD, MAX_PIXELS, to_uint8

RESIZED, CROPPED = 256, 224
"""The shorter side of ``short-side-256`` before its crop and after it, for a target of that size."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


class Sizing(StrEnum):
    """A way to size."""

    CROP = "crop"
    STRETCH = "stretch"
    SHORT_SIDE = "short-side-256"


class SizingError(ValueError):
    """An image's shape does not go with the way to size; one line that does not name the image."""


def resize_image(
    pixels: NDArray[np.uint8], width: int, height: int, how: Sizing = Sizing.CROP
) -> NDArray[np.uint8]:
    """An image in the wanted size.

    Args:
        pixels: (any height, any width, 3) uint8.
        width: wanted, in pixels.
        height: likewise.
        how: ``crop``: the largest centred crop, by area where it shrinks, else bicubic. ``stretch``: all of
            the image, bilinear and antialiased. ``short-side-256``: all of it until it covers 256/224 of
            the wanted size, bilinear and antialiased, then the centre.

    Returns:
        (height, width, 3) uint8.

    Raises:
        SizingError: an image so narrow that its shorter side at 256 makes the other one too long.
    """
    image = Image.fromarray(pixels)
    if how is Sizing.CROP:
        box = _centre_crop(image.width, image.height, width, height)
        shrinks = box[2] - box[0] >= width and box[3] - box[1] >= height
        method = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
        return np.array(image.resize((width, height), method, box=box), dtype=np.uint8)
    return np.array(_whole(image, width, height, how, Image.Resampling.BILINEAR), dtype=np.uint8)


def resize_mask(
    mask: NDArray[np.bool_], width: int, height: int, how: Sizing = Sizing.CROP
) -> NDArray[np.bool_]:
    """Size a mask as :func:`resize_image` does; a pixel is foreground where at least half of it was.

    Args:
        mask: (any height, any width) bool.
        width: wanted, in pixels.
        height: likewise.
        how: as the image.

    Returns:
        (height, width) bool.

    Raises:
        SizingError: as :func:`resize_image`.
    """
    image = Image.fromarray(to_uint8(mask))
    if how is Sizing.CROP:
        box = _centre_crop(image.width, image.height, width, height)
        grey = image.resize((width, height), Image.Resampling.BOX, box=box)
    else:
        grey = _whole(image, width, height, how, Image.Resampling.BOX)
    return np.asarray(grey, dtype=np.uint8) > MASK_THRESHOLD


def describe_sizing(how: Sizing | None, width: int, height: int) -> str:
    """Describe how images are brought to a target's size; with None they must have it already."""
    if how is None:
        return "as they are"
    shorter = min(covering_size(width, height))
    ways = {
        Sizing.CROP: "the largest centred crop, resampled (area where it shrinks, else bicubic)",
        Sizing.STRETCH: "stretched to that (bilinear, antialiased)",
        Sizing.SHORT_SIDE: f"the shorter side to {shorter} (bilinear, antialiased), then the centre",
    }
    return f"as they are where {width} x {height}, else {ways[how]}"


def covering_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) that ``short-side-256`` covers with the image before it cuts the centre out of it."""
    return _rounded(width * RESIZED, CROPPED), _rounded(height * RESIZED, CROPPED)


def _whole(image: Image.Image, width: int, height: int, how: Sizing, method: Image.Resampling) -> Image.Image:
    """Resample a whole image: stretched, or until it covers the area that the centre is cut from."""
    if how is Sizing.STRETCH:
        return image.resize((width, height), method)
    wide, high = covering_size(width, height)
    if image.width * high <= image.height * wide:
        high = wide * image.height // image.width
    else:
        wide = high * image.width // image.height
    if wide * high > MAX_PIXELS:
        raise SizingError(
            f"{image.width} x {image.height} pixels are too narrow for {how.value}: "
            f"{wide} x {high} pixels would be over {MAX_PIXELS // 1_000_000} megapixels"
        )
    left, top = round((wide - width) / 2), round((high - height) / 2)
    return image.resize((wide, high), method).crop((left, top, left + width, top + height))


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _centre_crop(old_width: int, old_height: int, width: int, height: int) -> Box:
    """The largest box around the centre with the proportions width : height."""
    scale = min(old_width / width, old_height / height)
    # Rounding may take the side that is not cut below 0, which Pillow refuses.
    left = max(0.0, (old_width - width * scale) / 2)
    top = max(0.0, (old_height - height * scale) / 2)
    return left, top, old_width - left, old_height - top
