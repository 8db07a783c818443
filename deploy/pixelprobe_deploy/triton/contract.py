"""The input contract that every model keeps, read from its ONNX file.

Input ``image`` UINT8 (N, height, width, 3) RGB, N free. A classifier gives ``probabilities`` FP32
(N, classes), a saliency model ``saliency`` FP32 (N, height, width).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

IMAGE, PROBABILITIES, SALIENCY = "image", "probabilities", "saliency"
CHANNELS = 3


class ContractError(Exception):
    """An ONNX file that cannot be read or does not keep the contract; the message names the file."""


@dataclass(frozen=True)
class Classifier:
    """An ONNX file that keeps the contract. ``content`` is the file, ``model`` the same, parsed."""

    name: str
    content: bytes
    model: onnx.ModelProto
    width: int
    height: int
    classes: int


@dataclass(frozen=True)
class SaliencyModel:
    """An ONNX file that gives each pixel's saliency. ``content`` is the file."""

    name: str
    content: bytes
    width: int
    height: int


def read_model(name: str, path: Path) -> Classifier | SaliencyModel:
    """Read ``path``; its output's name decides which contract it must keep.

    Raises:
        ContractError: unreadable, not ONNX, or with other inputs or outputs.
    """
    content, model = _load(path)
    if [value.name for value in model.graph.output] == [SALIENCY]:
        return _saliency_model(name, path, content, model)
    return _classifier(name, path, content, model)


def _load(path: Path) -> tuple[bytes, onnx.ModelProto]:
    try:
        content = path.read_bytes()
        model = onnx.load_model_from_string(content)
    except OSError as error:
        raise ContractError(f"cannot read {path}: {error.strerror}") from error
    except DecodeError as error:
        raise ContractError(f"{path} is not an ONNX file") from error
    return content, model


def _classifier(name: str, path: Path, content: bytes, model: onnx.ModelProto) -> Classifier:
    image = _image_shape(path, model)
    probabilities = _shape(path, list(model.graph.output), PROBABILITIES, TensorProto.FLOAT, rank=2)
    if image[0] or probabilities[0] or not all((*image[1:], *probabilities[1:])) or image[3] != CHANNELS:
        raise ContractError(
            f"{path}: shapes must be {IMAGE} (N, height, width, {CHANNELS}) and {PROBABILITIES} (N, classes) "
            f"with only N free; found {image} and {probabilities} (0: free)"
        )
    return Classifier(name, content, model, width=image[2], height=image[1], classes=probabilities[1])


def _saliency_model(name: str, path: Path, content: bytes, model: onnx.ModelProto) -> SaliencyModel:
    image = _image_shape(path, model)
    saliency = _shape(path, list(model.graph.output), SALIENCY, TensorProto.FLOAT, rank=3)
    if image[0] or not all(image[1:]) or image[3] != CHANNELS or saliency != image[:3]:
        raise ContractError(
            f"{path}: shapes must be {IMAGE} (N, height, width, {CHANNELS}) and {SALIENCY} "
            f"(N, height, width) with only N free; found {image} and {saliency} (0: free)"
        )
    return SaliencyModel(name, content, width=image[2], height=image[1])


def _image_shape(path: Path, model: onnx.ModelProto) -> tuple[int, ...]:
    weights = {weight.name for weight in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    return _shape(path, inputs, IMAGE, TensorProto.UINT8, rank=4)


def _shape(
    path: Path, values: list[onnx.ValueInfoProto], name: str, element: int, rank: int
) -> tuple[int, ...]:
    """The sizes of the one value in ``values``, which must be called ``name``; 0 where the size is free."""
    kind = TensorProto.DataType.Name(element)
    if [value.name for value in values] != [name]:
        found = ", ".join(value.name for value in values) or "none"
        raise ContractError(f"{path}: expected the single tensor {name!r} there, found {found}")
    tensor = values[0].type.tensor_type
    if tensor.elem_type != element or len(tensor.shape.dim) != rank:
        raise ContractError(f"{path}: {name} must be a {kind} tensor of rank {rank}")
    return tuple(dim.dim_value for dim in tensor.shape.dim)
