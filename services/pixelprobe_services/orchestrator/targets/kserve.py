"""A model behind KServe's open inference protocol v2, whichever way its messages travel.

What is asked and what is believed is here, once. The transports (gRPC, HTTP) only carry tensors. Where the
server also holds ``NAME_edits``, images travel once a batch and queries as a few edits each (see
:class:`QueryBatch`); anywhere else each query is a whole image. The scores are the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from pixelprobe_services.kserve.client import Client
from pixelprobe_services.kserve.errors import BadAnswerError, where
from pixelprobe_services.kserve.tensors import ModelConfiguration, ModelMetadata, TensorSpec
from pixelprobe_services.orchestrator.core.perturbation import apply_edits
from pixelprobe_services.orchestrator.targets.answers import check_classes, check_probabilities, scores_of
from pixelprobe_services.orchestrator.targets.base import (
    TOP,
    QueryBatch,
    Scores,
    Target,
    TargetError,
    TargetInfo,
    TargetStats,
    TargetUnavailableError,
)
from pixelprobe_services.orchestrator.targets.config import TargetConfig
from pixelprobe_services.orchestrator.targets.failures import as_target_errors

_EDITS_INPUTS = {"images": "UINT8", "image_index": "INT32", "edits": "INT16", "classes": "INT32"}
_EDITS_OUTPUTS = {"class_probabilities": "FP32", "top_classes": "INT32", "top_probabilities": "FP32"}

WEIGHTS_PARAMETER = "weights_sha256"
"""In a model's configuration: the hash of its file, written by whoever built the repository."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class _Model:
    info: TargetInfo
    image: str
    probabilities: str


