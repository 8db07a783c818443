"""KServe v2's gRPC messages (with Triton's protobuf), as pure functions: requests, answers, refusals.

Used by the asynchronous client and by the blocking one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from pixelprobe_services.kserve.client import MAX_ANSWER_BYTES
from pixelprobe_services.kserve.errors import (
    BadAnswerError,
    CallError,
    NoAnswerError,
    RefusedError,
    TimedOutError,
    TurnedAwayError,
    UnknownModelError,
    short,
)
from pixelprobe_services.kserve.tensors import (
    ModelMetadata,
    TensorSpec,
    datatype_of,
    from_raw,
    from_values,
    wire_bytes,
)

INFER = "/inference.GRPCInferenceService/ModelInfer"

_NEVER_MENDED = ("larger than max", "protocol is restricted")
"""Parts of refusals whose code promises more although repeating cannot help: a message over a proxy's limit,
and Triton's answer where a header is missing."""
_MENDED_SOON = ("Stub process", "is not healthy")
"""Parts of an INTERNAL answer that passes: Triton's Python backend says so while its process is starved of
CPU or is being started again."""
_BAD_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
"""Part of gRPC's UNAVAILABLE for a server whose certificate is expired, of another name or not trusted."""
_BROKEN = (
    "socket closed",
    "connection reset",
    "broken pipe",
    "cancelling all calls",
    "goaway",
    "stream removed",
    "end of tcp stream",
    "endpoint closing",
    "transport closed",
    "keepalive",
    "ping timeout",
    "recvmsg",
    "sendmsg",
)
"""Parts (in lower case) of gRPC's own texts for a connection that ended under a call; its code, UNAVAILABLE,
is also that of a call which never left and of one that the server turned away."""

_LENGTH_DELIMITED = 2
_RAW_INPUT_TAG = bytes(
    [service_pb2.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | _LENGTH_DELIMITED]
)

_TYPED_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where servers that send no raw bytes put an output's values."""

Part = bytes | memoryview


def channel_options(timeout_seconds: float) -> list[tuple[str, Any]]:
    """Options of a channel whose retries, deadlines and share of several servers are its user's."""
    # Keepalive detects a silently lost connection within a deadline. More pings per call would make a
    # server with gRPC's default settings hang up.
    keepalive_ms = max(10_000, int(timeout_seconds * 500))
    return [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
        ("grpc.enable_retries", 0),  # a retry is a query too and must pass the ledger
        ("grpc.use_local_subchannel_pool", 1),  # each client has its own connection, flow control, back-off
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A name may stand for several servers. It is looked up again when a connection ends, but not sooner
        # than this after the last time.
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ]


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


def read_answer(reply: bytes, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The wanted outputs of a serialised ModelInferResponse.

    Raises:
        BadAnswerError: it does not parse, lacks an output, or contradicts itself.
    """
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
            contents = getattr(output.contents, _TYPED_CONTENTS.get(output.datatype, "fp32_contents"))
            answer[name] = from_values(name, output.datatype, output.shape, list(contents))
    return answer


def read_metadata(reply: Any) -> ModelMetadata:
    """A ModelMetadataResponse as ours."""
    return ModelMetadata(_specs(reply.inputs), _specs(reply.outputs))


def _specs(tensors: Iterable[Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(tensor.name, tensor.datatype, tuple(tensor.shape)) for tensor in tensors)


def call_error(error: grpc.RpcError, place: str) -> CallError:
    """Return the exception for a failed call; ``place`` begins its message."""
    code, details = error.code(), error.details() or "no details"
    message = f"{place}: {code.name}: {short(details)}"
    if any(part in details for part in _NEVER_MENDED):
        return RefusedError(message)
    _, rejected, reason = details.partition(_BAD_CERTIFICATE)
    if rejected:
        return TurnedAwayError(f"{place}: its TLS certificate is not accepted: {short(reason.lstrip(': '))}")
    match code:
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return TimedOutError(message)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return TurnedAwayError(message, _retry_delay(error))
        case grpc.StatusCode.UNAVAILABLE:
            if any(part in details.lower() for part in _BROKEN):
                return NoAnswerError(message)  # the model may have run by then
            return TurnedAwayError(message, _retry_delay(error))
        case grpc.StatusCode.CANCELLED:
            return NoAnswerError(message)
        case grpc.StatusCode.NOT_FOUND:
            return UnknownModelError(message)
        case grpc.StatusCode.INTERNAL if all(part in details for part in _MENDED_SOON):
            return NoAnswerError(message)
    return RefusedError(message)


def _retry_delay(error: grpc.RpcError) -> float | None:
    """Seconds that the server asks to wait: google.rpc.RetryInfo, or gRPC's pushback header."""
    trailing: Any = error.trailing_metadata()
    for name, value in trailing or ():
        if name == "grpc-retry-pushback-ms":
            try:
                seconds = int(value) / 1000
            except ValueError:
                continue
            return seconds if seconds >= 0 else None
        if name == "grpc-status-details-bin":
            try:
                details = status_pb2.Status.FromString(value).details
            except DecodeError:
                continue
            info = error_details_pb2.RetryInfo()
            for detail in details:
                if detail.Is(info.DESCRIPTOR) and _unpacked(detail, info):
                    delay = info.retry_delay.seconds + info.retry_delay.nanos / 1e9
                    return delay if math.isfinite(delay) and delay >= 0 else None
    return None


def _unpacked(detail: Any, info: Any) -> bool:
    try:
        return bool(detail.Unpack(info))
    except DecodeError:
        return False
