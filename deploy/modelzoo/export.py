"""Checkpoint to ONNX under the input contract that all targets share.

The graph takes ``image`` UINT8 (N, 32, 32, 3) RGB and gives ``probabilities`` FP32 (N, 10): cast, transpose,
scaling, normalisation, the network without batch norm, and softmax are all inside. Weights are rounded to
float16 and stored so, each followed by a Cast to float32: half the file, float32 arithmetic. The same
checkpoint exported with the same versions gives the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from deploy.modelzoo.architectures import ARCHITECTURES, fold_batch_norm
from deploy.modelzoo.card import Card, Tensor, Training, TrainingData, save_card
from deploy.modelzoo.datasets import CIFAR10_CLASSES, SIDE, LabelledImages
from deploy.modelzoo.errors import ModelZooError
from deploy.modelzoo.recipe import CIFAR10_MEAN, CIFAR10_STD, Recipe
from deploy.modelzoo.train import load_checkpoint, normalise, planned_steps

# Opset 18 in IR version 8 is read by every ONNX Runtime since 1.14, so by any Triton in use.
OPSET, IR_VERSION = 18, 8
TOLERANCE = 1e-5
"""Largest difference of a probability between the exported graph and PyTorch that is let through."""


class ExportError(ModelZooError):
    """The checkpoint cannot be exported, or the exported graph is not the network; nothing was written."""


def export(architecture: str, checkpoint: Path, out: Path, data: LabelledImages | None = None) -> Card:
    """Write ``NAME.onnx``, ``NAME.json`` and ``NAME.md`` to ``out``, NAME being ``ARCHITECTURE_cifar10``.

    ``data`` is what the network was trained on, for the card to describe.

    Raises:
        ExportError: it is another network's checkpoint, it was not trained on ``data``, or the graph
            departs from the network by over TOLERANCE. Nothing was written.
        CheckpointError: the checkpoint cannot be read.
    """
    state = load_checkpoint(checkpoint)
    recipe = Recipe(**state["recipe"])
    if recipe.architecture != architecture:
        raise ExportError(f"{checkpoint} is a checkpoint of {recipe.architecture}, not of {architecture}")
    steps = Training(state["step"], state["planned_steps"])
    if data and planned_steps(recipe, len(data.images)) != steps.planned_steps:
        raise ExportError(f"{checkpoint} was not trained on a data set of {len(data.images)} pictures")
    network = half_precision_weights(fold_batch_norm(_network(recipe, state)))
    content = to_onnx(network)
    difference = largest_difference(content, network)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{architecture}: ONNX Runtime and PyTorch differ by {difference:.1e}, over {TOLERANCE:.0e}; "
            "nothing was written"
        )
    name = f"{architecture}_cifar10"
    card = Card(
        name=name,
        architecture=architecture,
        file=f"{name}.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        labels=list(CIFAR10_CLASSES),
        width=SIDE,
        height=SIDE,
        input=Tensor("image", "UINT8", ["N", SIDE, SIDE, 3], "RGB, 0 to 255, row by row"),
        output=Tensor("probabilities", "FP32", ["N", len(CIFAR10_CLASSES)], "softmax, one per class"),
        recipe=state["recipe"],
        training=steps,
        data=TrainingData(
            "CIFAR-10", "train", len(data.images) if data else None, data.encoding if data else None
        ),
        versions={name: version(name) for name in ("torch", "onnx", "onnxruntime")},
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / card.file).write_bytes(content)
    save_card(card, out)
    return card


def half_precision_weights(network: nn.Sequential) -> nn.Sequential:
    """Round every parameter in place to the nearest float16 value (kept as float32), and return the network.

    Raises:
        ExportError: a weight is too large for float16, or not a number.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(parameter.half().float())
            if not torch.isfinite(parameter).all():
                raise ExportError(f"the weights {name} do not fit in float16; did the training diverge?")
    return network


def to_onnx(network: nn.Sequential) -> bytes:
    """The network, folded and rounded, as a serialised ONNX model under the contract."""
    model = _exported(network)
    graph = model.graph
    _store_as_float16(graph)
    _prepend_preprocessing(graph)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "pixelprobe", ""
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def largest_difference(content: bytes, network: nn.Sequential, images: int = 64) -> float:
    """Largest difference of a probability between the ONNX model and the network.

    The pictures are random: every other one noise, which networks take for the same class, and the rest
    coarse blocks of colour, which they do not.
    """
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (images, SIDE, SIDE, 3), dtype=np.uint8)
    blocks = rng.integers(0, 256, (len(pictures[::2]), 4, 4, 3), dtype=np.uint8)
    pictures[::2] = blocks.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)
    (found,) = session.run(["probabilities"], {"image": pictures})
    with torch.inference_mode():
        inputs = normalise(torch.from_numpy(pictures).permute(0, 3, 1, 2))
        expected = network(inputs).softmax(dim=1).numpy()
    return float(np.abs(found - expected).max())


def _network(recipe: Recipe, state: dict[str, Any]) -> nn.Sequential:
    network = ARCHITECTURES[recipe.architecture](dropout=recipe.dropout)
    network.load_state_dict(state["network"])
    return network


def _exported(network: nn.Sequential) -> onnx.ModelProto:
    """PyTorch's own export of the network and a softmax, from "normalised" to "probabilities"."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter's notes about itself
        program = torch.onnx.export(
            nn.Sequential(network, nn.Softmax(dim=1)),
            (torch.zeros(2, 3, SIDE, SIDE),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["normalised"],
            output_names=["probabilities"],
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


def _store_as_float16(graph: onnx.GraphProto) -> None:
    """Replace each float32 weight W by a float16 one and a Cast that gives W back.

    Raises:
        ExportError: a weight is no float16 number, so the cast would not give it back.
    """
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(weight)
        halved = values.astype(np.float16)
        if not np.array_equal(halved.astype(np.float32), values):
            raise ExportError(f"the weights {weight.name} are not float16 numbers: round them first")
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(halved, f"{name}.float16"))
        casts.append(helper.make_node("Cast", [weight.name], [name], f"{name}.cast", to=TensorProto.FLOAT))
    _insert_first(graph, casts)


def _prepend_preprocessing(graph: onnx.GraphProto) -> None:
    """Turn the input "normalised" into ``image``: the same arithmetic as :func:`train.normalise`."""
    constants = {
        "image_full_scale": np.float32(255),
        "image_mean": np.array(CIFAR10_MEAN, dtype=np.float32).reshape(1, 3, 1, 1),
        "image_std": np.array(CIFAR10_STD, dtype=np.float32).reshape(1, 3, 1, 1),
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
    _insert_first(graph, nodes)
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3])
    graph.input[0].CopyFrom(image)


def _insert_first(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
