"""Model configurations: typed and checked here, written through Triton's own protobuf."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

HEADER = "# Written by pixelprobe (deploy/triton); changes are overwritten.\n"
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class ConfigError(ValueError):
    """A model configuration that Triton would refuse or misread."""


class Backend(StrEnum):
    """Which of Triton's backends runs the ONNX file."""

    PYTHON = "python"
    """ONNX Runtime inside the Python backend, on the CPU: needs no more than the PyPI wheel."""
    ONNXRUNTIME = "onnxruntime"
    """Triton's own ONNX Runtime backend, on GPUs: comes with NVIDIA's image."""


class DataType(StrEnum):
    """The tensor types in use here; the values are Triton's names."""

    UINT8 = "TYPE_UINT8"
    INT16 = "TYPE_INT16"
    INT32 = "TYPE_INT32"
    FP32 = "TYPE_FP32"


@dataclass(frozen=True)
class Tensor:
    """An input or output. ``dims`` leaves out the batch dimension where the model has one; -1 is any size."""

    name: str
    data_type: DataType
    dims: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a tensor needs a name")
        if not self.dims or any(dim < 1 and dim != -1 for dim in self.dims):
            raise ConfigError(f"tensor {self.name}: dims {list(self.dims)} must be positive, or -1 for any")


@dataclass(frozen=True)
class Sample:
    """A request that Triton makes to itself while it loads the model; all its data is zero.

    ``dims`` of every input, free ones filled in. Like those of a Tensor they leave out the batch dimension,
    of which there are ``batch_size``; 1 where the model has none.
    """

    name: str
    batch_size: int
    dims: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Accelerator:
    """What ONNX Runtime runs on GPUs beside CUDA, with its options; the names are Triton's."""

    name: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class ModelSpec:
    """One model of the repository.

    Attributes:
        name: folder and model name.
        backend: decides the kind of instance as well: Python on the CPU, ONNX Runtime on GPUs.
        inputs, outputs: without the batch dimension when ``max_batch_size`` > 0.
        max_batch_size: 0 means that requests are never batched and shapes are taken as they stand.
        max_queue_delay_microseconds: how long Triton may hold a request back to fill a batch.
        instances: on the CPU, or on each GPU.
        parameters: handed to the backend as they are.
        warm_up: Triton calls the model ready only after these.
        accelerators: for GPUs alone.
    """

    name: str
    backend: Backend
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 0
    max_queue_delay_microseconds: int = 0
    instances: int = 1
    parameters: Mapping[str, str] = field(default_factory=dict)
    warm_up: tuple[Sample, ...] = ()
    accelerators: tuple[Accelerator, ...] = ()

    def __post_init__(self) -> None:
        if not NAME_PATTERN.fullmatch(self.name):
            raise ConfigError(f"{self.name!r} is no model name: letters, digits, '_', '.' and '-' only")
        if not self.inputs or not self.outputs:
            raise ConfigError(f"{self.name}: a model needs inputs and outputs")
        for tensors in (self.inputs, self.outputs):
            names = [tensor.name for tensor in tensors]
            if len(set(names)) != len(names):
                raise ConfigError(f"{self.name}: tensor names repeat: {', '.join(names)}")
        if self.max_batch_size < 0 or self.max_queue_delay_microseconds < 0 or self.instances < 1:
            raise ConfigError(f"{self.name}: batch size and delay must not be negative, instances at least 1")
        if self.max_queue_delay_microseconds and not self.max_batch_size:
            raise ConfigError(f"{self.name}: a queue delay without batching has no meaning")
        if self.accelerators and self.backend is not Backend.ONNXRUNTIME:
            raise ConfigError(f"{self.name}: accelerators are for GPUs, with the onnxruntime backend")
        for sample in self.warm_up:
            self._check(sample)

    def _check(self, sample: Sample) -> None:
        if not 1 <= sample.batch_size <= max(1, self.max_batch_size):
            raise ConfigError(f"{self.name}: a warm-up of {sample.batch_size} at once is not what it takes")
        if sample.dims.keys() != {tensor.name for tensor in self.inputs}:
            raise ConfigError(f"{self.name}: a warm-up must give each input, and no other")
        for tensor in self.inputs:
            given = sample.dims[tensor.name]
            fits = len(given) == len(tensor.dims) and all(
                size >= 1 and dim in (-1, size) for size, dim in zip(given, tensor.dims, strict=True)
            )
            if not fits:
                raise ConfigError(
                    f"{self.name}: a warm-up of shape {list(given)} does not fit input {tensor.name}"
                )


def to_protobuf(spec: ModelSpec) -> model_config_pb2.ModelConfig:
    """The model's configuration as Triton's message."""
    config = model_config_pb2.ModelConfig(
        name=spec.name, backend=spec.backend.value, max_batch_size=spec.max_batch_size
    )
    for tensors, target in ((spec.inputs, config.input), (spec.outputs, config.output)):
        for tensor in tensors:
            data_type = model_config_pb2.DataType.Value(tensor.data_type.value)
            target.add(name=tensor.name, data_type=data_type, dims=tensor.dims)
    if spec.max_batch_size:
        config.dynamic_batching.max_queue_delay_microseconds = spec.max_queue_delay_microseconds
        config.dynamic_batching.SetInParent()
    group = model_config_pb2.ModelInstanceGroup
    kind = group.KIND_CPU if spec.backend is Backend.PYTHON else group.KIND_GPU
    config.instance_group.add(kind=kind, count=spec.instances)
    if spec.backend is Backend.ONNXRUNTIME:
        config.default_model_filename = "model.onnx"
    for accelerator in spec.accelerators:
        config.optimization.execution_accelerators.gpu_execution_accelerator.add(
            name=accelerator.name, parameters=accelerator.parameters
        )
    types = {tensor.name: tensor.data_type.value for tensor in spec.inputs}
    for sample in spec.warm_up:
        request = config.model_warmup.add(name=sample.name, batch_size=sample.batch_size)
        for name, dims in sample.dims.items():
            data_type = model_config_pb2.DataType.Value(types[name])
            request.inputs[name].MergeFrom(
                model_config_pb2.ModelWarmup.Input(data_type=data_type, dims=dims, zero_data=True)
            )
    for key, value in spec.parameters.items():
        config.parameters[key].string_value = value
    return config


def to_text(spec: ModelSpec) -> str:
    """The contents of ``config.pbtxt``."""
    return HEADER + text_format.MessageToString(to_protobuf(spec))
