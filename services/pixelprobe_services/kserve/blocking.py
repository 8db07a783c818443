"""KServe v2 over gRPC, for threads that wait."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pixelprobe_services.common import tracing
from pixelprobe_services.kserve.errors import NoAnswerError, where
from pixelprobe_services.kserve.grpc_messages import (
    INFER,
    call_error,
    channel_options,
    read_answer,
    read_metadata,
    request_parts,
)
from pixelprobe_services.kserve.tensors import ModelMetadata

_LOOK_UP_SECONDS = 0.1  # between looks at whether the answer is still wanted


class StoppedError(Exception):
    """The caller's ``stop`` was set before the answer came; the call was cancelled."""


class BlockingGrpcClient:
    """One channel to one server. Safe for many threads; connects with the first call.

    Methods raise as :class:`~pixelprobe_services.kserve.client.Client`'s do.
    """

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        headers: Sequence[tuple[str, str]] = (),
        timeout_seconds: float = 60.0,
    ) -> None:
        self._address = address
        self._headers = tuple(headers)
        self._timeout_seconds = timeout_seconds
        options = channel_options(timeout_seconds)
        self._channel = (
            grpc.secure_channel(address, credentials, options)
            if credentials
            else grpc.insecure_channel(address, options)
        )
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._infer: Any = self._channel.unary_unary(
            INFER, request_serializer=b"".join, response_deserializer=None
        )

    def metadata(self, model: str, timeout_seconds: float) -> ModelMetadata:
        """The model's inputs and outputs."""
        request = service_pb2.ModelMetadataRequest(name=model)
        return read_metadata(self._ask(model, self._stub.ModelMetadata, request, timeout_seconds))

    def ready(self, model: str, timeout_seconds: float) -> bool:
        """Whether the model answers inferences now."""
        request = service_pb2.ModelReadyRequest(name=model)
        return bool(self._ask(model, self._stub.ModelReady, request, timeout_seconds).ready)

    def infer(
        self,
        model: str,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str],
        stop: threading.Event,
    ) -> dict[str, NDArray[Any]]:
        """The named outputs for these inputs.

        Raises:
            BadAnswerError: an output is missing or contradicts its own description.
            StoppedError: ``stop`` was set meanwhile.
        """
        metadata = (*self._headers, *tracing.carried())
        call = self._infer.future(
            request_parts(model, inputs, outputs), timeout=self._timeout_seconds, metadata=metadata
        )
        while True:
            try:
                return read_answer(call.result(timeout=_LOOK_UP_SECONDS), outputs)
            except grpc.FutureTimeoutError:
                if stop.is_set():
                    call.cancel()
                    raise StoppedError from None
            except grpc.FutureCancelledError:
                raise NoAnswerError(f"{where(self._address, model)}: the connection was closed") from None
            except grpc.RpcError as error:
                raise call_error(error, where(self._address, model)) from error

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._channel.close()

    def _ask(self, model: str, rpc: Any, request: Any, timeout_seconds: float) -> Any:
        try:
            return rpc(request, timeout=timeout_seconds, metadata=self._headers)
        except grpc.RpcError as error:
            raise call_error(error, where(self._address, model)) from error
