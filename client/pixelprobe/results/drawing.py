"""Draw figures with Pillow: crisp enlarging, rings around changed pixels, mask overlays and text."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pixelprobe.model import Edit

Colour = tuple[int, int, int]

INK: Colour = (28, 30, 38)
FAINT: Colour = (112, 117, 130)
PAPER: Colour = (255, 255, 255)
SHADE: Colour = (238, 240, 244)
OUTLINE: Colour = (200, 204, 212)
ALARM: Colour = (205, 38, 38)
CONTOUR: Colour = (255, 214, 10)
RING_LIGHT: Colour = (255, 255, 255)
RING_DARK: Colour = (220, 0, 70)

ARROW = "→"  # Pillow's built-in font lacks the glyph, so it is drawn
_SUPERSAMPLE = 4
_SMALLEST_RING = 6  # inner radius; a ring has to be found on a large image


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font at a size in pixels."""
    return ImageFont.load_default(size)


def enlarge(pixels: NDArray[np.uint8], scale: int) -> Image.Image:
    """Enlarge an image: each pixel becomes a crisp square of ``scale`` x ``scale``."""
    return Image.fromarray(np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1))


def scale_for(pixels: NDArray[np.uint8], side: int) -> int:
    """The whole number that enlarges an image's longer side to at most ``side`` pixels; at least 1."""
    return max(1, side // int(max(pixels.shape[:2])))


def ring(figure: Image.Image, edits: Sequence[Edit], scale: int, corner: tuple[int, int] = (0, 0)) -> None:
    """Ring every edited pixel of an enlarged image, light inside dark so that it shows on any ground.

    The edited squares themselves stay as they are.

    Args:
        figure: drawn on; holds the image with its top left corner at ``corner`` (x, y).
        edits: the pixels to ring.
        scale: side of a pixel's square.
        corner: where the image lies, so that rings at its edges may reach beyond it.
    """
    for edit in edits:
        square = (corner[0] + edit.x * scale, corner[1] + edit.y * scale)
        kept = figure.crop((*square, square[0] + scale, square[1] + scale))
        stencil = _ring_stencil(scale)
        offset = (scale - stencil.width) / 2
        figure.paste(stencil, (round(square[0] + offset), round(square[1] + offset)), stencil)
        figure.paste(kept, square)


@functools.cache
def _ring_stencil(scale: int) -> Image.Image:
    """An RGBA ring around a square of side ``scale``, clear of its corners, smoothed by supersampling."""
    width = max(2, round(scale / 6))
    inner = max(scale * 0.7072 + max(2, scale // 4), _SMALLEST_RING)
    outer = inner + 2 * width
    side = int(outer * 2) + 3
    side += (side - scale) % 2  # centred on the square to the pixel
    stencil = Image.new("RGBA", (side * _SUPERSAMPLE, side * _SUPERSAMPLE))
    pen = ImageDraw.Draw(stencil)
    centre = stencil.width / 2
    for radius, colour in ((outer, RING_DARK), (inner + width, RING_LIGHT)):
        reach = radius * _SUPERSAMPLE
        box = (centre - reach, centre - reach, centre + reach, centre + reach)
        pen.ellipse(box, outline=(*colour, 255), width=width * _SUPERSAMPLE)
    return stencil.resize((side, side), Image.Resampling.LANCZOS)


def overlay(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], scale: int) -> Image.Image:
    """The image enlarged, its background dimmed and greyed, its foreground as it is, the border drawn."""
    grey = pixels.mean(axis=2, keepdims=True)
    dimmed = 0.35 * (0.3 * pixels + 0.7 * grey)
    shown = np.where(mask[:, :, None], pixels, dimmed).astype(np.uint8)
    image = np.array(enlarge(shown, scale))
    big = np.repeat(np.repeat(mask, scale, axis=0), scale, axis=1)
    image[_border(big, 1 + scale // 8)] = CONTOUR
    return Image.fromarray(image)


def _border(mask: NDArray[np.bool_], width: int) -> NDArray[np.bool_]:
    """Foreground pixels within ``width`` of the background, along rows and columns."""
    near = np.zeros_like(mask)
    for distance in range(1, width + 1):
        near[distance:] |= ~mask[:-distance]
        near[:-distance] |= ~mask[distance:]
        near[:, distance:] |= ~mask[:, :-distance]
        near[:, :-distance] |= ~mask[:, distance:]
    return near & mask


def text_width(text: str, size: int) -> float:
    """Pixels that :func:`write` takes for ``text``."""
    parts = _printable(text).split(ARROW)
    return sum(font(size).getlength(part) for part in parts) + (len(parts) - 1) * size


def fit(text: str, size: int, width: float) -> str:
    """The text, cut with an ellipsis where it is wider than ``width`` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def write(
    pen: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    colour: Colour = INK,
    *,
    centred: bool = False,
) -> None:
    """Write one line with its top left corner (or top centre) ``at`` (x, y); arrows are drawn by hand."""
    x, y = at
    if centred:
        x -= text_width(text, size) / 2
    for number, part in enumerate(_printable(text).split(ARROW)):
        if number:
            _draw_arrow(pen, x, y + size * 0.62, size, colour)
            x += size
        pen.text((x, y), part, font=font(size), fill=colour)
        x += font(size).getlength(part)


def _draw_arrow(pen: ImageDraw.ImageDraw, x: float, y: float, size: int, colour: Colour) -> None:
    tip = x + size * 0.85
    head = size * 0.22
    pen.line((x + size * 0.12, y, tip - head, y), fill=colour, width=max(1, size // 10))
    pen.polygon(((tip, y), (tip - head * 1.4, y - head), (tip - head * 1.4, y + head)), fill=colour)


def _printable(text: str) -> str:
    """Reduce text to what the font has glyphs for: without accents, other scripts as question marks."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" or c in "·…" + ARROW else "?" for c in plain.replace("...", "…"))
