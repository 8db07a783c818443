"""How questions travel to a server that speaks KServe's inference protocol v2; one class a way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from pixelprobe_services.kserve.tensors import ModelConfiguration, ModelMetadata
from pixelprobe_services.orchestrator.targets.base import TargetStats

DESCRIBE_TIMEOUT_SECONDS = 10.0
"""Deadline of each question about a model (a shorter deadline for queries holds for these as well)."""

MAX_ANSWER_BYTES = 64 * 2**20
"""A longer answer is refused before it fills the memory: 400 queries of 40,000 classes take as much."""


class Transport(ABC):
    """Carries questions to one server, each once and under a deadline; connects with the first.

    Every method but ``close`` raises TargetUnavailableError when there is no answer now, and TargetError
    when the server refuses.
    """

    @abstractmethod
    async def metadata(self, model: str) -> ModelMetadata:
        """The model's inputs and outputs."""

    @abstractmethod
    async def ready(self, model: str) -> bool:
        """Whether the model answers queries now."""

    @abstractmethod
    async def configuration(self, model: str) -> ModelConfiguration:
        """How the server runs the model: Triton's model configuration extension."""

    @abstractmethod
    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], stats: TargetStats
    ) -> dict[str, NDArray[Any]]:
        """The named outputs for these inputs; counts the bytes in ``stats``.

        Raises:
            BadAnswerError: an output is missing or contradicts its own description.
        """

    @abstractmethod
    async def close(self) -> None:
        """Give the connection back; what is under way fails. Idempotent."""


def where(address: str, model: str) -> str:
    """How every message about a model begins."""
    return f"{address}: model '{model}'"


def short(details: str, limit: int = 200) -> str:
    """What a server said, on one line of bounded length."""
    line = " ".join(details.split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
