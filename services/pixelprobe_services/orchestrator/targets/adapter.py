"""From an attack's 8-bit RGB images to the tensor that a model takes. Pure NumPy.

The unit of attack stays an 8-bit RGB image that a PNG can hold; the adapter does, after the edits, what the
model's owner does before the model. Every step but resizing and graying maps each value by itself, so clean
images are mapped once and the edited pixels written into copies of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.orchestrator.core.perturbation import EditArray, apply_edits

Layout = Literal["nhwc", "nchw"]
Channels = Literal["rgb", "bgr", "gray"]
Resize = Literal["nearest", "bilinear", "bilinear-antialias"]

DTYPES: dict[str, np.dtype[Any]] = {
    "uint8": np.dtype("u1"),
    "int8": np.dtype("i1"),
    "fp16": np.dtype("<f2"),
    "fp32": np.dtype("<f4"),
    "fp64": np.dtype("<f8"),
}

_GRAY_WEIGHTS = (0.299, 0.587, 0.114)
"""ITU-R BT.601 luma, as in Pillow's mode L."""


@dataclass(frozen=True)
class Preprocessing:
    """What the model's owner does to an 8-bit RGB image.

    ``value = (pixel * scale - mean) / std``, ``mean`` and ``std`` in the order of the channels as sent (so
    blue first for "bgr"), one number for all channels or one each.

    Attributes:
        layout: order of the tensor's axes after the batch.
        dtype: a key of DTYPES; integers are rounded and clipped.
        resize: how the attacked image becomes one of the model's size; None where they are equal.
            "bilinear" is OpenCV's and PyTorch's, "bilinear-antialias" Pillow's; both round to 8 bits.
    """

    layout: Layout = "nhwc"
    dtype: str = "uint8"
    channels: Channels = "rgb"
    resize: Resize | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @property
    def channel_count(self) -> int:
        """1 for gray, else 3."""
        return 1 if self.channels == "gray" else 3

    @property
    def keeps_values(self) -> bool:
        """Whether the model gets the 8-bit RGB image as it is, but for the order of its axes."""
        return (self.dtype, self.channels, self.resize, self.scale, set(self.mean), set(self.std)) == (
            "uint8", "rgb", None, 1.0, {0.0}, {1.0},
        )  # fmt: skip

    @property
    def is_identity(self) -> bool:
        """Whether the model takes the attacked image as it is: uint8 NHWC RGB."""
        return self.keeps_values and self.layout == "nhwc"

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Of one image in the tensor."""
        count = self.channel_count
        return (height, width, count) if self.layout == "nhwc" else (count, height, width)

    def size_of(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """Height and width of one image's ``shape`` in the tensor; None where it is not this layout's."""
        if len(shape) != 3:
            return None
        height, width, count = shape if self.layout == "nhwc" else (shape[1], shape[2], shape[0])
        return (height, width) if count in (self.channel_count, -1) else None


PRESETS: dict[str, dict[str, Any]] = {
    "torchvision": {
        "layout": "nchw",
        "dtype": "fp32",
        "scale": 1 / 255,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
        "output_kind": "logits",
    },
    "keras-caffe": {"layout": "nhwc", "dtype": "fp32", "channels": "bgr", "mean": (103.939, 116.779, 123.68)},
    "keras-tf": {"layout": "nhwc", "dtype": "fp32", "scale": 1 / 127.5, "mean": (1.0,)},
    "0-1": {"dtype": "fp32", "scale": 1 / 255},
}
"""Keys that a preset sets where the targets file does not: torchvision's ImageNet classifiers, Keras' three
modes of ``preprocess_input`` ("caffe", "tf"), and plain division by 255."""


class InputAdapter:
    """Applies edits and preprocessing.

    Example:
        adapter = InputAdapter(Preprocessing(layout="nchw", dtype="fp32", scale=1 / 255), 32, 32)
        tensor = adapter.tensor(images, image_index, edits)  # (n, 3, 32, 32) float32
    """

    def __init__(self, steps: Preprocessing, model_height: int, model_width: int) -> None:
        self._steps = steps
        self._size = (model_height, model_width)
        self._table = _table(steps)
        self._order = {"rgb": [0, 1, 2], "bgr": [2, 1, 0], "gray": [0]}[steps.channels]

    def tensor(
        self, images: NDArray[np.uint8], image_index: NDArray[np.int32], edits: EditArray
    ) -> NDArray[Any]:
        """The model's input for ``n`` queries.

        Args:
            images: (m, height, width, 3) uint8 RGB, clean.
            image_index: (n,) int32, which image each query edits.
            edits: (n, k, 5) int16, each (x, y, r, g, b).

        Returns:
            (n, h, w, c) or (n, c, h, w) of the steps' dtype, contiguous.
        """
        steps = self._steps
        if steps.is_identity:
            return apply_edits(images, image_index, edits)
        if steps.resize is not None or steps.channels == "gray":
            edited = apply_edits(images, image_index, edits)
            if steps.resize is not None:
                edited = resized(edited, *self._size, steps.resize)
            return self._mapped(edited)
        tensor: NDArray[Any] = self._mapped(images)[image_index]
        self._write(tensor, edits)
        return tensor

    def _mapped(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Every value through the table, in the layout."""
        steps = self._steps
        if steps.channels == "gray":
            images = _gray(images)
        out = np.empty((len(images), *steps.shape(*images.shape[1:3])), self._table.dtype)
        by_channel = out if steps.layout == "nhwc" else np.moveaxis(out, 1, -1)
        for channel, source in enumerate(self._order):
            by_channel[..., channel] = self._table[channel][images[..., source]]
        return out

    def _write(self, tensor: NDArray[Any], edits: EditArray) -> None:
        count, _, width = len(tensor), *self._size
        pixels = self._size[0] * width
        spots = edits[..., 1].astype(np.int64) * width + edits[..., 0]
        rows = np.arange(count)[:, None]
        if self._steps.layout == "nhwc":
            flat = tensor.reshape(count, pixels, 3)
            for channel, source in enumerate(self._order):
                flat[rows, spots, channel] = self._table[channel][edits[..., 2 + source]]
        else:
            planes = tensor.reshape(count, 3, pixels)
            for channel, source in enumerate(self._order):
                planes[rows, channel, spots] = self._table[channel][edits[..., 2 + source]]


