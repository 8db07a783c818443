"""The real U2-Net-P: as served it gives what the original graph gives, in batches as one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from pixelprobe_deploy.modelzoo.u2net import MEAN, SIDE, STD, write_u2net
from pixelprobe_deploy.modelzoo.u2net_package import fetch_u2netp

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fetch_u2netp(tmp_path_factory.mktemp("u2net"))


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """A bright disc, a dark square on noise, and black, (3, 320, 320, 3)."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    made = np.random.default_rng(2).integers(0, 60, (3, SIDE, SIDE, 3), dtype=np.uint8)
    made[0][(rows - 150) ** 2 + (columns - 180) ** 2 < 80**2] = (230, 120, 40)
    made[1][90:200, 60:170] = (10, 90, 20)
    made[2] = 0
    return made


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_saliency_is_that_of_the_original_graph(
    original: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    (found,) = session(write_u2net(original, tmp_path)).run(None, {"image": images})

    assert (found.shape, found.dtype) == ((3, SIDE, SIDE), np.float32)
    network = session(original)
    for image, saliency in zip(images, found, strict=True):
        scaled = ((image / max(image.max(), 1)) - MEAN) / STD
        inputs = scaled.transpose(2, 0, 1)[None].astype(np.float32)
        first = network.run(None, {network.get_inputs()[0].name: inputs})[0]
        assert np.abs(first[0, 0] - saliency).max() < 1e-3
    assert found[0, 150, 180] > 0.9, "the disc is not seen"
    assert found[0, 10, 10] < 0.1


def test_a_batch_gives_what_its_images_give_alone(
    original: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    served = session(write_u2net(original, tmp_path))
    (together,) = served.run(None, {"image": images})
    for index in range(len(images)):
        (alone,) = served.run(None, {"image": images[index : index + 1]})
        assert np.abs(alone[0] - together[index]).max() < 1e-5