class KServeTarget(Target):
    """The input contract (uint8 NHWC in, probabilities out) over any client."""

    def __init__(self, config: TargetConfig, client: Client) -> None:
        self.name = config.name
        self.stats = TargetStats()
        client.traffic = self.stats
        self._config = config
        self._client = client
        self._model: _Model | None = None
        self._describing = asyncio.Lock()

    async def describe(self) -> TargetInfo:
        return (await self._described()).info

    async def check(self) -> TargetInfo:
        known = self._model
        if known is None:
            return await self.describe()  # which asks that too
        await self._check_ready()
        return known.info

    async def query(self, batch: QueryBatch) -> Scores:
        model = await self._described()
        info = model.info
        if batch.images.shape[1:] != (info.height, info.width, 3):
            raise self._error(f"takes {info.width}x{info.height} images, not {batch.images.shape}")
        if not 1 <= len(batch) <= info.max_batch:
            raise self._error(f"takes 1 to {info.max_batch} queries in a request, not {len(batch)}")
        if batch.classes.min() < 0 or batch.classes.max() >= info.classes:
            raise self._error(f"has classes 0 to {info.classes - 1} only")
        self.stats.requests += 1
        self.stats.queries += len(batch)
        try:
            with as_target_errors():
                return await (self._ask_edits if info.sparse_queries else self._ask_whole)(model, batch)
        except BadAnswerError as error:
            self.stats.failures += 1
            raise self._error(str(error)) from error
        except TargetError:
            self.stats.failures += 1
            raise

    async def close(self) -> None:
        await self._client.close()

    async def _ask_edits(self, model: _Model, batch: QueryBatch) -> Scores:
        inputs: dict[str, NDArray[Any]] = {
            "images": batch.images,
            "image_index": batch.image_index,
            "edits": batch.edits,
            "classes": batch.classes,
        }
        answer = await self._client.infer(_edits_of(self._config.model), inputs, tuple(_EDITS_OUTPUTS))
        best = (len(batch), min(TOP, model.info.classes))
        return Scores(
            class_probabilities=check_probabilities(
                "class_probabilities", answer["class_probabilities"], batch.classes.shape
            ),
            top_classes=check_classes("top_classes", answer["top_classes"], best, model.info.classes),
            top_probabilities=check_probabilities("top_probabilities", answer["top_probabilities"], best),
        )

    async def _ask_whole(self, model: _Model, batch: QueryBatch) -> Scores:
        inputs = {model.image: apply_edits(batch.images, batch.image_index, batch.edits)}
        name = model.probabilities
        answer = await self._client.infer(self._config.model, inputs, (name,))
        shape = (len(batch), model.info.classes)
        return scores_of(check_probabilities(name, answer[name], shape), batch.classes)

    async def _described(self) -> _Model:
        if self._model is None:
            async with self._describing:
                if self._model is None:
                    self._model = await self._ask_model()
        return self._model

    async def _check_ready(self) -> None:
        with as_target_errors():
            ready = await self._client.ready(self._config.model)
        if not ready:
            raise TargetUnavailableError(f"{self._where}: is not ready")

    async def _ask_model(self) -> _Model:
        config = self._config
        metadata = await self._available_metadata(config.model)
        await self._check_ready()
        image, probabilities = self._contract(metadata)
        height, width, classes = image.shape[1], image.shape[2], probabilities.shape[1]
        if config.labels and len(config.labels) != classes:
            raise self._error(f"has {classes} classes, but {len(config.labels)} labels are registered")
        served = await _optional(self._client.configuration(config.model)) or ModelConfiguration()
        info = TargetInfo(
            name=config.name,
            width=width,
            height=height,
            classes=classes,
            labels=config.labels,
            sparse_queries=config.sparse != "never" and await self._takes_edits(height, width),
            max_batch=min(config.max_batch, served.max_batch_size)
            if served.max_batch_size > 0
            else config.max_batch,
            max_in_flight=config.max_in_flight,
            weights_sha256=served.parameters.get(WEIGHTS_PARAMETER, ""),
        )
        queries = "sparse" if info.sparse_queries else "whole"
        _log.info("target %s is %s, asked by %s queries", config.name, self._where, queries)
        return _Model(info, image.name, probabilities.name)

    async def _available_metadata(self, model: str) -> ModelMetadata:
        try:
            with as_target_errors():
                return await self._client.metadata(model)
        except TargetUnavailableError:
            raise
        except TargetError as error:
            # Triton calls a model that it knows but has not loaded (yet) "not found", too.
            if "no available versions" in error.message:
                raise TargetUnavailableError(error.message) from error
            raise

    def _contract(self, metadata: ModelMetadata) -> tuple[TensorSpec, TensorSpec]:
        if len(metadata.inputs) != 1:
            raise self._error(f"has {len(metadata.inputs)} inputs, expected one: images")
        image = metadata.inputs[0]
        if image.datatype != "UINT8" or not _fits(image.shape, (-1, None, None, 3)):
            raise self._error(f"has the input {image}, expected UINT8 [-1, height, width, 3]")
        if not metadata.outputs:
            raise self._error("has no outputs, expected probabilities")
        probabilities = metadata.outputs[0]
        if probabilities.datatype != "FP32" or not _fits(probabilities.shape, (-1, None)):
            raise self._error(f"has the output {probabilities}, expected FP32 [-1, classes]")
        return image, probabilities

    async def _takes_edits(self, height: int, width: int) -> bool:
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

    @property
    def _where(self) -> str:
        return where(self._config.address, self._config.model)

    def _error(self, problem: str) -> TargetError:
        return TargetError(f"{self._where}: {problem}")


async def _optional(question: Awaitable[T]) -> T | None:
    """The answer to something that not every server understands; None when it refuses."""
    try:
        with as_target_errors():
            return await question
    except TargetUnavailableError:
        raise
    except TargetError:
        return None


def _edits_of(model: str) -> str:
    return f"{model}_edits"


def _fits(shape: tuple[int, ...], pattern: tuple[int | None, ...]) -> bool:
    """Whether a shape is the pattern's, where None stands for any fixed size."""
    return len(shape) == len(pattern) and all(
        size > 0 if wanted is None else size == wanted for size, wanted in zip(shape, pattern, strict=True)
    )
