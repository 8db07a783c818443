"""Accuracy as served: counting, batching, retries within a bound, and refusals, through tritonclient."""

from __future__ import annotations

from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from pixelprobe_deploy.modelzoo.catalogue import ShippedModel
from pixelprobe_deploy.modelzoo.datasets import CIFAR10_CLASSES, LabelledImages
from pixelprobe_deploy.modelzoo.evaluate import (
    TRIES,
    WEIGHTS_PARAMETER,
    EvaluationError,
    ServedModel,
    evaluate,
)
from tests.models.fake_triton import FakeTriton

pytestmark = pytest.mark.models

NAME, DIGEST = "allconv_cifar10", "ab" * 32
MODEL = ShippedModel(NAME, Path("unused.onnx"), DIGEST, CIFAR10_CLASSES, 32, 32)


def first_pixel(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A classifier that reads the class off the red of the first pixel."""
    return np.eye(10, dtype=np.float32)[images[:, 0, 0, 0]]


def labelled_images(count: int, wrong: int = 0) -> LabelledImages:
    """Images whose first pixel tells their class, except for the first ``wrong`` of them."""
    labels = np.arange(count, dtype=np.int64) % 10
    images = np.zeros((count, 32, 32, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = labels
    images[:wrong, 0, 0, 0] = (labels[:wrong] + 1) % 10
    return LabelledImages(images, labels, "PNG")


def measure(fake: FakeTriton, data: LabelledImages, name: str = NAME) -> tuple[int, int]:
    """Correct and all, with retries that do not wait."""
    with fake.serving() as address, ServedModel(name, address, pause_seconds=0) as served:
        found = evaluate(served, MODEL, data, progress=lambda _: None)
        return found.correct, found.images


def test_counts_over_the_whole_set_in_batches_of_400() -> None:
    fake = FakeTriton(NAME, first_pixel)
    assert measure(fake, labelled_images(1000, wrong=130)) == (870, 1000)
    assert fake.batches == [(400, 32, 32, 3), (400, 32, 32, 3), (200, 32, 32, 3)]


def test_progress_ends_at_the_number_of_images() -> None:
    seen: list[int] = []
    with FakeTriton(NAME, first_pixel).serving() as address, ServedModel(NAME, address) as served:
        found = evaluate(served, MODEL, labelled_images(900), progress=seen.append)
    assert seen == [400, 800, 900]
    assert (found.rate, found.encoding) == (1.0, "PNG")


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_passing_failures_are_tried_again(status: grpc.StatusCode) -> None:
    fake = FakeTriton(NAME, first_pixel, failures=[status] * (TRIES - 1))
    assert measure(fake, labelled_images(10)) == (10, 10)
    assert fake.requests == TRIES


def test_lasting_failures_end_after_a_bound() -> None:
    fake = FakeTriton(NAME, first_pixel, failures=[grpc.StatusCode.UNAVAILABLE] * 10)
    with pytest.raises(EvaluationError, match="told to fail"):
        measure(fake, labelled_images(10))
    assert fake.requests == TRIES


def test_refusals_are_not_tried_again() -> None:
    fake = FakeTriton(NAME, first_pixel, failures=[grpc.StatusCode.INVALID_ARGUMENT])
    with pytest.raises(EvaluationError, match="told to fail"):
        measure(fake, labelled_images(10))
    assert fake.requests == 1


def test_unknown_model() -> None:
    with pytest.raises(EvaluationError, match="does not serve another"):
        measure(FakeTriton(NAME, first_pixel), labelled_images(10), name="another")


def test_no_server() -> None:
    served = ServedModel(NAME, "127.0.0.1:1", timeout_seconds=5, pause_seconds=0)
    with served, pytest.raises(EvaluationError, match=r"127\.0\.0\.1:1"):
        evaluate(served, MODEL, labelled_images(10), progress=lambda _: None)


def test_other_weights_than_the_cards_are_refused() -> None:
    fake = FakeTriton(NAME, first_pixel, parameters={WEIGHTS_PARAMETER: "cd" * 32})
    with pytest.raises(EvaluationError, match="other weights"):
        measure(fake, labelled_images(10))
    assert fake.requests == 0


def test_the_cards_weights_are_accepted() -> None:
    fake = FakeTriton(NAME, first_pixel, parameters={WEIGHTS_PARAMETER: DIGEST})
    assert measure(fake, labelled_images(10)) == (10, 10)


def test_another_number_of_classes_is_refused() -> None:
    fake = FakeTriton(NAME, lambda images: np.zeros((len(images), 1000), dtype=np.float32))
    with pytest.raises(EvaluationError, match="1000 classes"):
        measure(fake, labelled_images(10))
