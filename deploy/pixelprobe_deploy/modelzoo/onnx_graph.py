"""From a PyTorch network to an ONNX graph under the input contract: what all exports share.

The graph takes ``image`` UINT8 (N, side, side, 3) RGB and gives ``probabilities`` FP32 (N, classes): cast,
transpose, scaling, normalisation and softmax are inside.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

# Opset 18 in IR version 8 is read by every ONNX Runtime since 1.14, so by any Triton in use.
OPSET, IR_VERSION = 18, 8


@dataclass(frozen=True)
class Preprocessing:
    """What a network takes: ``(pixel / full_scale - mean) / std``, channel by channel."""

    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    full_scale: float = 255


def exported(network: nn.Module, side: int) -> onnx.ModelProto:
    """The network and a softmax, from "normalised" to "probabilities"."""
    return export_graph(nn.Sequential(network, nn.Softmax(dim=1)), side, "probabilities")


def export_graph(network: nn.Module, side: int, output: str) -> onnx.ModelProto:
    """PyTorch's own export of the network in evaluation mode, from "normalised" to ``output``, N free."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's notes about itself
        program = torch.onnx.export(
            network.eval(),
            (torch.zeros(2, 3, side, side),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["normalised"],
            output_names=[output],
            dynamic_shapes=({0: torch.export.Dim("N")},),
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _strip_traces(model)
    return model


def _strip_traces(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes about its run (paths, source lines): it is neither ours nor stable."""
    graph = model.graph
    del graph.value_info[:]
    parts: tuple[Any, ...] = (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer)
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""


def prepend_preprocessing(graph: onnx.GraphProto, preprocessing: Preprocessing) -> None:
    """Turn the input "normalised" into ``image``."""
    side = preprocessing.side
    constants = {
        "image_full_scale": np.float32(preprocessing.full_scale),
        "image_mean": np.array(preprocessing.mean, dtype=np.float32).reshape(1, 3, 1, 1),
        "image_std": np.array(preprocessing.std, dtype=np.float32).reshape(1, 3, 1, 1),
    }
    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    nodes = [
        helper.make_node("Cast", ["image"], ["image_float"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["image_float"], ["image_nchw"], "to_nchw", perm=[0, 3, 1, 2]),
        helper.make_node("Div", ["image_nchw", "image_full_scale"], ["image_scaled"], "scale"),
        helper.make_node("Sub", ["image_scaled", "image_mean"], ["image_centred"], "centre"),
        helper.make_node("Div", ["image_centred", "image_std"], ["normalised"], "normalise"),
    ]
    insert_first(graph, nodes)
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", side, side, 3])
    graph.input[0].CopyFrom(image)


def finished(model: onnx.ModelProto) -> bytes:
    """The model checked and serialised; the same model gives the same bytes."""
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "pixelprobe", ""
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def insert_first(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Put ``nodes`` before all others: a graph's nodes stand in the order of their running."""
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
