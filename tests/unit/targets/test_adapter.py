"""The input adapter: the tensor that a model's owner would make of the edited image, whatever the steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pixelprobe_services.orchestrator.core.perturbation import apply_edits
from pixelprobe_services.orchestrator.targets.adapter import (
    DTYPES,
    PRESETS,
    Channels,
    InputAdapter,
    Preprocessing,
    resized,
)

QUICK = settings(max_examples=60, derandomize=True, database=None, deadline=None)

numbers = st.floats(-200, 200, allow_nan=False, width=32)
positive = st.floats(0.125, 300, allow_nan=False, width=32)


@st.composite
def steps(draw: st.DrawFn, *, resize: bool = True) -> Preprocessing:
    channels: Channels = draw(st.sampled_from(("rgb", "bgr", "gray")))
    count = 1 if channels == "gray" else draw(st.sampled_from([1, 3]))
    return Preprocessing(
        layout=draw(st.sampled_from(["nhwc", "nchw"])),
        dtype=draw(st.sampled_from(sorted(DTYPES))),
        channels=channels,
        resize=draw(st.sampled_from([None, "nearest", "bilinear", "bilinear-antialias"])) if resize else None,
        scale=draw(st.sampled_from([1.0, 1 / 255, 1 / 127.5, 0.5])),
        mean=tuple(draw(st.lists(numbers, min_size=count, max_size=count))),
        std=tuple(draw(st.lists(positive, min_size=count, max_size=count))),
    )


@st.composite
def queries(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int16]]:
    height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, edits = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    images = random.integers(0, 256, (draw(st.integers(1, 3)), height, width, 3), dtype=np.uint8)
    spots = random.integers(0, (width, height), (count, 1, 2)) + np.zeros((1, edits, 1), np.int64)
    if height * width >= edits:
        flat = np.stack([random.permutation(height * width)[:edits] for _ in range(count)])
        spots = np.stack([flat % width, flat // width], axis=2)
        colours = random.integers(0, 256, (count, edits, 3))
    else:  # edits of one query on one pixel are equal
        colours = np.repeat(random.integers(0, 256, (count, 1, 3)), edits, axis=1)
    index = random.integers(0, len(images), count, dtype=np.int32)
    return images, index, np.concatenate([spots, colours], axis=2).astype(np.int16)


def by_the_book(images: NDArray[np.uint8], chosen: Preprocessing) -> NDArray[np.float64]:
    """(n, h, w, c) float64: the steps one after another on whole images, as an owner writes them."""
    if chosen.channels == "bgr":
        images = images[..., ::-1]
    if chosen.channels == "gray":
        images = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])[..., None]
    values: NDArray[np.float64] = images.astype(np.float64) * chosen.scale
    values = (values - np.array(chosen.mean)) / np.array(chosen.std)
    dtype = DTYPES[chosen.dtype]
    if dtype.kind in "ui":
        values = np.rint(values).clip(np.iinfo(dtype).min, np.iinfo(dtype).max)
    return values


@QUICK
@given(batch=queries(), chosen=steps(resize=False))
def test_it_is_what_an_owner_does_to_the_edited_image(batch, chosen: Preprocessing) -> None:  # type: ignore[no-untyped-def]
    images, index, edits = batch
    tensor = InputAdapter(chosen, *images.shape[1:3]).tensor(images, index, edits)
    expected = by_the_book(apply_edits(images, index, edits), chosen)
    assert tensor.dtype == DTYPES[chosen.dtype]
    assert tensor.flags.c_contiguous
    found = np.moveaxis(tensor, 1, -1) if chosen.layout == "nchw" else tensor
    # A gray value may round the other way than Pillow's fixed-point arithmetic: one step of 255.
    gray_step = abs(chosen.scale) / min(chosen.std) if chosen.channels == "gray" else 0.0
    rounding = 1.0 if DTYPES[chosen.dtype].kind in "ui" else 0.0
    half = 2e-3 * np.abs(expected).max() if chosen.dtype == "fp16" else 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=gray_step * 1.01 + rounding + half + 1e-4)


@QUICK
@given(batch=queries(), chosen=steps(), height=st.integers(1, 7), width=st.integers(1, 7))
def test_edits_first_and_steps_after(batch, chosen: Preprocessing, height: int, width: int) -> None:  # type: ignore[no-untyped-def]
    """A query is the same as its edited image sent without an edit: results can be checked from a PNG."""
    images, index, edits = batch
    size = (height, width) if chosen.resize else images.shape[1:3]
    adapter = InputAdapter(chosen, *size)
    edited = apply_edits(images, index, edits)
    nothing = np.zeros((len(edited), 1, 5), np.int16)
    nothing[:, 0, 2:] = edited[:, 0, 0]
    again = adapter.tensor(edited, np.arange(len(edited), dtype=np.int32), nothing)
    np.testing.assert_array_equal(adapter.tensor(images, index, edits), again)
    assert again.shape == (len(index), *chosen.shape(*size))


@pytest.mark.parametrize("how", ["nearest", "bilinear-antialias"])
@pytest.mark.parametrize(("old", "new"), [((32, 32), (224, 224)), ((50, 40), (20, 24)), ((7, 9), (7, 9))])
def test_resizing_is_pillows(how: str, old: tuple[int, int], new: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*old, 3), dtype=np.uint8)
    method = Image.Resampling.NEAREST if how == "nearest" else Image.Resampling.BILINEAR
    expected = np.asarray(Image.fromarray(image).resize((new[1], new[0]), method)).astype(int)
    found = resized(image[None], *new, how)[0].astype(int)  # type: ignore[arg-type]
    assert np.abs(found - expected).max() <= (0 if how == "nearest" else 1)


def test_bilinear_is_opencvs() -> None:
    import cv2

    image = np.random.default_rng(1).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    for height, width in ((100, 81), (20, 24)):
        expected = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(int)
        found = resized(image[None], height, width, "bilinear")[0].astype(int)
        assert np.abs(found - expected).max() <= 1


def test_the_presets_are_their_frameworks() -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 3, 4, 3), dtype=np.uint8)
    keys = {"layout", "dtype", "channels", "scale", "mean", "std"}

    def tensor(name: str) -> NDArray[np.float32]:
        chosen = Preprocessing(**{key: value for key, value in PRESETS[name].items() if key in keys})
        edit = np.array([[[0, 0, *image[0, 0, 0]]]], np.int16)
        return InputAdapter(chosen, 3, 4).tensor(image, np.zeros(1, np.int32), edit)

    pixels = image.astype(np.float32)
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    torchvision = (pixels / np.float32(255) - mean) / std
    np.testing.assert_array_equal(tensor("torchvision"), np.moveaxis(torchvision, -1, 1))
    np.testing.assert_array_equal(
        tensor("keras-caffe"), pixels[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    )
    np.testing.assert_array_equal(tensor("keras-tf"), pixels / np.float32(127.5) - np.float32(1))
    np.testing.assert_array_equal(tensor("0-1"), pixels / np.float32(255))
