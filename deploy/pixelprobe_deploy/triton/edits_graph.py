"""ONNX surgery: from a classifier of whole images to one that takes sparse queries.

A sparse query names one of a few images and the pixels to change in it: tens of bytes instead of an image.
The graph makes the edited images and hands them to the classifier as it is, so its scores are those of whole
images, bit for bit. All data stays uint8 up to the classifier: Gather and ScatterND take it on ONNX Runtime's
CPU and CUDA providers alike.

Inputs (M images, N queries of k edits and C classes each; all sizes free but the image's):
    images       UINT8 (M, height, width, 3)
    image_index  INT32 (N,), which image each query edits
    edits        INT16 (N, k, 5), each (x, y, r, g, b); what two edits of different colours on the same pixel
                 give is undefined
    classes      INT32 (N, C), whose probabilities are wanted
Outputs (T = min(5, classes)):
    probabilities        FP32 (N, classes)
    class_probabilities  FP32 (N, C)
    top_classes          INT32 (N, T), best first, among equals the lower index first
    top_probabilities    FP32 (N, T), theirs
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, compose, helper, numpy_helper

from pixelprobe_deploy.triton.contract import CHANNELS, IMAGE, PROBABILITIES, Classifier, ContractError

TOP = 5
PREFIX = "classifier/"
"""Put before every name of the classifier's own graph, so that none can clash with ours."""
OLDEST_OPSET = 13


def edits_graph(classifier: Classifier) -> onnx.ModelProto:
    """The sparse twin of ``classifier``.

    Raises:
        ContractError: the classifier's opset is too old for the added operators.
    """
    opsets = {entry.domain: entry.version for entry in classifier.model.opset_import}
    if opsets.get("", 0) < OLDEST_OPSET:
        raise ContractError(f"{classifier.name}: ONNX opset {OLDEST_OPSET} or newer is needed")
    model: onnx.ModelProto = compose.add_prefix(classifier.model, PREFIX)
    graph = model.graph
    nodes = [*_edit_images(), *graph.node, *_answer()]
    graph.name = f"{classifier.name}_edits"
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.extend(_inputs(classifier))
    graph.output.extend(_outputs(classifier))
    graph.initializer.extend(_constants(classifier))
    onnx.checker.check_model(model, full_check=True)
    return model


def _edit_images() -> list[NodeProto]:
    """From the inputs to the edited images (N, height, width, 3), under the name the classifier reads."""
    node = helper.make_node
    return [
        node("Gather", ["images", "image_index"], ["clean"], axis=0),
        # Where: each edit's (query, y, x), (N, k, 3).
        node("Cast", ["edits"], ["edits_int64"], to=TensorProto.INT64),
        node("Gather", ["edits_int64", "y_and_x"], ["positions"], axis=2),
        node("Shape", ["edits"], ["edits_shape"]),
        node("Gather", ["edits_shape", "first"], ["queries"], axis=0),
        node("Range", ["zero", "queries", "one"], ["query_numbers"]),
        node("Reshape", ["query_numbers", "as_column"], ["query_column"]),
        node("Gather", ["edits_shape", "second"], ["edits_per_query"], axis=0),
        node("Concat", ["single", "edits_per_query", "single"], ["one_row_an_edit"], axis=0),
        node("Expand", ["query_column", "one_row_an_edit"], ["query_of_edit"]),
        node("Concat", ["query_of_edit", "positions"], ["where"], axis=2),
        # What: its colour, (N, k, 3).
        node("Gather", ["edits", "r_g_b"], ["colours_int16"], axis=2),
        node("Cast", ["colours_int16"], ["colours"], to=TensorProto.UINT8),
        node("ScatterND", ["clean", "where", "colours"], [PREFIX + IMAGE]),
    ]


def _answer() -> list[NodeProto]:
    node = helper.make_node
    scores = PREFIX + PROBABILITIES
    return [
        node("Identity", [scores], ["probabilities"]),
        node("Cast", ["classes"], ["classes_int64"], to=TensorProto.INT64),
        node("GatherElements", [scores, "classes_int64"], ["class_probabilities"], axis=1),
        node("TopK", [scores, "top"], ["top_probabilities", "top_int64"], axis=1, largest=1, sorted=1),
        node("Cast", ["top_int64"], ["top_classes"], to=TensorProto.INT32),
    ]


def _constants(classifier: Classifier) -> list[TensorProto]:
    values: dict[str, object] = {
        "y_and_x": [1, 0],
        "r_g_b": [2, 3, 4],
        "first": 0,
        "second": [1],
        "zero": 0,
        "one": 1,
        "single": [1],
        "as_column": [-1, 1, 1],
        "top": [top_count(classifier)],
    }
    return [numpy_helper.from_array(np.array(value, dtype=np.int64), name) for name, value in values.items()]


def top_count(classifier: Classifier) -> int:
    """How many best classes an answer carries."""
    return min(TOP, classifier.classes)


def _inputs(classifier: Classifier) -> list[ValueInfoProto]:
    value = helper.make_tensor_value_info
    return [
        value("images", TensorProto.UINT8, ["M", classifier.height, classifier.width, CHANNELS]),
        value("image_index", TensorProto.INT32, ["N"]),
        value("edits", TensorProto.INT16, ["N", "k", 5]),
        value("classes", TensorProto.INT32, ["N", "C"]),
    ]


def _outputs(classifier: Classifier) -> list[ValueInfoProto]:
    value = helper.make_tensor_value_info
    top = top_count(classifier)
    return [
        value("probabilities", TensorProto.FLOAT, ["N", classifier.classes]),
        value("class_probabilities", TensorProto.FLOAT, ["N", "C"]),
        value("top_classes", TensorProto.INT32, ["N", top]),
        value("top_probabilities", TensorProto.FLOAT, ["N", top]),
    ]
