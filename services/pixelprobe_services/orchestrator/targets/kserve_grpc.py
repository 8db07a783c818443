"""KServe v2 over gRPC, with Triton's messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from pixelprobe_services.common import tracing
from pixelprobe_services.kserve.tensors import (
    BadAnswerError,
    ModelConfiguration,
    ModelMetadata,
    TensorSpec,
    datatype_of,
    from_raw,
    from_values,
    wire_bytes,
)
from pixelprobe_services.kserve.tls import grpc_credentials
from pixelprobe_services.kserve.transport import (
    DESCRIBE_TIMEOUT_SECONDS,
    MAX_ANSWER_BYTES,
    Transport,
    short,
    where,
)
from pixelprobe_services.orchestrator.targets.base import TargetError, TargetStats, TargetUnavailableError
from pixelprobe_services.orchestrator.targets.config import TargetConfig

_INFER = "/inference.GRPCInferenceService/ModelInfer"

_SAFE_TO_REPEAT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
    }
)
_NEVER_MENDED = ("larger than max", "protocol is restricted")
"""Parts of refusals that come under one of the codes above although repeating cannot help: a message over
a proxy's limit, and Triton's answer where a header is missing."""
_MENDED_SOON = ("Stub process", "is not healthy")
"""Parts of an INTERNAL answer that passes: Triton's Python backend says so while its process is starved of
CPU or is being started again."""

_LENGTH_DELIMITED = 2
_RAW_INPUT_TAG = bytes(
    [service_pb2.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | _LENGTH_DELIMITED]
)

_TYPED_CONTENTS = {
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}
"""Where servers that send no raw bytes put an output's values."""

Part = bytes | memoryview


@dataclass(frozen=True)
class _Connection:
    channel: grpc.aio.Channel
    stub: Any
    infer: grpc.aio.UnaryUnaryMultiCallable[Sequence[Part], bytes]


class GrpcTransport(Transport):
    """One channel, connected with the first question."""

    def __init__(self, config: TargetConfig) -> None:
        self._config = config
        self._connection: _Connection | None = None
        self._closed = False

    async def metadata(self, model: str) -> ModelMetadata:
        reply = await self._ask(model, "ModelMetadata", service_pb2.ModelMetadataRequest(name=model))
        return ModelMetadata(_specs(reply.inputs), _specs(reply.outputs))

    async def ready(self, model: str) -> bool:
        reply = await self._ask(model, "ModelReady", service_pb2.ModelReadyRequest(name=model))
        return bool(reply.ready)

    async def configuration(self, model: str) -> ModelConfiguration:
        reply = await self._ask(model, "ModelConfig", service_pb2.ModelConfigRequest(name=model))
        parameters = {key: value.string_value for key, value in reply.config.parameters.items()}
        return ModelConfiguration(int(reply.config.max_batch_size), parameters)

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], stats: TargetStats
    ) -> dict[str, NDArray[Any]]:
        infer = self._connect(model).infer
        parts = request_parts(model, inputs, outputs)
        stats.bytes_sent += sum(memoryview(part).nbytes for part in parts)
        reply: bytes = await self._call(model, infer, parts, self._config.timeout_seconds)
        stats.bytes_received += len(reply)
        return _read_reply(reply, outputs)

    async def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            await self._connection.channel.close()

    async def _ask(self, model: str, method: str, request: Any) -> Any:
        seconds = min(DESCRIBE_TIMEOUT_SECONDS, self._config.timeout_seconds)
        reply = await self._call(model, getattr(self._connect(model).stub, method), request, seconds)
        if reply is None:  # so says grpc.aio when it cannot parse what came
            raise TargetError(f"{where(self._config.address, model)}: its {method} is not KServe v2's")
        return reply

    async def _call(self, model: str, rpc: Callable[..., Any], request: Any, seconds: float) -> Any:
        try:
            metadata = (*self._config.headers, *tracing.carried())
            return await rpc(request, timeout=seconds, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error, model) from error
        except asyncio.CancelledError:
            # Closing the channel cancels the calls on it: no reason for the task that waited to end as well.
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                raise self._closed_error(model) from None
            raise

    def _translated(self, error: grpc.aio.AioRpcError, model: str) -> TargetError:
        code, details = error.code(), error.details() or "no details"
        message = f"{where(self._config.address, model)}: {code.name}: {short(details)}"
        mendable = code in _SAFE_TO_REPEAT and not any(part in details for part in _NEVER_MENDED)
        starved = code is grpc.StatusCode.INTERNAL and all(part in details for part in _MENDED_SOON)
        return TargetUnavailableError(message) if mendable or starved else TargetError(message)

    def _closed_error(self, model: str) -> TargetUnavailableError:
        return TargetUnavailableError(f"{where(self._config.address, model)}: the connection was closed")

    def _connect(self, model: str) -> _Connection:
        if self._closed:
            raise self._closed_error(model)
        if self._connection is None:
            channel = _open_channel(self._config)
            self._connection = _Connection(
                channel,
                service_pb2_grpc.GRPCInferenceServiceStub(channel),
                # Parts are joined once, straight to the message's bytes; the answer is parsed by hand.
                channel.unary_unary(_INFER, request_serializer=b"".join, response_deserializer=None),
            )
        return self._connection