def _table(steps: Preprocessing) -> NDArray[Any]:
    """(channels, 256): what becomes of each 8-bit value, in the arithmetic that frameworks use (float32)."""
    dtype = DTYPES[steps.dtype]
    work: Any = np.float64 if dtype == np.float64 else np.float32
    pixels = np.arange(256, dtype=work)
    divisor = round(2 / steps.scale) / 2
    # x / 255 and x * (1 / 255) differ in the last bit, and owners write the former.
    exact = divisor > 0 and abs(divisor * steps.scale - 1) < 1e-6
    scaled = pixels / work(divisor) if exact else pixels * work(steps.scale)
    count = steps.channel_count
    mean, std = (np.broadcast_to(np.array(part, work), (count,)) for part in (steps.mean, steps.std))
    values: NDArray[Any] = (scaled[None] - mean[:, None]) / std[:, None]
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        values = np.rint(values).clip(limits.min, limits.max)
    return values.astype(dtype)


def _gray(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(n, h, w, 1) uint8 luma."""
    luma = images.astype(np.float32) @ np.array(_GRAY_WEIGHTS, np.float32)
    gray: NDArray[np.uint8] = np.rint(luma).astype(np.uint8)[..., None]
    return gray


def resized(images: NDArray[np.uint8], height: int, width: int, how: Resize) -> NDArray[np.uint8]:
    """(n, height, width, c) uint8; pixel centres are at half integers, as in all current libraries."""
    rows, columns = _weights(images.shape[1], height, how), _weights(images.shape[2], width, how)
    count, _, old_width, channels = images.shape
    tall = rows @ images.reshape(count, -1, old_width * channels).astype(np.float32)
    wide = columns @ tall.reshape(count, height, old_width, channels)
    rounded: NDArray[np.uint8] = np.rint(wide).clip(0, 255).astype(np.uint8)
    return rounded


@cache
def _weights(old: int, new: int, how: Resize) -> NDArray[np.float32]:
    """(new, old): how much each old line counts in each new one; rows sum to 1."""
    centres = (np.arange(new) + 0.5) * old / new - 0.5
    lines = np.arange(old)
    if how == "nearest":
        weights = np.zeros((new, old))
        weights[np.arange(new), np.floor(centres + 0.5).clip(0, old - 1).astype(int)] = 1
    else:
        reach = max(1.0, old / new) if how == "bilinear-antialias" else 1.0
        inside = centres if how == "bilinear-antialias" else centres.clip(0, old - 1)
        weights = (1 - np.abs(lines[None] - inside[:, None]) / reach).clip(0)
        weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
