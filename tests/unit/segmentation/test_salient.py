"""From an image to the model's square and back to a mask, whatever the model answers."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.segmentation.base import Cut, SalientOptions
from pixelprobe_services.segmentation.salient import Salient, from_model, to_model
from tests.unit.segmentation.images import disk, overlap


class Redness:
    """Raw saliency that grows with red."""

    def __init__(self, raw: NDArray[np.float32] | None = None) -> None:
        self.raw = raw
        self.seen: list[tuple[int, ...]] = []

    def unavailable_reason(self) -> str:
        return "gone fishing"

    def query(self, images: NDArray[np.uint8], stop: threading.Event) -> NDArray[np.float32]:
        assert images.dtype == np.uint8
        self.seen.append(images.shape)
        return images[..., 0].astype(np.float32) * 7 - 100 if self.raw is None else self.raw


def cut(image: NDArray[np.uint8], model: Redness, threshold: float | None = None) -> Cut:
    options = None if threshold is None else SalientOptions(threshold)
    return Salient(model).segment(image, options, threading.Event())


@pytest.mark.parametrize("shape", [(500, 333), (64, 65), (320, 320), (300, 1000), (1, 1), (4096, 2)])
def test_the_model_sees_its_square_and_the_mask_has_the_images_size(shape: tuple[int, int]) -> None:
    model = Redness()
    found = cut(disk(*shape)[0], model)
    assert model.seen == [(1, 320, 320, 3)]
    assert found.mask.shape == shape
    assert found.mask.dtype == np.bool_
    assert found.saliency is not None
    assert found.saliency.shape == shape
    assert found.saliency.dtype == np.uint8


def test_what_stands_out_is_found_where_it_is() -> None:
    image, truth = disk(400, 700, centre=(0.3, 0.6))
    assert overlap(cut(image, Redness()).mask, truth) > 0.95


def test_a_higher_threshold_never_adds_foreground() -> None:
    image = disk(200, 300)[0]
    masks = [cut(image, Redness(), threshold).mask for threshold in (0.1, 0.5, 0.9)]
    assert masks[0].sum() > masks[1].sum() > masks[2].sum() > 0
    assert not (masks[2] & ~masks[1]).any()
    np.testing.assert_array_equal(masks[1], cut(image, Redness()).mask)


def test_raw_saliency_is_scaled_to_its_own_range() -> None:
    ramp = np.linspace(-3, 5, 320, dtype=np.float32)
    scaled = from_model(np.tile(ramp, (320, 1)), 320, 320)
    np.testing.assert_allclose(scaled[7], np.linspace(0, 1, 320), atol=1e-6)


def test_nothing_that_stands_out_is_no_foreground() -> None:
    found = cut(disk(100, 100)[0], Redness(np.full((1, 320, 320), 0.7, np.float32)))
    assert not found.mask.any()
    assert found.saliency is not None
    assert not found.saliency.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_an_error(value: float) -> None:
    raw = np.zeros((1, 320, 320), np.float32)
    raw[0, 5, 5] = value
    with pytest.raises(ServiceError, match="NaN or infinity"):
        cut(disk(100, 100)[0], Redness(raw))


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.zeros((640, 640, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (to_model(stripes) == 100).all()


def test_the_model_says_whether_it_is_available() -> None:
    assert Salient(Redness()).unavailable_reason() == "gone fishing"
