"""A model behind any protocol: a backend carries tensors, the adapters around it make them from queries."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pixelprobe_services.kserve.client import Traffic
from pixelprobe_services.kserve.errors import BadAnswerError
from pixelprobe_services.orchestrator.targets.adapter import InputAdapter, Preprocessing
from pixelprobe_services.orchestrator.targets.answers import Answer, OutputAdapter
from pixelprobe_services.orchestrator.targets.base import (
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

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """What a server says of a model; None where it does not.

    Attributes:
        size: (height, width) of the images that the model takes.
        max_batch: most images in a request, by the server's own limits.
        fixed_batch: requests must carry exactly so many.
        sparse: it takes edits instead of whole images.
        default_top_k: how many classes an answer of this protocol lists where the configuration is silent.
        metadata: lines for people: the model's inputs, outputs and limits as the server names them.
    """

    size: tuple[int, int] | None = None
    classes: int | None = None
    max_batch: int | None = None
    fixed_batch: int | None = None
    sparse: bool = False
    weights_sha256: str = ""
    default_top_k: int | None = None
    metadata: tuple[str, ...] = ()


class Backend(ABC):
    """One protocol's way to one model. Safe for concurrent use in one event loop.

    Methods raise kserve's CallErrors, or TargetErrors of their own.
    """

    place: str
    """How every message about the model begins."""

    def __init__(self) -> None:
        self.traffic = Traffic()

    def count_into(self, traffic: Traffic) -> None:
        """Add the bytes of requests and answers to ``traffic`` from now on."""
        self.traffic = traffic

    @abstractmethod
    async def describe(self) -> Served:
        """Ask what the model is. Raises TargetError where it contradicts the configuration."""

    @abstractmethod
    async def ready(self) -> bool:
        """Whether the model answers now; costs no query."""

    @abstractmethod
    async def ask(self, tensor: NDArray[Any]) -> tuple[str, Answer]:
        """Send one request of ``n`` images as the adapter made them; the output's name and its answer.

        Raises:
            BadAnswerError: the answer cannot be read.
        """

    async def ask_edits(self, batch: QueryBatch) -> Scores:
        """Send one request of sparse queries; only where :attr:`Served.sparse` is true."""
        raise NotImplementedError

    @abstractmethod
    async def close(self) -> None:
        """Give the connection back. Idempotent."""


@dataclass(frozen=True)
class _Model:
    info: TargetInfo
    input: InputAdapter
    output: OutputAdapter
    fixed_batch: int | None
    metadata: tuple[str, ...]


class ModelTarget(Target):
    """A target made of a backend and the configuration's adapters."""

    def __init__(self, config: TargetConfig, backend: Backend) -> None:
        self.name = config.name
        self.stats = TargetStats()
        backend.count_into(self.stats)
        self._config = config
        self._backend = backend
        self._model: _Model | None = None
        self._describing = asyncio.Lock()

    async def describe(self) -> TargetInfo:
        return (await self._described()).info

    async def metadata(self) -> tuple[str, ...]:
        return (await self._described()).metadata

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
        await self._backend.close()

    async def _ask_edits(self, model: _Model, batch: QueryBatch) -> Scores:
        scores = await self._backend.ask_edits(batch)
        model.output.check_sparse(scores)
        return scores

    async def _ask_whole(self, model: _Model, batch: QueryBatch) -> Scores:
        tensor = model.input.tensor(batch.images, batch.image_index, batch.edits)
        if model.fixed_batch:
            tensor = _filled_up(tensor, model.fixed_batch)
        name, answer = await self._backend.ask(tensor)
        return model.output.scores(name, answer, batch.classes, sent=len(tensor))

    async def _described(self) -> _Model:
        if self._model is None:
            async with self._describing:
                if self._model is None:
                    self._model = await self._ask_model()
        return self._model

    async def _check_ready(self) -> None:
        with as_target_errors():
            ready = await self._backend.ready()
        if not ready:
            raise TargetUnavailableError(f"{self._backend.place}: is not ready")

    async def _ask_model(self) -> _Model:
        with as_target_errors():
            served = await self._backend.describe()
        await self._check_ready()
        config = self._config
        steps = config.steps or Preprocessing()
        height, width, model_size = self._sizes(served, steps)
        classes = self._classes(served)
        output = OutputAdapter(
            classes,
            kind=config.output_kind,
            activation=config.activation,
            sum_tolerance=config.sum_tolerance,
            top_k=config.top_k or served.default_top_k,
            labels=config.labels,
        )
        fixed = served.fixed_batch or (config.max_batch if config.fixed_batch else None)
        limits = [limit for limit in (config.max_batch, served.max_batch, fixed) if limit]
        info = TargetInfo(
            name=config.name,
            width=width,
            height=height,
            classes=classes,
            labels=config.labels,
            sparse_queries=served.sparse and config.sparse != "never" and self._may_be_sparse(steps, output),
            max_batch=min(limits),
            max_in_flight=config.max_in_flight,
            weights_sha256=served.weights_sha256,
            deterministic=bool(served.weights_sha256)
            if config.deterministic is None
            else config.deterministic,
            limits=config.limits,
            answers=output.answers,
        )
        queries = "sparse" if info.sparse_queries else "whole"
        _log.info("target %s is %s, asked by %s queries", config.name, self._backend.place, queries)
        return _Model(info, InputAdapter(steps, *model_size), output, fixed, served.metadata)

    def _may_be_sparse(self, steps: Preprocessing, output: OutputAdapter) -> bool:
        """The sparse companion takes 8-bit RGB and answers probabilities: nothing may contradict that."""
        return (
            steps.is_identity
            and self._config.output_kind == "probabilities"
            and output.answers == "probabilities"
        )

    def _sizes(self, served: Served, steps: Preprocessing) -> tuple[int, int, tuple[int, int]]:
        """Height and width of the attacked image, and (height, width) of the model's."""
        config = self._config
        model = served.size or _turned(config.model_size)
        attacked = _turned(config.size) or model
        if attacked is None:
            raise self._error("does not say how large its images are: give size = [width, height]")
        model = model or attacked
        if served.size and config.model_size and _turned(config.model_size) != served.size:
            raise self._error(f"takes {model[1]}x{model[0]} images, model_size says otherwise")
        if attacked != model and steps.resize is None:
            raise self._error(
                f"takes {model[1]}x{model[0]} images, size is {attacked[1]}x{attacked[0]}: say how its owner"
                ' resizes (resize = "bilinear", "bilinear-antialias" or "nearest"), or leave size out'
            )
        return *attacked, model

    def _classes(self, served: Served) -> int:
        config = self._config
        classes = served.classes or len(config.labels) or config.classes
        if classes is None or classes == 0:
            raise self._error("does not say how many classes it has: give labels, labels_file or classes")
        if classes == 1:
            raise self._error(
                "answers one number an image: no other class can win against it."
                " Serve two, [1 - p, p], and name them in labels"
            )
        if config.labels and len(config.labels) != classes:
            hint = _hint(classes, len(config.labels))
            raise self._error(f"has {classes} classes, but {len(config.labels)} labels are registered{hint}")
        if config.classes and config.classes != classes:
            raise self._error(f"has {classes} classes, but classes = {config.classes}")
        return classes

    def _error(self, problem: str) -> TargetError:
        return TargetError(f"{self._backend.place}: {problem}")


def _hint(classes: int, labels: int) -> str:
    if {classes, labels} == {1000, 1001}:
        return " (1001 classes usually are ImageNet's 1000 after a first one for the background)"
    return ""


def _turned(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """(width, height) as (height, width)."""
    return None if size is None else (size[1], size[0])


def _filled_up(tensor: NDArray[Any], rows: int) -> NDArray[Any]:
    """The tensor with copies of its last image up to ``rows``."""
    missing = rows - len(tensor)
    if missing <= 0:
        return tensor
    filled: NDArray[Any] = tensor[[*range(len(tensor)), *[len(tensor) - 1] * missing]]
    return filled
