"""U2-Net as a served model: a given ONNX file, mended for batches, with its preprocessing put in front.

The graph takes ``image`` UINT8 (N, 320, 320, 3) RGB and gives ``saliency`` FP32 (N, 320, 320): the network's
first output as it is, not stretched to 0 to 1. Each image is divided by its own largest value, as the
network was trained. All operators added are the same in every opset since 9, so that the file's
own opset can stay.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import NodeProto, TensorProto, ValueInfoProto, compose, helper, numpy_helper

from pixelprobe_deploy.modelzoo.catalogue import U2NET
from pixelprobe_deploy.modelzoo.errors import ModelZooError
from pixelprobe_services.common.files import replacing

SIDE = 320
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREFIX = "network/"
"""Put before every name of the network's own graph, so that none can clash with ours."""
OLDEST_OPSET = 9


class U2NetError(ModelZooError):
    """A file that is not U2-Net, or cannot be read or fetched; the message names it."""


def write_u2net(source: Path, out: Path) -> Path:
    """Write ``u2net.onnx`` to the folder ``out``, made from U2-Net or U2-Net-P in ``source``.

    Raises:
        U2NetError: the source cannot be read, or is another network.
    """
    try:
        content = source.read_bytes()
    except OSError as error:
        raise U2NetError(f"cannot read {source}: {error.strerror}") from error
    return put_into(out, served_graph(content, str(source)))


def put_into(out: Path, content: bytes) -> Path:
    """Write the graph to serve as ``u2net.onnx`` to the folder ``out``, whole or not at all."""
    target = out / f"{U2NET}.onnx"
    with replacing(target) as file:
        file.write(content)
    return target


def served_graph(content: bytes, origin: str) -> bytes:
    """The network in ``content`` as the graph to serve; ``origin`` names it in messages.

    Raises:
        U2NetError: it is no ONNX file, or another network's.
    """
    try:
        network = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise U2NetError(f"{origin} is not an ONNX file") from error
    taken, given = _ends(network, origin)
    opset = {entry.domain: entry.version for entry in network.opset_import}.get("", 0)
    if opset < OLDEST_OPSET:
        raise U2NetError(f"{origin}: ONNX opset {opset}, needed is {OLDEST_OPSET} or newer")
    del network.graph.value_info[:]  # they fix the batch at 1
    model: onnx.ModelProto = compose.add_prefix(network, PREFIX)
    graph = model.graph
    weights = {weight.name for weight in graph.initializer}
    # Old files list their weights as inputs too.
    listed = [value for value in graph.input if value.name in weights]
    nodes = [*_preprocess(PREFIX + taken), *graph.node, *_answer(PREFIX + given)]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.name = U2NET
    graph.node.extend(nodes)
    value = helper.make_tensor_value_info
    graph.input.extend([value("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3]), *listed])
    graph.output.append(value("saliency", TensorProto.FLOAT, ["N", SIDE, SIDE]))
    graph.initializer.extend(_constants())
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise U2NetError(f"{origin}: not a valid ONNX graph: {str(error).splitlines()[0]}") from error
    return bytes(model.SerializeToString(deterministic=True))


def _ends(network: onnx.ModelProto, origin: str) -> tuple[str, str]:
    """The names of the network's image and of its first output."""
    weights = {weight.name for weight in network.graph.initializer}
    inputs = [value for value in network.graph.input if value.name not in weights]
    outputs = list(network.graph.output)
    if (
        len(inputs) != 1
        or not outputs
        or not _fits(inputs[0], (3, SIDE, SIDE))
        or not _fits(outputs[0], (1, SIDE, SIDE))
    ):
        raise U2NetError(
            f"{origin} is no U2-Net: expected one float input (N, 3, {SIDE}, {SIDE}) and a first output "
            f"(N, 1, {SIDE}, {SIDE})"
        )
    return inputs[0].name, outputs[0].name


def _fits(value: ValueInfoProto, sizes: tuple[int, ...]) -> bool:
    """Whether it is a float tensor of any batch of ``sizes``, as far as the file says (0: it does not)."""
    tensor = value.type.tensor_type
    found = tuple(dim.dim_value for dim in tensor.shape.dim)[1:]
    return (
        tensor.elem_type == TensorProto.FLOAT
        and len(found) == len(sizes)
        and all(one in (0, other) for one, other in zip(found, sizes, strict=True))
    )


def _preprocess(target: str) -> list[NodeProto]:
    node = helper.make_node
    return [
        node("Cast", ["image"], ["image_float"], to=TensorProto.FLOAT),
        node("Transpose", ["image_float"], ["image_nchw"], perm=[0, 3, 1, 2]),
        # The largest value of each image, all colours together; of a black one 1, to divide by.
        node("Reshape", ["image_nchw", "as_one_row"], ["image_row"]),
        node("GlobalMaxPool", ["image_row"], ["image_brightest"]),
        node("Max", ["image_brightest", "least_brightest"], ["image_scale"]),
        node("Div", ["image_nchw", "image_scale"], ["image_scaled"]),
        node("Sub", ["image_scaled", "image_mean"], ["image_centred"]),
        node("Div", ["image_centred", "image_std"], [target]),
    ]


def _answer(source: str) -> list[NodeProto]:
    return [helper.make_node("Reshape", [source, "as_plane"], ["saliency"])]


def _constants() -> list[TensorProto]:
    values = {
        "as_one_row": np.array([0, 1, 1, -1], dtype=np.int64),
        "as_plane": np.array([0, SIDE, SIDE], dtype=np.int64),
        "least_brightest": np.float32(1),
        "image_mean": np.array(MEAN, dtype=np.float32).reshape(1, 3, 1, 1),
        "image_std": np.array(STD, dtype=np.float32).reshape(1, 3, 1, 1),
    }
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
