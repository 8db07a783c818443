"""U2-Net behind Triton: asked by KServe v2 gRPC, with deadlines and a few retries.

The contract: input ``image`` UINT8 [n, 320, 320, 3] RGB, output ``saliency`` FP32 [n, 320, 320], raw;
whatever the network needs before that is in its graph.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pixelprobe_services.common import tracing
from pixelprobe_services.common.errors import FailedPreconditionError, ServiceError, UnavailableError
from pixelprobe_services.common.peers import PLAIN, Peer
from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.segmentation.base import SegmentationStoppedError
from pixelprobe_services.segmentation.salient import MODEL_SIDE

MODEL = "u2net"
IMAGE, SALIENCY = "image", "saliency"
_IMAGE_SHAPE = (MODEL_SIDE, MODEL_SIDE, 3)
_SALIENCY_SHAPE = (MODEL_SIDE, MODEL_SIDE)

CALL_SECONDS = 30.0
"""Of one query; the full U2-Net takes about a second of a core."""

CHECK_SECONDS = 2.0
"""Of asking whether the model is there."""

REMEMBERED_SECONDS = 3.0
"""How long the answer to that is believed: many images come at once."""

_LOOK_UP_SECONDS = 0.1  # between looks at whether anybody still waits
_MENDED_SOON = ("Stub process", "is not healthy")
"""Parts of an INTERNAL answer that passes: Triton's Python backend says so while its process is starved of
CPU or is being started again."""


class TritonSaliency:
    """The model of one server, by its address HOST:PORT. Safe for many threads; connects when first asked."""

    def __init__(
        self,
        address: str,
        *,
        retry: RetryPolicy | None = None,
        call_seconds: float = CALL_SECONDS,
        peer: Peer = PLAIN,
    ) -> None:
        self._where = f"{address}: model '{MODEL}'"
        self._address = address
        self._retry = retry or RetryPolicy(attempts=4)
        self._call_seconds = call_seconds
        # A retry is counted and bounded here; gRPC's own would be neither.
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 5_000),
        ]
        credentials = peer.credentials(address)
        self._channel = (
            grpc.secure_channel(address, credentials, options=options)
            if credentials
            else grpc.insecure_channel(address, options=options)
        )
        self._metadata = peer.metadata
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._checking = threading.Lock()
        self._checked_at = float("-inf")
        self._reason = ""

    def unavailable_reason(self) -> str:
        """Why the model cannot be asked now; empty when it can. Believed for REMEMBERED_SECONDS."""
        with self._checking:
            if time.monotonic() - self._checked_at > REMEMBERED_SECONDS:
                self._reason = self._check()
                self._checked_at = time.monotonic()
            return self._reason

    def query(self, images: NDArray[np.uint8], stop: threading.Event) -> NDArray[np.float32]:
        """See the protocol SaliencyModel. No ledger counts these queries, so they may be repeated."""
        request = _request(images)
        for pause in self._pauses():
            if stop.wait(pause):
                raise SegmentationStoppedError
            try:
                with tracing.part("saliency request", tracing.Kind.CLIENT):
                    reply = self._call(request, stop)
            except grpc.RpcError as error:
                last = error
                if not _is_passing(error):
                    break
            else:
                return self._saliency(reply, len(images))
        raise self._translated(last) from last

    def close(self) -> None:
        """Give the connection back. Idempotent."""
        self._channel.close()

    def _pauses(self) -> Iterator[float]:
        yield 0.0
        yield from self._retry.pauses()

    def _call(self, request: Any, stop: threading.Event) -> Any:
        """The answer; given up as soon as nobody waits for it."""
        metadata = (*self._metadata, *tracing.carried())
        call = self._stub.ModelInfer.future(request, timeout=self._call_seconds, metadata=metadata)
        while True:
            try:
                return call.result(timeout=_LOOK_UP_SECONDS)
            except grpc.FutureTimeoutError:
                if stop.is_set():
                    call.cancel()
                    raise SegmentationStoppedError from None

    def _check(self) -> str:
        try:
            ready = self._stub.ModelReady(
                service_pb2.ModelReadyRequest(name=MODEL), timeout=CHECK_SECONDS, metadata=self._metadata
            )
            if not ready.ready:
                return f"{self._where} is not served, or not ready yet"
            metadata = self._stub.ModelMetadata(
                service_pb2.ModelMetadataRequest(name=MODEL), timeout=CHECK_SECONDS, metadata=self._metadata
            )
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return f"Triton does not answer at {self._address}"
            return f"{self._where} is not served ({_told(error)})"
        return self._mismatch(metadata)

    def _mismatch(self, metadata: Any) -> str:
        wanted = (
            ("input", metadata.inputs, IMAGE, "UINT8", _IMAGE_SHAPE),
            ("output", metadata.outputs, SALIENCY, "FP32", _SALIENCY_SHAPE),
        )
        for kind, tensors, name, datatype, shape in wanted:
            found = {tensor.name: (tensor.datatype, tuple(tensor.shape)[1:]) for tensor in tensors}
            if found.get(name) != (datatype, shape):
                return f"{self._where} lacks the {kind} {name} {datatype} {[-1, *shape]}"
        return ""

    def _saliency(self, reply: Any, count: int) -> NDArray[np.float32]:
        shape = (count, *_SALIENCY_SHAPE)
        for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=False):
            fits = output.datatype == "FP32" and tuple(output.shape) == shape
            if output.name == SALIENCY and fits and len(raw) == 4 * int(np.prod(shape)):
                return np.frombuffer(raw, "<f4").reshape(shape)
        raise ServiceError(
            f"{self._where} did not answer {SALIENCY} FP32 {list(shape)}", reason="SEGMENTATION_FAILED"
        )

    def _translated(self, error: grpc.RpcError) -> ServiceError:
        self._checked_at = float("-inf")  # ask anew before the next image
        message = f"{self._where}: {error.code().name}: {_told(error)}"
        if _is_passing(error) or error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return UnavailableError(message)
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return FailedPreconditionError(message, reason="SEGMENTER_UNAVAILABLE")
        return ServiceError(message, reason="SEGMENTATION_FAILED")


def _request(images: NDArray[np.uint8]) -> Any:
    return service_pb2.ModelInferRequest(
        model_name=MODEL,
        inputs=[
            service_pb2.ModelInferRequest.InferInputTensor(name=IMAGE, datatype="UINT8", shape=images.shape)
        ],
        outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=SALIENCY)],
        raw_input_contents=[images.tobytes()],
    )


def _is_passing(error: grpc.RpcError) -> bool:
    """Whether the same question may well be answered in a moment. A deadline is not: that only adds load."""
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
        return True
    starved = error.code() is grpc.StatusCode.INTERNAL
    return starved and all(part in (error.details() or "") for part in _MENDED_SOON)


def _told(error: grpc.RpcError) -> str:
    """What the server said, in one line."""
    return " ".join((error.details() or "no details").split())[:200]
