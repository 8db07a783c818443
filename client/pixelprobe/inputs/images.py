"""Read image and mask files as exact 8-bit pixels, or raise one clear error; write PNG files."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pixelprobe_services.common.files import replacing

MAX_PIXELS = 50_000_000
"""Largest image that is ever decoded; the header gives the size before that."""

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
"""Pillow's decoders that may see a file from outside."""

MASK_THRESHOLD = 127
"""A mask's pixel is foreground above this grey value."""


_TURNED = range(2, 9)
"""EXIF orientations other than upright."""


def readable(name: str) -> str:
    r"""Return a file's name as text that can be stored and sent: bytes that are not UTF-8 become ``\xff``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class ImageError(ValueError):
    """An image or mask file cannot be used; the message is one line that names the file and the reason."""


@dataclass(frozen=True, eq=False)
class InputImage:
    """A decoded image.

    Attributes:
        path: the file, as the caller named it.
        pixels: (height, width, 3) uint8 RGB, upright.
        notes: what was done to the file's pixels to get there, in words; empty for plain RGB.
    """

    path: Path
    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])


def load_image(path: Path) -> InputImage:
    """Decode an image file, upright (EXIF) and as 8-bit RGB.

    Grey, palette, CMYK, 16 bit and fully opaque alpha are converted, and ``notes`` says so.

    Raises:
        ImageError: missing, unreadable, truncated, animated, really transparent, of an unknown format or
            sample type, or over MAX_PIXELS.
    """
    return _image(_checked_file(path), path)


def decode_image(content: bytes, name: str) -> InputImage:
    """Decode an image file that is in memory, as :func:`load_image` does; ``name`` takes its path's place.

    Raises:
        ImageError: as :func:`load_image`.
    """
    return _image(io.BytesIO(content), Path(name))


@dataclass(frozen=True, eq=False)
class InputMask:
    """A decoded mask.

    Attributes:
        mask: (height, width) bool, True is foreground, upright.
        notes: what was made of the file, where that is not plain, in words.
        warnings: what makes it unlikely to be the mask that was meant, in words.
    """

    mask: NDArray[np.bool_]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_mask(path: Path) -> InputMask:
    """Decode a mask file, upright (EXIF). Foreground is where the grey value is above 127.

    Of an image with transparent pixels, a cut-out, foreground is where alpha is above 127; colours do not
    count then.

    Raises:
        ImageError: as :func:`load_image`, but for transparency.
    """
    image, _ = _open(_checked_file(path), path)
    if image.has_transparency_data and not image.mode.startswith("I;16"):
        alpha = np.asarray(image.convert("RGBA").getchannel("A"), dtype=np.uint8)
        if alpha.min() < 255:
            note = "has transparent pixels: its alpha channel is the mask, its colours are not used"
            return InputMask(alpha > MASK_THRESHOLD, (note,), _mask_warnings(alpha, ""))
    rgb, _ = _to_rgb(image, path)
    grey = np.asarray(rgb.convert("L"), dtype=np.uint8)
    palette = "a palette image: " if image.mode == "P" else ""
    return InputMask(grey > MASK_THRESHOLD, (), _mask_warnings(grey, palette))


def load_mask(path: Path) -> NDArray[np.bool_]:
    """Decode a mask file as :func:`read_mask` does: (height, width) bool, True is foreground."""
    return read_mask(path).mask


def _mask_warnings(grey: NDArray[np.uint8], palette: str) -> tuple[str, ...]:
    """Describe what is unusual about a mask with these grey (or alpha) values."""
    low, high = int(grey.min()), int(grey.max())
    if high == 0:
        return ("all black: nothing is foreground",)
    if high <= MASK_THRESHOLD:
        return (
            f"{palette}values {low} to {high}: a label map? Nothing is above {MASK_THRESHOLD}, so nothing is "
            "foreground; save foreground as 255",
        )
    if low > MASK_THRESHOLD:
        return (f"nothing is {MASK_THRESHOLD} or below: all of the image is foreground",)
    return ()


def save_png(path: Path, pixels: NDArray[np.uint8] | NDArray[np.bool_] | Image.Image) -> None:
    """Write a PNG whole or not at all; the folder is made where it is missing.

    Args:
        path: where to.
        pixels: (height, width, 3) uint8 RGB, (height, width) uint8 grey, a (height, width) bool mask (white
            is foreground), or a drawn image.

    Raises:
        OSError: the file cannot be written; it is named.
    """
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(to_uint8(pixels))
    with replacing(path) as file:
        image.save(file, format="PNG")


def _image(source: Path | IO[bytes], path: Path) -> InputImage:
    image, notes = _open(source, path)
    rgb, note = _to_rgb(image, path)
    if note:
        notes.append(note)
    return InputImage(path=path, pixels=np.array(rgb, dtype=np.uint8), notes=tuple(notes))


def _checked_file(path: Path) -> Path:
    if not path.exists():
        raise ImageError(f"{path}: no such file")
    if not path.is_file():
        raise ImageError(f"{path}: not a file")
    return path


def _open(source: Path | IO[bytes], path: Path) -> tuple[Image.Image, list[str]]:
    """The image, decoded and upright, and what was done to it for that; ``path`` names it in messages."""
    try:
        with warnings.catch_warnings():
            # The size check below is stricter than Pillow's own warning.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source, formats=FORMATS) as image:
                _check_header(image, path)
                notes = []
                # Pillow's decoders keep the upper byte of 16-bit colours, and say nothing.
                if any(";16" in str(tile.args) for tile in image.tile) and not image.mode.startswith("I"):
                    notes.append("16-bit colours cut to 8 bits")
                # Asked before decoding: of a TIFF file that turns the image already.
                if image.getexif().get(ExifTags.Base.Orientation) in _TURNED:
                    notes.append("turned upright as its EXIF data says")
                image.load()
                return ImageOps.exif_transpose(image), notes
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: over {MAX_PIXELS // 1_000_000} megapixels") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image in a format known here ({', '.join(FORMATS)})") from error
    except PermissionError as error:
        raise ImageError(f"{path}: no permission to read it") from error
    except Exception as error:  # decoders meet broken files with exceptions of every kind
        raise ImageError(f"{path}: damaged or cut short ({str(error) or type(error).__name__})") from error


def _check_header(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{path}: {width} x {height} pixels are over {MAX_PIXELS // 1_000_000} megapixels")
    if getattr(image, "n_frames", 1) > 1:
        raise ImageError(f"{path}: animated or of several pages; give a file with one image")


def _to_rgb(image: Image.Image, path: Path) -> tuple[Image.Image, str]:
    """The image as mode RGB, and a note that is empty when it already was."""
    if image.mode.startswith("I;16"):
        if image.has_transparency_data:
            raise ImageError(f"{path}: transparency in a 16-bit grey image is not supported")
        grey = (np.asarray(image, dtype=np.uint32) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB"), "16-bit grey rounded to 8-bit RGB"
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        lowest = rgba.getchannel("A").getextrema()[0]
        if lowest != 255:
            raise ImageError(f"{path}: has transparent pixels; flatten it onto a background first")
        return rgba.convert("RGB"), "opaque alpha channel dropped"
    names = {"RGB": "", "1": "black and white", "L": "grey", "P": "palette", "CMYK": "CMYK", "YCbCr": "YCbCr"}
    if image.mode not in names:
        raise ImageError(f"{path}: pixels of type {image.mode} are not supported; save it as 8-bit RGB")
    note = names[image.mode] and f"converted from {names[image.mode]} to RGB"
    return image.convert("RGB"), note


def to_uint8(pixels: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Grey values or colours as they are; a mask as 255 (foreground) and 0."""
    if pixels.dtype == np.bool_:
        return np.where(pixels, np.uint8(255), np.uint8(0))
    return np.asarray(pixels, dtype=np.uint8)
