"""A model behind KServe's open inference protocol v2, over either client.

Where the server also holds ``NAME_edits``, images travel once a batch and queries as a few edits each (see
:class:`QueryBatch`); anywhere else each query is a whole image. The scores are the same.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.kserve.client import Client, Traffic
from pixelprobe_services.kserve.errors import BadAnswerError, NoAnswerError, RefusedError, where
from pixelprobe_services.kserve.tensors import ModelConfiguration, ModelMetadata, TensorSpec
from pixelprobe_services.orchestrator.targets.adapter import Preprocessing
from pixelprobe_services.orchestrator.targets.answers import (
    Answer,
    Listed,
    check_classes,
    check_probabilities,
)
from pixelprobe_services.orchestrator.targets.backend import Backend, Served
from pixelprobe_services.orchestrator.targets.base import TOP, QueryBatch, Scores, TargetError
from pixelprobe_services.orchestrator.targets.config import TargetConfig

_EDITS_INPUTS = {"images": "UINT8", "image_index": "INT32", "edits": "INT16", "classes": "INT32"}
_EDITS_OUTPUTS = {"class_probabilities": "FP32", "top_classes": "INT32", "top_probabilities": "FP32"}

_DATATYPES = {"uint8": "UINT8", "int8": "INT8", "fp16": "FP16", "fp32": "FP32", "fp64": "FP64"}
_SCORES = ("FP32", "FP64", "FP16")
_LABELS = ("BYTES", "INT64", "INT32", "UINT32", "UINT64", "INT16", "UINT16", "INT8", "UINT8")

WEIGHTS_PARAMETER = "weights_sha256"
"""In a model's configuration: the hash of its file, written by whatever built the repository."""

T = TypeVar("T")


