"""The real local Triton serves what is in the zoo folder: a classifier, and a saliency model in batches."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import tritonclient.grpc as triton

from tests.stacks import TRITON_ALONE, Stack, error_line
from tests.unit.deploy.tiny import HEIGHT, WIDTH
from tests.unit.deploy.zoo import LABELS, add_classifier, add_u2net


def ask(address: str, model: str, images: np.ndarray, output: str) -> np.ndarray:
    made = triton.InferInput("image", list(images.shape), "UINT8")
    made.set_data_from_numpy(images)
    with triton.InferenceServerClient(address) as client:
        return np.asarray(client.infer(model, [made], client_timeout=60).as_numpy(output))


def test_the_zoo_is_served_and_followed(fresh_stack: Stack) -> None:
    zoo = fresh_stack.home / "zoo"
    add_classifier(zoo, "tiny_imagenet")
    u2net = add_u2net(zoo)
    started = fresh_stack(*TRITON_ALONE, "--json")
    assert started.returncode == 0, started.stderr
    address = json.loads(started.stdout)["triton"]["grpc"]

    images = np.random.default_rng(5).integers(0, 256, (5, HEIGHT, WIDTH, 3), dtype=np.uint8)
    saliency = ask(address, "u2net", images, "saliency")
    np.testing.assert_allclose(saliency, images[..., 2] / 255, atol=1e-6)
    np.testing.assert_array_equal(ask(address, "u2net", images[3:4], "saliency"), saliency[3:4])
    probabilities = ask(address, "tiny_imagenet", images, "probabilities")
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    with triton.InferenceServerClient(address) as client:
        assert client.is_model_ready("tiny_imagenet_edits")
        assert not client.is_model_ready("u2net_edits")
    targets = tomllib.loads((fresh_stack.home / "targets.toml").read_text())["targets"]
    expected = {"protocol": "kserve-grpc", "address": address, "labels": LABELS, "load_test": True}
    assert targets["tiny_imagenet"] == expected
    assert "u2net" not in targets

    assert "already running" in fresh_stack(*TRITON_ALONE).stdout
    u2net.unlink()
    again = fresh_stack(*TRITON_ALONE)
    assert again.returncode == 0, again.stderr
    assert "the models to serve have changed" in again.stdout
    with triton.InferenceServerClient(fresh_stack.status()["triton"]["grpc"]) as client:
        assert not client.is_model_ready("u2net")
        assert client.is_model_ready("tiny_imagenet")


def test_a_damaged_model_in_the_zoo_is_one_line(fresh_stack: Stack) -> None:
    path = add_classifier(fresh_stack.home / "zoo", "tiny_imagenet")
    path.write_bytes(b"spoilt")

    assert "tiny_imagenet.onnx are not the ones of their card" in error_line(fresh_stack(*TRITON_ALONE))
