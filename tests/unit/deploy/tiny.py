"""A classifier small enough to run in onnx's reference evaluator, that keeps the input contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

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


def write_model(path: Path, model: onnx.ModelProto) -> Path:
    """Save ``model`` and return the path."""
    path.write_bytes(model.SerializeToString())
    return path
