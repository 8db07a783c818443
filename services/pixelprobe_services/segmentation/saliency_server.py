"""U2-Net behind Triton: called over KServe v2 gRPC, with deadlines and a few retries.

The contract: input ``image`` UINT8 [n, 320, 320, 3] RGB, output ``saliency`` FP32 [n, 320, 320], raw;
whatever the network needs before that is in its graph.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common import tracing
from pixelprobe_services.common.errors import FailedPreconditionError, ServiceError, UnavailableError
from pixelprobe_services.common.peers import PLAIN, Peer
from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.kserve.blocking import BlockingGrpcClient, StoppedError
from pixelprobe_services.kserve.errors import (
    BadAnswerError,
    CallError,
    NoAnswerError,
    TimedOutError,
    UnknownModelError,
    where,
)
from pixelprobe_services.kserve.tensors import ModelMetadata
from pixelprobe_services.segmentation.base import SegmentationStoppedError
from pixelprobe_services.segmentation.salient import MODEL_SIDE

MODEL = "u2net"
IMAGE, SALIENCY = "image", "saliency"
_IMAGE_SHAPE = (MODEL_SIDE, MODEL_SIDE, 3)
_SALIENCY_SHAPE = (MODEL_SIDE, MODEL_SIDE)

CALL_SECONDS = 30.0
"""Deadline of one query; the full U2-Net takes about a second of a core."""

CHECK_SECONDS = 2.0
"""Deadline of each call that finds out whether the model is there."""

REMEMBERED_SECONDS = 3.0
"""How long that answer holds: many images come at once."""


class TritonSaliency:
    """The model of one server, by its address HOST:PORT. Safe for many threads; connects when first used."""

    def __init__(
        self,
        address: str,
        *,
        retry: RetryPolicy | None = None,
        call_seconds: float = CALL_SECONDS,
        peer: Peer = PLAIN,
    ) -> None:
        self._where = where(address, MODEL)
        self._address = address
        # A retry is counted and bounded here; gRPC's own would be neither.
        self._retry = retry or RetryPolicy(attempts=4)
        self._client = BlockingGrpcClient(
            address,
            credentials=peer.credentials(address),
            headers=peer.metadata,
            timeout_seconds=call_seconds,
        )
        self._checking = threading.Lock()
        self._checked_at = float("-inf")
        self._reason = ""

    def unavailable_reason(self) -> str:
        """Why the model cannot be used now; empty when it can. Holds for REMEMBERED_SECONDS."""
        with self._checking:
            if time.monotonic() - self._checked_at > REMEMBERED_SECONDS:
                self._reason = self._check()
                self._checked_at = time.monotonic()
            return self._reason

    def query(self, images: NDArray[np.uint8], stop: threading.Event) -> NDArray[np.float32]:
        """See the protocol SaliencyModel. No ledger counts these queries, so they may be repeated."""
        for pause in self._pauses():
            if stop.wait(pause):
                raise SegmentationStoppedError
            try:
                with tracing.part("saliency request", tracing.Kind.CLIENT):
                    answer = self._client.infer(MODEL, {IMAGE: images}, [SALIENCY], stop)
            except StoppedError:
                raise SegmentationStoppedError from None
            except BadAnswerError as error:
                raise self._other_answer(len(images)) from error
            except CallError as error:
                last = error
                # After a missed deadline another query would only add load.
                if not isinstance(error, NoAnswerError) or isinstance(error, TimedOutError):
                    break
            else:
                return self._saliency(answer[SALIENCY], len(images))
        raise self._failure(last) from last

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._client.close()

    def _pauses(self) -> Iterator[float]:
        yield 0.0
        yield from self._retry.pauses()

    def _check(self) -> str:
        try:
            if not self._client.ready(MODEL, CHECK_SECONDS):
                return f"{self._where} is not served, or not ready yet"
            metadata = self._client.metadata(MODEL, CHECK_SECONDS)
        except NoAnswerError:
            return f"Triton does not answer at {self._address}"
        except CallError as error:
            return f"{self._where} is not served ({error.message.removeprefix(f'{self._where}: ')})"
        return self._mismatch(metadata)

    def _mismatch(self, metadata: ModelMetadata) -> str:
        wanted = (
            ("input", metadata.inputs, IMAGE, "UINT8", _IMAGE_SHAPE),
            ("output", metadata.outputs, SALIENCY, "FP32", _SALIENCY_SHAPE),
        )
        for kind, tensors, name, datatype, shape in wanted:
            found = {tensor.name: (tensor.datatype, tensor.shape[1:]) for tensor in tensors}
            if found.get(name) != (datatype, shape):
                return f"{self._where} lacks the {kind} {name} {datatype} {[-1, *shape]}"
        return ""

    def _saliency(self, saliency: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        if saliency.dtype != np.float32 or saliency.shape != (count, *_SALIENCY_SHAPE):
            raise self._other_answer(count)
        return saliency

    def _other_answer(self, count: int) -> ServiceError:
        return ServiceError(
            f"{self._where} did not answer {SALIENCY} FP32 {[count, *_SALIENCY_SHAPE]}",
            reason="SEGMENTATION_FAILED",
        )

    def _failure(self, error: CallError) -> ServiceError:
        self._checked_at = float("-inf")  # check anew before the next image
        if isinstance(error, NoAnswerError):
            return UnavailableError(error.message)
        if isinstance(error, UnknownModelError):
            return FailedPreconditionError(error.message, reason="SEGMENTER_UNAVAILABLE")
        return ServiceError(error.message, reason="SEGMENTATION_FAILED")
