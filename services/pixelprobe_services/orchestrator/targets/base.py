"""The contract of targets: images and edits in, scores out.

A :class:`Target` sends each query once, under a deadline. Retrying is the batcher's business, because a
retry is a query too and must pass the ledger.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.errors import FailedPreconditionError, UnavailableError
from pixelprobe_services.kserve.client import Traffic

TOP = 5
"""How many best classes every answer carries (fewer where the model has fewer)."""


class TargetError(FailedPreconditionError):
    """The target refused the query or answered nonsense; sending it again will not help."""

    reason = "TARGET_FAILED"


class TargetUnavailableError(UnavailableError, TargetError):
    """The target could not be reached or the connection broke; sending the query again is safe.

    Unless it is one of the subclasses below, the model may or may not have scored the batch.
    """

    reason = "TARGET_UNAVAILABLE"


class TargetTimeoutError(TargetUnavailableError):
    """No answer within the deadline. The model may have scored the batch; a smaller one may be in time."""

    reason = "TARGET_TIMED_OUT"


class RejectedError(TargetUnavailableError):
    """The target turned the batch away before the model ran, so that it costs an attack no budget.

    Raised for HTTP 429 and 503, RESOURCE_EXHAUSTED, a full queue, and a connection that was never made.

    Attributes:
        retry_after_seconds: how long the target asks to wait (Retry-After, RetryInfo, gRPC pushback); None
            where it does not say.
    """

    reason = "TARGET_REJECTED"

    def __init__(
        self, message: str, *, retry_after_seconds: float | None = None, reason: str | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class RateLimits:
    """What may be sent to a target; None is no limit. ``daily_queries`` goes by UTC days."""

    max_queries_per_second: float | None = None
    max_requests_per_second: float | None = None
    daily_queries: int | None = None


Answers = Literal["probabilities", "top_k", "labels"]
"""What the attacker sees of each answer: every class's probability; those of the best classes alone (a class
not among them has at most the smallest, which stands for it); or nothing but the best class."""


@dataclass(frozen=True)
class TargetInfo:
    """A target's shape and limits. ``labels`` and ``weights_sha256`` are empty where they are not known.

    Attributes:
        width, height: of the images that are attacked (the target may resize them for its model).
        max_batch: most queries in one request.
        deterministic: equal queries give equal answers, so that no answer need be asked for again.
        answers: what the attacker sees.
    """

    name: str
    width: int
    height: int
    classes: int
    labels: tuple[str, ...]
    sparse_queries: bool
    max_batch: int
    max_in_flight: int
    weights_sha256: str = ""
    deterministic: bool = True
    limits: RateLimits = RateLimits()
    answers: Answers = "probabilities"


@dataclass(frozen=True)
class QueryBatch:
    """``n`` queries on ``m`` images of one size.

    Attributes:
        images: (m, height, width, 3) uint8 RGB, the clean images.
        image_index: (n,) int32, which image each query edits.
        edits: (n, k, 5) int16, each (x, y, r, g, b). Two edits of one query on the same pixel are equal.
        classes: (n, c) int32, c >= 1: the classes whose probabilities are wanted.
    """

    images: NDArray[np.uint8]
    image_index: NDArray[np.int32]
    edits: NDArray[np.int16]
    classes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.image_index)


@dataclass(frozen=True)
class Scores:
    """The answers to a batch of ``n`` queries, in its order.

    Attributes:
        class_probabilities: (n, c) float32, of the classes asked for.
        top_classes: (n, t) int32, the t = min(TOP, classes) best classes, best first; among equals the
            lower index first.
        top_probabilities: (n, t) float32, theirs.
    """

    class_probabilities: NDArray[np.float32]
    top_classes: NDArray[np.int32]
    top_probabilities: NDArray[np.float32]

    def __getitem__(self, rows: slice) -> Scores:
        return Scores(self.class_probabilities[rows], self.top_classes[rows], self.top_probabilities[rows])


@dataclass
class TargetStats(Traffic):
    """What queries have cost since the target was opened (describe() does not count); grows in place.

    ``requests`` and ``queries`` are attempts, answered or not; ``failures`` are the requests that raised.
    """

    requests: int = 0
    queries: int = 0
    failures: int = 0


class Target(ABC):
    """One model behind one address. Safe for concurrent use in one event loop."""

    name: str
    stats: TargetStats

    @abstractmethod
    async def describe(self) -> TargetInfo:
        """Ask for the model's shape, and whether it takes sparse queries. Cached after a success.

        Raises:
            TargetUnavailableError: no answer, or the model is not ready.
            TargetError: the model does not keep the input contract (what its configuration says, or else
                uint8 NHWC in and probabilities out).
        """

    async def metadata(self) -> tuple[str, ...]:
        """What the server says of the model, in lines for people. Raises as :meth:`describe`."""
        return ()

    @abstractmethod
    async def check(self) -> TargetInfo:
        """Like :meth:`describe`, and ask on top of it whether the model is ready at this moment.

        Raises:
            TargetUnavailableError, TargetError: as there.
        """

    @abstractmethod
    async def query(self, batch: QueryBatch) -> Scores:
        """Send one batch, once.

        Raises:
            TargetTimeoutError: no answer in time.
            RejectedError: turned away before the model ran.
            TargetUnavailableError: the connection broke; the batch may or may not have been scored.
            TargetError: refused, or an answer of the wrong shape, not finite or outside [0, 1].
        """

    @abstractmethod
    async def close(self) -> None:
        """Give the connection back. Idempotent."""
