from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pixelprobe_deploy.triton.contract import Classifier, ContractError
from pixelprobe_deploy.triton.edits_graph import edits_graph
from tests.unit.deploy.tiny import HEIGHT, WIDTH, read_classifier, tiny_model, write_model

OUTPUTS = ("probabilities", "class_probabilities", "top_classes", "top_probabilities")


def classifier(model: onnx.ModelProto) -> Classifier:
    classes = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    return Classifier("tiny", model.SerializeToString(), model, WIDTH, HEIGHT, classes)


def sparse_scores(model: onnx.ModelProto, queries: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    graph = edits_graph(classifier(model))
    return dict(zip(OUTPUTS, ReferenceEvaluator(graph).run(list(OUTPUTS), queries), strict=True))


def random_queries(
    rng: np.random.Generator, count: int, pixels: int, classes: int
) -> dict[str, NDArray[Any]]:
    places = np.array([rng.choice(HEIGHT * WIDTH, pixels, replace=False) for _ in range(count)])
    colours = rng.integers(0, 256, (count, pixels, 3))
    edits = np.concatenate([(places % WIDTH)[..., None], (places // WIDTH)[..., None], colours], axis=2)
    return {
        "images": rng.integers(0, 256, (3, HEIGHT, WIDTH, 3), dtype=np.uint8),
        "image_index": rng.integers(0, 3, count, dtype=np.int32),
        "edits": edits.astype(np.int16),
        "classes": rng.integers(0, classes, (count, 2), dtype=np.int32),
    }


def edited_images(queries: dict[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """The same edits, the plain way."""
    images: NDArray[np.uint8] = queries["images"][queries["image_index"]].copy()
    for image, edits in zip(images, queries["edits"], strict=True):
        for x, y, *colour in edits:
            image[y, x] = colour
    return images


def whole_scores(model: onnx.ModelProto, images: NDArray[np.uint8]) -> NDArray[Any]:
    (scores,) = ReferenceEvaluator(model).run(["probabilities"], {"image": images})
    return np.asarray(scores)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 6), pixels=st.sampled_from([1, 3, 5]))
def test_sparse_scores_are_those_of_whole_images(seed: int, count: int, pixels: int) -> None:
    model = tiny_model()
    queries = random_queries(np.random.default_rng(seed), count, pixels, classes=7)

    found = sparse_scores(model, queries)

    whole = whole_scores(model, edited_images(queries))
    order = np.argsort(-whole, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(found["probabilities"], whole)
    np.testing.assert_array_equal(
        found["class_probabilities"], np.take_along_axis(whole, queries["classes"], axis=1)
    )
    np.testing.assert_array_equal(found["top_classes"], order)
    np.testing.assert_array_equal(found["top_probabilities"], np.take_along_axis(whole, order, axis=1))


def test_a_model_of_few_classes_answers_with_all_of_them() -> None:
    queries = random_queries(np.random.default_rng(1), count=4, pixels=1, classes=3)

    found = sparse_scores(tiny_model(classes=3), queries)

    assert found["top_classes"].shape == found["top_probabilities"].shape == (4, 3)
    assert {name: array.dtype for name, array in found.items()} == {
        "probabilities": np.float32,
        "class_probabilities": np.float32,
        "top_classes": np.int32,
        "top_probabilities": np.float32,
    }


def test_among_equals_the_lower_class_comes_first() -> None:
    model = tiny_model()
    (weights,) = model.graph.initializer
    weights.CopyFrom(numpy_helper.from_array(np.zeros((HEIGHT * WIDTH * 3, 7), np.float32), "weights"))

    found = sparse_scores(model, random_queries(np.random.default_rng(2), 2, 1, classes=7))

    np.testing.assert_array_equal(found["top_classes"], [[0, 1, 2, 3, 4]] * 2)


def test_inputs_and_outputs_are_those_that_clients_know() -> None:
    graph = edits_graph(classifier(tiny_model())).graph

    types = {value.name: value.type.tensor_type for value in [*graph.input, *graph.output]}
    shapes = {
        name: (
            TensorProto.DataType.Name(found.elem_type),
            [dim.dim_param or dim.dim_value for dim in found.shape.dim],
        )
        for name, found in types.items()
    }
    assert shapes == {
        "images": ("UINT8", ["M", HEIGHT, WIDTH, 3]),
        "image_index": ("INT32", ["N"]),
        "edits": ("INT16", ["N", "k", 5]),
        "classes": ("INT32", ["N", "C"]),
        "probabilities": ("FLOAT", ["N", 7]),
        "class_probabilities": ("FLOAT", ["N", "C"]),
        "top_classes": ("INT32", ["N", 5]),
        "top_probabilities": ("FLOAT", ["N", 5]),
    }


def test_a_classifier_may_use_our_names_inside() -> None:
    model = tiny_model()
    for node in model.graph.node:  # "clean" and "where" are names of the added graph as well
        node.input[:] = ["clean" if name == "float" else name for name in node.input]
        node.output[:] = ["clean" if name == "float" else name for name in node.output]
    queries = random_queries(np.random.default_rng(3), count=2, pixels=3, classes=7)

    found = sparse_scores(model, queries)

    whole = whole_scores(model, edited_images(queries))
    np.testing.assert_array_equal(found["probabilities"], whole)


def test_the_classifier_itself_is_left_as_it_was() -> None:
    model = tiny_model()
    before = model.SerializeToString(deterministic=True)

    edits_graph(classifier(model))

    assert model.SerializeToString(deterministic=True) == before


def test_an_old_opset_is_refused() -> None:
    with pytest.raises(ContractError, match="opset 13"):
        edits_graph(classifier(tiny_model(opset=12)))


def test_contract_is_read_from_the_file(tmp_path: Path) -> None:
    found = read_classifier("tiny", write_model(tmp_path / "tiny.onnx", tiny_model()))

    assert (found.name, found.width, found.height, found.classes) == ("tiny", WIDTH, HEIGHT, 7)


def _float_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def _fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _four_channels(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 4


def _other_name(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "scores"


def _second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.UINT8, ["N"]))


@pytest.mark.parametrize("spoil", [_float_input, _fixed_batch, _four_channels, _other_name, _second_input])
def test_files_that_break_the_contract_are_refused_by_name(tmp_path: Path, spoil: Any) -> None:
    model = tiny_model()
    spoil(model)
    path = write_model(tmp_path / "broken.onnx", model)

    with pytest.raises(ContractError, match=r"broken\.onnx"):
        read_classifier("broken", path)


def test_files_that_are_no_onnx_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")

    with pytest.raises(ContractError, match=r"text\.onnx is not an ONNX file"):
        read_classifier("text", tmp_path / "text.onnx")
    with pytest.raises(ContractError, match="No such file"):
        read_classifier("absent", tmp_path / "absent.onnx")
