"""U2-Net from the authors' PyTorch checkpoint, ``u2net.pth`` or ``u2netp.pth``, to the graph to serve.

The shapes of its tensors decide which of the two networks it is. The graph is accepted only if ONNX Runtime
answers what PyTorch does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from pixelprobe_deploy.modelzoo.onnx_graph import export_graph, finished
from pixelprobe_deploy.modelzoo.pretrained import PretrainedError, read_weights
from pixelprobe_deploy.modelzoo.u2net import MEAN, SIDE, STD, U2NetError, put_into, served_graph
from pixelprobe_deploy.modelzoo.u2net_network import SHAPES, SaliencyNetwork, Shape

TOLERANCE = 1e-3
"""Largest difference of a pixel's saliency between the graph and PyTorch that is accepted."""
COUNTER = "num_batches_tracked"
"""Of batch norm while training; older checkpoints lack it."""


def write_u2net_of(checkpoint: Path, out: Path, report: Callable[[str], None]) -> Path:
    """Write ``u2net.onnx`` to the folder ``out``; ``report`` receives a line before the export.

    Raises:
        U2NetError: the checkpoint cannot be read, is another network's, or the graph departs from the
            network by over TOLERANCE. Nothing was written.
    """
    name, network = read_network(checkpoint)
    report(f"Exporting {name} ...")
    content = served_graph(finished(export_graph(network, SIDE, "fused")), str(checkpoint))
    difference = largest_difference(content, network)
    if not difference <= TOLERANCE:
        raise U2NetError(
            f"{checkpoint}: ONNX Runtime and PyTorch differ by {difference:.1e}, over {TOLERANCE:.0e}; "
            "nothing was written"
        )
    return put_into(out, content)


def read_network(checkpoint: Path) -> tuple[str, SaliencyNetwork]:
    """The checkpoint's network in evaluation mode, and its name: ``U2-Net`` or ``U2-Net-P``.

    Raises:
        U2NetError: no such file, no checkpoint, or another network's.
    """
    try:
        checkpoint.open("rb").close()
        state = read_weights(checkpoint)
    except OSError as error:
        raise U2NetError(f"cannot read {checkpoint}: {error.strerror}") from error
    except PretrainedError as error:
        raise U2NetError(f"{error}: damaged, or another kind of file") from error
    for name, shape in SHAPES.items():
        if _shapes(state) == _shapes(_empty(shape, "meta").state_dict()):
            network = _empty(shape, "cpu")
            network.load_state_dict(state)
            return name, network.eval()
    raise U2NetError(f"{checkpoint} holds another network's weights than {' or '.join(SHAPES)}")


def largest_difference(content: bytes, network: SaliencyNetwork) -> float:
    """Largest difference of a pixel's saliency between the graph to serve and the network.

    On two images at once: coarse blocks of colour, bright and dark.
    """
    blocks = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    images = blocks.repeat(SIDE // 8, axis=1).repeat(SIDE // 8, axis=2)
    images[1] //= 3
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(["saliency"], {"image": images})
    scaled = images / images.max(axis=(1, 2, 3), keepdims=True)
    inputs = ((scaled - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(inputs))[:, 0].numpy()
    return float(np.abs(found - expected).max())


def _empty(shape: Shape, device: str) -> SaliencyNetwork:
    with torch.device(device):
        return SaliencyNetwork(shape)


def _shapes(state: Any) -> dict[str, tuple[int, ...]]:
    """By name; empty for what is no mapping of tensors."""
    if not isinstance(state, Mapping) or not all(torch.is_tensor(value) for value in state.values()):
        return {}
    return {str(name): tuple(value.shape) for name, value in state.items() if COUNTER not in str(name)}
