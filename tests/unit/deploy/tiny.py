"""Models small enough to run in onnx's reference evaluator, that keep the input contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pixelprobe_deploy.triton.contract import Classifier, read_model

HEIGHT, WIDTH = 4, 6  # not square, so that x and y cannot be mixed up unnoticed


def tiny_model(classes: int = 7, *, seed: int = 0, opset: int = 18) -> onnx.ModelProto:
    """Softmax of a linear map: every pixel and colour counts, each differently."""
    weights = np.random.default_rng(seed).normal(0, 0.01, (HEIGHT * WIDTH * 3, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def tiny_saliency_model(height: int = HEIGHT, width: int = WIDTH) -> onnx.ModelProto:
    """Each pixel's blue, from 0 to 1."""
    blue = numpy_helper.from_array(np.array(2, dtype=np.int64), "blue")
    full = numpy_helper.from_array(np.array(255, dtype=np.float32), "full")
    nodes = [
        helper.make_node("Gather", ["image", "blue"], ["plane"], axis=3),
        helper.make_node("Cast", ["plane"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "full"], ["saliency"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny_saliency",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", height, width, 3])],
        [helper.make_tensor_value_info("saliency", TensorProto.FLOAT, ["N", height, width])],
        [blue, full],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def write_model(path: Path, model: onnx.ModelProto) -> Path:
    """Save ``model`` and return the path."""
    path.write_bytes(model.SerializeToString())
    return path


def read_classifier(name: str, path: Path) -> Classifier:
    found = read_model(name, path)
    assert isinstance(found, Classifier)
    return found
