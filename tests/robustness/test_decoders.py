"""Images and masks that are none: an error that says so, or a valid array; nothing else, nothing slow."""

from __future__ import annotations

import io
import math
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pixelprobe.inputs.images import MAX_PIXELS, ImageError, load_image, load_mask
from pixelprobe_api.image.v1 import image_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.images import MAX_SIDE, mask_to_array, to_array
from pixelprobe_services.common.masks import MAX_ITERATIONS
from pixelprobe_services.segmentation.base import GrabCutOptions, SalientOptions
from pixelprobe_services.segmentation.convert import to_options
from tests.robustness.messages import hostile, mutated

BOUNDED = settings(
    max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
SLOW_SECONDS = 20.0
"""For one small file; generous, as the machine may be busy."""


def outcome(call: Callable[[], Any], expected: type[Exception]) -> Any:
    """What the call returns, or the error of the one kind that it may raise."""
    try:
        return call()
    except expected as error:
        return error


side = st.sampled_from([0, 1, 2, 7, 8, 4096, 4097, 65_536, 2**32 - 1])


@BOUNDED
@given(width=side, height=side, off=st.sampled_from([0, 0, 0, 1, -1, 1000]))
def test_images_on_the_wire(width: int, height: int, off: int) -> None:
    size = min(max(0, width * height * 3 + off), 300_000)
    message = image_pb2.Image(width=width, height=height, rgb=bytes(size))
    array = outcome(lambda: to_array(message), InvalidArgumentError)
    if isinstance(array, InvalidArgumentError):
        assert array.field in ("image.width", "image.height", "image.rgb")
    else:
        assert array.shape == (height, width, 3)
        assert array.dtype == np.uint8
        assert min(width, height) >= 1
        assert max(width, height) <= MAX_SIDE


@BOUNDED
@given(width=side, height=side, off=st.sampled_from([0, 0, 0, 1, -1, 1000]))
def test_masks_on_the_wire(width: int, height: int, off: int) -> None:
    size = min(max(0, math.ceil(width * height / 8) + off), 300_000)
    message = image_pb2.Mask(width=width, height=height, bits=b"\xa5" * size)
    array = outcome(lambda: mask_to_array(message), InvalidArgumentError)
    if isinstance(array, InvalidArgumentError):
        assert array.field in ("mask.width", "mask.height", "mask.bits")
    else:
        assert array.shape == (height, width)
        assert array.dtype == np.bool_


@settings(BOUNDED, max_examples=200)
@given(request=hostile(pb.SegmentRequest.DESCRIPTOR), width=st.integers(1, 40), height=st.integers(1, 40))
def test_hints_for_a_mask(request: Any, width: int, height: int) -> None:
    options = outcome(lambda: to_options(request, width, height), InvalidArgumentError)
    if isinstance(options, InvalidArgumentError):
        assert options.field.startswith(("grabcut", "salient"))
    elif isinstance(options, GrabCutOptions):
        assert 1 <= options.iterations <= MAX_ITERATIONS
        for stroke in options.strokes:
            assert all(0 <= x < width and 0 <= y < height for x, y in stroke.points)
    elif isinstance(options, SalientOptions):
        assert 0 < options.threshold < 1
    else:
        assert options is None


def encoded(kind: str, mode: str, **options: Any) -> bytes:
    pixels = np.random.default_rng(5).integers(0, 256, (12, 17, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, format=kind, **options)
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "png": lambda: encoded("PNG", "RGB"),
    "palette.png": lambda: encoded("PNG", "P"),
    "grey16.png": lambda: encoded("PNG", "I;16"),
    "jpeg": lambda: encoded("JPEG", "RGB"),
    "progressive.jpeg": lambda: encoded("JPEG", "RGB", progressive=True),
    "cmyk.jpeg": lambda: encoded("JPEG", "CMYK"),
    "bmp": lambda: encoded("BMP", "RGB"),
    "webp": lambda: encoded("WEBP", "RGB"),
    "lossless.webp": lambda: encoded("WEBP", "RGB", lossless=True),
    "tiff": lambda: encoded("TIFF", "RGB"),
    "deflated.tiff": lambda: encoded("TIFF", "RGB", compression="tiff_deflate"),
    "gif": lambda: encoded("GIF", "P"),
    "ppm": lambda: encoded("PPM", "RGB"),
}


@pytest.mark.parametrize("kind", FILES)
@BOUNDED
@given(data=st.data())
def test_image_files_with_bytes_changed(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    raw = data.draw(mutated([FILES[kind]()]) | mutated([FILES[kind]()[:40]]))
    path = tmp_path / f"some.{kind}"
    path.write_bytes(raw)
    for load in (load_image, load_mask):
        begin = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own of odd files
            loaded = outcome(partial(load, path), ImageError)
        if isinstance(loaded, ImageError):
            assert str(path) in str(loaded)
            assert "\n" not in str(loaded)
        else:
            pixels = loaded if isinstance(loaded, np.ndarray) else loaded.pixels
            assert pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS
            assert pixels.dtype == (np.bool_ if load is load_mask else np.uint8)
        assert time.monotonic() - begin < SLOW_SECONDS


@settings(BOUNDED, max_examples=100)
@given(raw=st.binary(max_size=300))
def test_random_bytes_are_no_image(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "noise"
    path.write_bytes(raw)
    with pytest.raises(ImageError):
        load_image(path)