def _open_channel(config: TargetConfig) -> grpc.aio.Channel:
    # A connection that died without a word is found out within a deadline. More pings than that a call
    # would make a server with gRPC's default settings hang up on us.
    keepalive_ms = max(10_000, int(config.timeout_seconds * 500))
    options: list[tuple[str, Any]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.enable_retries", 0),  # a retry is a query too and must pass the ledger
        (
            "grpc.use_local_subchannel_pool",
            1,
        ),  # each target a connection, flow control and back-off of its own
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A name may stand for several servers. It is looked up again when a connection ends, but not sooner
        # than this after the last time.
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ]
    if not config.tls:
        return grpc.aio.insecure_channel(config.address, options)
    return grpc.aio.secure_channel(config.address, grpc_credentials(config), options)


def request_parts(model: str, inputs: Mapping[str, NDArray[Any]], outputs: Iterable[str]) -> list[Part]:
    """The parts of a serialised ModelInferRequest, in order; arrays go in as they are, without a copy.

    protobuf's own serialisation copies megabytes of images twice. Fields of one message may simply follow
    each other, so the small ones are serialised by protobuf and ``raw_input_contents`` is appended.
    """
    header = service_pb2.ModelInferRequest(
        model_name=model,
        inputs=[
            service_pb2.ModelInferRequest.InferInputTensor(
                name=name, datatype=datatype_of(array.dtype), shape=array.shape
            )
            for name, array in inputs.items()
        ],
        outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
    )
    parts: list[Part] = [header.SerializeToString()]
    for array in inputs.values():
        parts += [_RAW_INPUT_TAG + _varint(array.nbytes), wire_bytes(array)]
    return parts


def _varint(value: int) -> bytes:
    """Protobuf's base-128 number: seven bits a byte, the lowest first, the eighth bit when more follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_reply(reply: bytes, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    try:
        response = service_pb2.ModelInferResponse.FromString(reply)
    except DecodeError as error:
        raise BadAnswerError("the answer is not KServe v2's") from error
    raw = response.raw_output_contents
    if raw and len(raw) != len(response.outputs):
        raise BadAnswerError(f"the answer has {len(response.outputs)} outputs and {len(raw)} raw contents")
    found = {output.name: position for position, output in enumerate(response.outputs)}
    answer = {}
    for name in wanted:
        if name not in found:
            raise BadAnswerError(f"the answer lacks output '{name}'")
        output = response.outputs[found[name]]
        if raw:
            answer[name] = from_raw(name, output.datatype, output.shape, raw[found[name]])
        else:
            contents = getattr(output.contents, _TYPED_CONTENTS.get(output.datatype, "bytes_contents"))
            answer[name] = from_values(name, output.datatype, output.shape, np.array(contents))
    return answer


def _specs(tensors: Iterable[Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in tensors)