class KServeBackend(Backend):
    """One model of one KServe server."""

    def __init__(self, config: TargetConfig, client: Client) -> None:
        super().__init__()
        self.place = where(config.address, config.model)
        self._config = config
        self._steps = config.steps or Preprocessing()
        self._client = client
        self._input = ""
        self._outputs: tuple[str, ...] = ()
        self._types: dict[str, str] = {}
        self._classes: int | None = None

    def count_into(self, traffic: Traffic) -> None:
        self._client.traffic = traffic

    async def describe(self) -> Served:
        metadata = await self._available_metadata()
        image = self._image(metadata)
        output = self._output(metadata)
        size = self._steps.size_of(image.shape[1:])
        assert size is not None
        known = size if min(size) > 0 else None
        listed = self._config.output_labels is not None
        width = _class_count(output.shape)
        classes = None if listed or self._config.output_kind == "labels" else width
        self._classes = classes
        self._input, self._outputs = image.name, (output.name,)
        if self._config.output_labels:
            self._outputs += (
                self._named(metadata.outputs, self._config.output_labels, "output_labels").name,
            )
        self._types = {spec.name: spec.datatype for spec in metadata.outputs}
        served = await _optional(self._client.configuration(self._config.model)) or ModelConfiguration()
        limit = served.max_batch_size
        return Served(
            size=known,
            classes=classes,
            max_batch=limit if limit > 0 else None,
            fixed_batch=image.shape[0] if image.shape[0] > 0 else None,
            default_top_k=width if listed else None,
            sparse=classes is not None and known is not None and await self._takes_edits(*known),
            weights_sha256=served.parameters.get(WEIGHTS_PARAMETER, ""),
            metadata=_described(metadata, limit),
        )

    async def ready(self) -> bool:
        return await self._client.ready(self._config.model)

    async def ask(self, tensor: NDArray[Any]) -> tuple[str, Answer]:
        answer = await self._client.infer(self._config.model, {self._input: tensor}, self._outputs)
        name = self._outputs[0]
        for output in self._outputs:
            expected = self._types[output]
            if (expected == "BYTES") != (answer[output].dtype == object):
                raise BadAnswerError(f"output '{output}' is {answer[output].dtype}, described as {expected}")
        wanted = _FLOATS.get(self._types[name])
        if wanted is not None and answer[name].dtype != wanted:
            raise BadAnswerError(
                f"output '{name}' is {answer[name].dtype} {list(answer[name].shape)}, expected {wanted}"
                f" {[len(tensor), self._classes]}"
            )
        if len(self._outputs) == 1:
            return name, answer[name]
        labels = answer[self._outputs[1]].reshape(len(tensor), -1).tolist()
        return name, Listed(labels, answer[name].reshape(len(tensor), -1).tolist())

    async def ask_edits(self, batch: QueryBatch) -> Scores:
        inputs: dict[str, NDArray[Any]] = {
            "images": batch.images,
            "image_index": batch.image_index,
            "edits": batch.edits,
            "classes": batch.classes,
        }
        answer = await self._client.infer(_edits_of(self._config.model), inputs, tuple(_EDITS_OUTPUTS))
        assert self._classes is not None
        best = (len(batch), min(TOP, self._classes))
        return Scores(
            class_probabilities=check_probabilities(
                "class_probabilities", answer["class_probabilities"], batch.classes.shape
            ),
            top_classes=check_classes("top_classes", answer["top_classes"], best, self._classes),
            top_probabilities=check_probabilities("top_probabilities", answer["top_probabilities"], best),
        )

    async def close(self) -> None:
        await self._client.close()

    async def _available_metadata(self) -> ModelMetadata:
        try:
            return await self._client.metadata(self._config.model)
        except RefusedError as error:
            # Triton calls a model that it knows but has not loaded (yet) "not found", too.
            if "no available versions" in error.message:
                raise NoAnswerError(error.message) from error
            raise

    def _image(self, metadata: ModelMetadata) -> TensorSpec:
        if self._config.input:
            image = self._named(metadata.inputs, self._config.input, "input")
        elif len(metadata.inputs) != 1:
            raise self._error(
                f"has {len(metadata.inputs)} inputs, expected one: images{_listed(metadata.inputs)}"
            )
        else:
            image = metadata.inputs[0]
        others = [spec for spec in metadata.inputs if spec != image]
        if others:
            raise self._error(f"needs other inputs beside '{image.name}', expected one{_listed(others)}")
        steps = self._steps
        datatype, size = _DATATYPES[steps.dtype], steps.size_of(image.shape[1:])
        fixed = size is not None and (min(size) > 0 or self._config.size or self._config.model_size)
        if image.datatype != datatype or not image.shape or image.shape[0] == 0 or not fixed:
            wanted = ", ".join(map(str, (-1, *_pattern(steps))))
            raise self._error(f"has the input {image}, expected {datatype} [{wanted}]{self._proposal(image)}")
        return image

    def _proposal(self, image: TensorSpec) -> str:
        keys = proposed_keys(image)
        if not keys:
            return ""
        said = ", ".join(f'{key} = "{value}"' for key, value in keys.items())
        return f"; for this input say {said}, and the preprocessing (preset, or scale, mean, std)"

    def _output(self, metadata: ModelMetadata) -> TensorSpec:
        outputs, labels = metadata.outputs, self._config.output_kind == "labels"
        if not outputs:
            raise self._error("has no outputs, expected probabilities")
        if self._config.output:
            output = self._named(outputs, self._config.output, "output")
        elif len(outputs) == 1:
            output = outputs[0]
        else:
            output = self._only_plausible(outputs, _LABELS if labels else _SCORES)
        if labels:
            if output.datatype not in _LABELS or _class_count(output.shape) not in (1, None):
                raise self._error(f"has the output {output}, expected one class index or name an image")
            return output
        classes = _class_count(output.shape)
        unknown = classes is None and not (self._config.labels or self._config.classes)
        if output.datatype not in _SCORES or classes == 0 or unknown:
            also = '; output_kind = "labels" if it answers classes' if output.datatype in _LABELS else ""
            raise self._error(f"has the output {output}, expected FP32, FP64 or FP16 [-1, classes]{also}")
        return output

    def _only_plausible(self, outputs: tuple[TensorSpec, ...], types: tuple[str, ...]) -> TensorSpec:
        wanted = len(self._config.labels) or self._config.classes
        fitting = [spec for spec in outputs if spec.datatype in types]
        if types == _SCORES:
            fitting = [spec for spec in fitting if (_class_count(spec.shape) or 0) > 1]
            exact = [spec for spec in fitting if _class_count(spec.shape) == wanted]
            fitting = exact if wanted and exact else fitting
        if len(fitting) == 1:
            return fitting[0]
        raise self._error(
            f'has {len(outputs)} outputs; say which holds the scores (output = "NAME"){_listed(outputs)}'
        )

    def _named(self, specs: tuple[TensorSpec, ...], name: str, key: str) -> TensorSpec:
        for spec in specs:
            if spec.name == name:
                return spec
        raise self._error(f'has no {key.partition("_")[0]} "{name}" ({key}){_listed(specs)}')

    async def _takes_edits(self, height: int, width: int) -> bool:
        if self._config.sparse == "never":
            return False
        metadata = await _optional(self._client.metadata(_edits_of(self._config.model)))
        if metadata is None:
            return False
        inputs = {spec.name: spec for spec in metadata.inputs}
        outputs = {spec.name: spec.datatype for spec in metadata.outputs}
        return (
            {name: spec.datatype for name, spec in inputs.items()} == _EDITS_INPUTS
            and outputs.items() >= _EDITS_OUTPUTS.items()
            and inputs["images"].shape == (-1, height, width, 3)
            and inputs["edits"].shape == (-1, -1, 5)
        )

    def _error(self, problem: str) -> TargetError:
        return TargetError(f"{self.place}: {problem}")


