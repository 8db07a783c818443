"""KServe v2 over gRPC, for an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pixelprobe_services.common import tracing
from pixelprobe_services.kserve.client import DESCRIBE_TIMEOUT_SECONDS, Client, Traffic
from pixelprobe_services.kserve.endpoint import Endpoint
from pixelprobe_services.kserve.errors import NoAnswerError, RefusedError, where
from pixelprobe_services.kserve.grpc_messages import (
    INFER,
    Part,
    call_error,
    channel_options,
    read_answer,
    read_metadata,
    request_parts,
)
from pixelprobe_services.kserve.tensors import ModelConfiguration, ModelMetadata


@dataclass(frozen=True)
class _Connection:
    channel: grpc.aio.Channel
    stub: Any
    infer: grpc.aio.UnaryUnaryMultiCallable[Sequence[Part], bytes]


class GrpcClient(Client):
    """One channel, connected with the first call."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.traffic = Traffic()
        self._endpoint = endpoint
        self._connection: _Connection | None = None
        self._closed = False

    async def metadata(self, model: str) -> ModelMetadata:
        return read_metadata(
            await self._ask(model, "ModelMetadata", service_pb2.ModelMetadataRequest(name=model))
        )

    async def ready(self, model: str) -> bool:
        reply = await self._ask(model, "ModelReady", service_pb2.ModelReadyRequest(name=model))
        return bool(reply.ready)

    async def configuration(self, model: str) -> ModelConfiguration:
        reply = await self._ask(model, "ModelConfig", service_pb2.ModelConfigRequest(name=model))
        parameters = {key: value.string_value for key, value in reply.config.parameters.items()}
        return ModelConfiguration(int(reply.config.max_batch_size), parameters)

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        infer = self._connect(model).infer
        parts = request_parts(model, inputs, outputs)
        self.traffic.bytes_sent += sum(memoryview(part).nbytes for part in parts)
        reply: bytes = await self._call(model, infer, parts, self._endpoint.timeout_seconds)
        self.traffic.bytes_received += len(reply)
        return read_answer(reply, outputs)

    async def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            await self._connection.channel.close()

    async def _ask(self, model: str, method: str, request: Any) -> Any:
        seconds = min(DESCRIBE_TIMEOUT_SECONDS, self._endpoint.timeout_seconds)
        reply = await self._call(model, getattr(self._connect(model).stub, method), request, seconds)
        if reply is None:  # so says grpc.aio when it cannot parse what came
            raise RefusedError(f"{where(self._endpoint.address, model)}: its {method} is not KServe v2's")
        return reply

    async def _call(self, model: str, rpc: Callable[..., Any], request: Any, seconds: float) -> Any:
        try:
            metadata = (*self._endpoint.headers, *tracing.carried())
            return await rpc(request, timeout=seconds, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise call_error(error, where(self._endpoint.address, model)) from error
        except asyncio.CancelledError:
            # Closing the channel cancels the calls on it: no reason for the waiting task to end as well.
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                raise self._closed_error(model) from None
            raise

    def _closed_error(self, model: str) -> NoAnswerError:
        return NoAnswerError(f"{where(self._endpoint.address, model)}: the connection was closed")

    def _connect(self, model: str) -> _Connection:
        if self._closed:
            raise self._closed_error(model)
        if self._connection is None:
            channel = _open_channel(self._endpoint)
            self._connection = _Connection(
                channel,
                service_pb2_grpc.GRPCInferenceServiceStub(channel),
                # Parts are joined once, straight to the message's bytes; the answer is parsed by hand.
                channel.unary_unary(INFER, request_serializer=b"".join, response_deserializer=None),
            )
        return self._connection


def _open_channel(endpoint: Endpoint) -> grpc.aio.Channel:
    options = channel_options(endpoint.timeout_seconds)
    credentials = endpoint.grpc_credentials()
    if credentials is None:
        return grpc.aio.insecure_channel(endpoint.address, options)
    return grpc.aio.secure_channel(endpoint.address, credentials, options)
