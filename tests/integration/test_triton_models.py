"""The shipped classifiers in the real Triton: both models of each, asked as any client would."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from pixelprobe_deploy.modelzoo.catalogue import shipped_models

NAMES = ("allconv_cifar10", "nin_cifar10", "vgg16_cifar10")
OUTPUTS = ("probabilities", "class_probabilities", "top_classes", "top_probabilities")
TYPES = {"images": "UINT8", "image_index": "INT32", "edits": "INT16", "classes": "INT32"}
SIDE, CLASSES = 32, 10
MORE_THAN_ONE_PIECE = 130
"""Queries; the backend runs 100 at a time."""

Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def client(local_triton: dict[str, str]) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(local_triton["grpc"]) as opened:
        yield opened


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


def tensor(name: str, kind: str, array: NDArray[Any]) -> triton.InferInput:
    made = triton.InferInput(name, list(array.shape), kind)
    made.set_data_from_numpy(array)
    return made


def ask_whole(client: triton.InferenceServerClient, name: str, images: NDArray[np.uint8]) -> NDArray[Any]:
    answer = client.infer(name, [tensor("image", "UINT8", images)], client_timeout=120)
    return np.asarray(answer.as_numpy("probabilities"))


def ask_sparse(
    client: triton.InferenceServerClient, name: str, queries: Arrays, outputs: tuple[str, ...] = OUTPUTS
) -> Arrays:
    inputs = [tensor(key, TYPES[key], array) for key, array in queries.items()]
    wanted = [triton.InferRequestedOutput(output) for output in outputs]
    answer = client.infer(f"{name}_edits", inputs, outputs=wanted, client_timeout=120)
    return {
        output["name"]: answer.as_numpy(output["name"])
        for output in answer.get_response(as_json=True)["outputs"]
    }


def random_queries(rng: np.random.Generator, count: int, pixels: int = 1) -> Arrays:
    places = np.array([rng.choice(SIDE * SIDE, pixels, replace=False) for _ in range(count)])
    colours = rng.integers(0, 256, (count, pixels, 3))
    edits = np.concatenate([(places % SIDE)[..., None], (places // SIDE)[..., None], colours], axis=2)
    return {
        "images": rng.integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8),
        "image_index": rng.integers(0, 3, count, dtype=np.int32),
        "edits": edits.astype(np.int16),
        "classes": rng.integers(0, CLASSES, (count, 2), dtype=np.int32),
    }


def edited_images(queries: Arrays) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] = queries["images"][queries["image_index"]].copy()
    for image, edits in zip(images, queries["edits"], strict=True):
        for x, y, *colour in edits:
            image[y, x] = colour
    return images


def queries_counted(metrics: str, model: str) -> int:
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(rf'^pixelprobe_queries_total{{model="{model}"}} (\d+)', text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def inferences_counted(client: triton.InferenceServerClient, model: str) -> int:
    (found,) = client.get_inference_statistics(model).model_stats
    return int(found.inference_count)


def test_the_shipped_models_are_the_ones_tested_here() -> None:
    assert tuple(model.name for model in shipped_models()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_both_models_of_each_classifier_are_ready(client: triton.InferenceServerClient, name: str) -> None:
    assert client.is_model_ready(name)
    assert client.is_model_ready(f"{name}_edits")

    whole = client.get_model_metadata(name)
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in whole.inputs] == [
        ("image", "UINT8", [-1, SIDE, SIDE, 3])
    ]
    sparse = client.get_model_metadata(f"{name}_edits")
    assert {tensor.name: tensor.datatype for tensor in sparse.inputs} == TYPES
    assert [tensor.name for tensor in sparse.outputs] == list(OUTPUTS)


@pytest.mark.parametrize("pixels", [1, 3, 5])
@pytest.mark.parametrize("name", NAMES)
def test_sparse_scores_are_those_of_whole_images_to_the_last_bit(
    client: triton.InferenceServerClient, rng: np.random.Generator, name: str, pixels: int
) -> None:
    queries = random_queries(rng, MORE_THAN_ONE_PIECE, pixels)

    whole = ask_whole(client, name, edited_images(queries))
    sparse = ask_sparse(client, name, queries)

    order = np.argsort(-whole, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(sparse["probabilities"], whole)
    np.testing.assert_array_equal(
        sparse["class_probabilities"], np.take_along_axis(whole, queries["classes"], axis=1)
    )
    np.testing.assert_array_equal(sparse["top_classes"], order)
    np.testing.assert_array_equal(sparse["top_probabilities"], np.take_along_axis(whole, order, axis=1))
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_score_does_not_depend_on_its_batch(
    client: triton.InferenceServerClient, rng: np.random.Generator, name: str
) -> None:
    images = rng.integers(0, 256, (37, SIDE, SIDE, 3), dtype=np.uint8)
    together = ask_whole(client, name, images)

    for rows in (slice(0, 1), slice(5, 7), slice(30, 37)):
        np.testing.assert_array_equal(ask_whole(client, name, images[rows]), together[rows])


def test_only_what_is_asked_for_is_answered(
    client: triton.InferenceServerClient, rng: np.random.Generator
) -> None:
    queries = random_queries(rng, 4)

    everything = ask_sparse(client, NAMES[0], queries)
    some = ask_sparse(client, NAMES[0], queries, ("top_classes", "class_probabilities"))

    assert set(some) == {"class_probabilities", "top_classes"}
    for output, array in some.items():
        np.testing.assert_array_equal(array, everything[output])


def test_requests_that_triton_batches_get_their_own_answers(
    client: triton.InferenceServerClient, rng: np.random.Generator
) -> None:
    sizes = [1, 7, 30, 2, 64, 5, 11, 3]
    batches = [rng.integers(0, 256, (size, SIDE, SIDE, 3), dtype=np.uint8) for size in sizes]
    alone = [ask_whole(client, NAMES[1], batch) for batch in batches]

    with ThreadPoolExecutor(len(batches)) as pool:
        at_once = list(pool.map(lambda batch: ask_whole(client, NAMES[1], batch), batches))

    for found, expected in zip(at_once, alone, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_every_query_is_counted(
    client: triton.InferenceServerClient, local_triton: dict[str, str], rng: np.random.Generator
) -> None:
    name, edits = NAMES[0], f"{NAMES[0]}_edits"
    before = {model: queries_counted(local_triton["metrics"], model) for model in (name, edits)}
    inferences = inferences_counted(client, name)

    ask_sparse(client, name, random_queries(rng, MORE_THAN_ONE_PIECE))
    ask_sparse(client, name, random_queries(rng, 3))
    ask_whole(client, name, rng.integers(0, 256, (9, SIDE, SIDE, 3), dtype=np.uint8))

    assert queries_counted(local_triton["metrics"], edits) - before[edits] == MORE_THAN_ONE_PIECE + 3
    assert queries_counted(local_triton["metrics"], name) - before[name] == 9
    assert inferences_counted(client, name) - inferences == 9


def _set(key: str, index: tuple[int, ...], value: int) -> Any:
    def spoil(queries: Arrays) -> None:
        queries[key][index] = value

    return spoil


def _cut(key: str, *rows: slice) -> Any:
    def spoil(queries: Arrays) -> None:
        queries[key] = queries[key][rows]

    return spoil


BAD_QUERIES = {
    "image beyond the last": (_set("image_index", (2,), 3), r"image_index must be 0 to 2; query 2 has 3"),
    "image before the first": (_set("image_index", (0,), -1), r"image_index .*query 0 has -1"),
    "x outside": (_set("edits", (1, 0, 0), 32), r"edits' x must be 0 to 31; query 1 has 32"),
    "y outside": (_set("edits", (3, 0, 1), -1), r"edits' y must be 0 to 31; query 3 has -1"),
    "colour beyond 8 bits": (_set("edits", (3, 0, 4), 256), r"edits' b must be 0 to 255; query 3 has 256"),
    "class that is not there": (_set("classes", (0, 1), 10), r"classes must be 0 to 9; query 0 has 10"),
    "lengths that differ": (_cut("edits", slice(0, 2)), r"differ in length: 4, 2, 4"),
    "no pixel": (_cut("edits", slice(None), slice(0, 0)), r"edits is empty"),
    "no class": (_cut("classes", slice(None), slice(0, 0)), r"classes is empty"),
    "no image": (_cut("images", slice(0, 0)), r"images is empty"),
    "other image size": (_cut("images", slice(None), slice(0, 31)), r"unexpected shape"),
}


@pytest.mark.parametrize("case", BAD_QUERIES)
def test_bad_queries_are_refused_and_the_server_lives_on(
    client: triton.InferenceServerClient, local_triton: dict[str, str], rng: np.random.Generator, case: str
) -> None:
    spoil, message = BAD_QUERIES[case]
    good = random_queries(rng, 4)
    bad = {key: array.copy() for key, array in good.items()}
    spoil(bad)
    before = queries_counted(local_triton["metrics"], f"{NAMES[0]}_edits")

    with pytest.raises(InferenceServerException, match=message) as caught:
        ask_sparse(client, NAMES[0], bad)

    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert queries_counted(local_triton["metrics"], f"{NAMES[0]}_edits") == before
    assert len(ask_sparse(client, NAMES[0], good)["probabilities"]) == 4


def test_bad_queries_do_not_harm_good_ones_beside_them(
    client: triton.InferenceServerClient, rng: np.random.Generator
) -> None:
    good = random_queries(rng, 20)
    expected = ask_sparse(client, NAMES[0], good)["probabilities"]
    bad = {**good, "image_index": good["image_index"] + 3}

    def ask(number: int) -> NDArray[Any] | str:
        try:
            return ask_sparse(client, NAMES[0], bad if number % 2 else good)["probabilities"]
        except InferenceServerException as error:
            return str(error.status())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(16)))

    assert answers[1::2] == ["StatusCode.INVALID_ARGUMENT"] * 8
    for answer in answers[0::2]:
        np.testing.assert_array_equal(answer, expected)