_FLOATS = {"FP16": np.dtype("<f2"), "FP32": np.dtype("<f4"), "FP64": np.dtype("<f8")}


def proposed_keys(image: TensorSpec) -> dict[str, str]:
    """layout, dtype and channels that fit an input; empty where none do."""
    types = {name: dtype for dtype, name in _DATATYPES.items()}
    shape = image.shape[1:]
    if len(shape) != 3 or image.datatype not in types:
        return {}
    for layout, count in (("nhwc", shape[2]), ("nchw", shape[0])):
        if count in (1, 3):
            keys = {"layout": layout, "dtype": types[image.datatype]}
            return {**keys, "channels": "gray"} if count == 1 else keys
    return {}


async def _optional(question: Awaitable[T]) -> T | None:
    """The answer to something that not every server understands; None when it refuses."""
    try:
        return await question
    except RefusedError:
        return None


def _edits_of(model: str) -> str:
    return f"{model}_edits"


def _pattern(steps: Preprocessing) -> tuple[str | int, ...]:
    count = steps.channel_count
    return ("height", "width", count) if steps.layout == "nhwc" else (count, "height", "width")


def _class_count(shape: tuple[int, ...]) -> int | None:
    """Of [n, classes] and any axes of length 1; None where unknown, 0 where it is no such shape."""
    rest = [size for size in shape[1:] if size != 1]
    if not shape or len(rest) > 1 or (rest and rest[0] < -1):
        return 0
    return 1 if not rest else None if rest[0] == -1 else rest[0]


def _listed(specs: tuple[TensorSpec, ...] | list[TensorSpec]) -> str:
    return "; there are " + ", ".join(str(spec) for spec in specs) if specs else ""


def _described(metadata: ModelMetadata, max_batch: int) -> tuple[str, ...]:
    lines = [f"input {spec}" for spec in metadata.inputs] + [f"output {spec}" for spec in metadata.outputs]
    return (*lines, f"max_batch_size {max_batch}") if max_batch > 0 else tuple(lines)
