"""The calls of KServe's inference protocol v2, whichever way they travel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pixelprobe_services.kserve.tensors import ModelConfiguration, ModelMetadata

DESCRIBE_TIMEOUT_SECONDS = 10.0
"""Deadline of each call about a model (a shorter deadline of inferences holds for these as well)."""

MAX_ANSWER_BYTES = 64 * 2**20
"""A longer answer is refused before it fills the memory: 400 queries of 40,000 classes take as much."""


@dataclass
class Traffic:
    """Bytes of inference messages (gRPC) or bodies (HTTP), without the protocols' headers; grows in place."""

    bytes_sent: int = 0
    bytes_received: int = 0


class Client(ABC):
    """Calls one server, each call once and under a deadline; connects with the first.

    Safe for concurrent use in one event loop. Every method but ``close`` raises NoAnswerError (or one of its
    subclasses) when there is no answer now, and RefusedError when the server refuses.

    Example:
        client = GrpcClient(Endpoint("127.0.0.1:8001"))
        metadata = await client.metadata("resnet")
        answer = await client.infer("resnet", {"image": images}, ["probabilities"])
        await client.close()
    """

    traffic: Traffic

    @abstractmethod
    async def metadata(self, model: str) -> ModelMetadata:
        """The model's inputs and outputs."""

    @abstractmethod
    async def ready(self, model: str) -> bool:
        """Whether the model answers inferences now."""

    @abstractmethod
    async def configuration(self, model: str) -> ModelConfiguration:
        """How the server runs the model: Triton's model configuration extension."""

    @abstractmethod
    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        """The named outputs for these inputs; counts its bytes in ``traffic``.

        Raises:
            BadAnswerError: an output is missing or contradicts its own description.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connection; calls under way fail. Idempotent."""
