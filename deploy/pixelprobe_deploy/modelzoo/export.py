"""Checkpoint to ONNX under the input contract that all targets share.

The graph takes ``image`` UINT8 (N, 32, 32, 3) RGB and gives ``probabilities`` FP32 (N, 10): cast, transpose,
scaling, normalisation, the network without batch norm, and softmax are all inside. Weights are rounded to
float16 and stored so, each followed by a Cast to float32: half the file, float32 arithmetic. The same
checkpoint exported with the same versions gives the same bytes.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pixelprobe_deploy.modelzoo.architectures import ARCHITECTURES, fold_batch_norm
from pixelprobe_deploy.modelzoo.card import Card, Tensor, Training, TrainingData, save_card
from pixelprobe_deploy.modelzoo.datasets import CIFAR10_CLASSES, SIDE, LabelledImages
from pixelprobe_deploy.modelzoo.errors import ModelZooError
from pixelprobe_deploy.modelzoo.onnx_graph import (
    Preprocessing,
    exported,
    finished,
    insert_first,
    prepend_preprocessing,
)
from pixelprobe_deploy.modelzoo.recipe import CIFAR10_MEAN, CIFAR10_STD, Recipe
from pixelprobe_deploy.modelzoo.train import load_checkpoint, normalise, planned_steps

PREPROCESSING = Preprocessing(SIDE, CIFAR10_MEAN, CIFAR10_STD)
"""The same arithmetic as :func:`train.normalise`."""
TOLERANCE = 1e-5
"""Largest difference of a probability between the exported graph and PyTorch that is accepted."""


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
        raise ExportError(f"{checkpoint} was not trained on a data set of {len(data.images)} images")
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
    model = exported(network, SIDE)
    _store_as_float16(model.graph)
    prepend_preprocessing(model.graph, PREPROCESSING)
    return finished(model)


def largest_difference(content: bytes, network: nn.Sequential, images: int = 64) -> float:
    """Largest difference of a probability between the ONNX model and the network.

    The images are random: every other one noise, which networks take for the same class, and the rest
    coarse blocks of colour, which they do not.
    """
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 256, (images, SIDE, SIDE, 3), dtype=np.uint8)
    blocks = rng.integers(0, 256, (len(batch[::2]), 4, 4, 3), dtype=np.uint8)
    batch[::2] = blocks.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)
    (found,) = session.run(["probabilities"], {"image": batch})
    with torch.inference_mode():
        inputs = normalise(torch.from_numpy(batch).permute(0, 3, 1, 2))
        expected = network(inputs).softmax(dim=1).numpy()
    return float(np.abs(found - expected).max())


def _network(recipe: Recipe, state: dict[str, Any]) -> nn.Sequential:
    network = ARCHITECTURES[recipe.architecture](dropout=recipe.dropout)
    network.load_state_dict(state["network"])
    return network


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
    insert_first(graph, casts)
