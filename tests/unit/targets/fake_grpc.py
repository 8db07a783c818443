"""A KServe v2 gRPC server that misbehaves on demand: for faults that a real server cannot be asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

CLASSES = 3
SIDE = 4

Reply = Callable[[Any], Any]


def tensor(name: str, datatype: str, shape: list[int]) -> Any:
    return service_pb2.ModelMetadataResponse.TensorMetadata(name=name, datatype=datatype, shape=shape)


def toy_metadata(**changes: Any) -> Any:
    """Metadata that keeps the contract, but for the changes."""
    fields: dict[str, Any] = {
        "inputs": [tensor("image", "UINT8", [-1, SIDE, SIDE, 3])],
        "outputs": [tensor("scores", "FP32", [-1, CLASSES])],
    }
    return service_pb2.ModelMetadataResponse(name="toy", **{**fields, **changes})


def edits_metadata() -> Any:
    return service_pb2.ModelMetadataResponse(
        name="toy_edits",
        inputs=[
            tensor("images", "UINT8", [-1, SIDE, SIDE, 3]),
            tensor("image_index", "INT32", [-1]),
            tensor("edits", "INT16", [-1, -1, 5]),
            tensor("classes", "INT32", [-1, -1]),
        ],
        outputs=[
            tensor("class_probabilities", "FP32", [-1, -1]),
            tensor("top_classes", "INT32", [-1, CLASSES]),
            tensor("top_probabilities", "FP32", [-1, CLASSES]),
        ],
    )


def response(**outputs: np.ndarray[Any, Any]) -> Any:
    """A well-formed answer with these outputs as raw bytes."""
    types = {"float32": "FP32", "float64": "FP64", "int32": "INT32"}
    answer = service_pb2.ModelInferResponse()
    for name, array in outputs.items():
        answer.outputs.add(name=name, datatype=types[array.dtype.name], shape=array.shape)
        answer.raw_output_contents.append(array.tobytes())
    return answer


def honest(request: Any) -> Any:
    """Scores that depend on each image's first pixel: its colours over their sum."""
    count = request.inputs[0].shape[0]
    images = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(count, SIDE, SIDE, 3)
    colours = images[:, 0, 0].astype(np.float32) + 1
    return response(scores=colours / colours.sum(axis=1, keepdims=True))


class FakeServer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Honest until told otherwise. ``refusal`` is (status, text) of every ModelInfer."""

    def __init__(self) -> None:
        self.models: dict[str, Any] = {"toy": toy_metadata()}
        self.is_ready = True
        self.max_batch_size: int | None = None
        self.parameters: dict[str, str] = {}
        self.reply: Reply = honest
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.trailing: Any = ()
        self.delay_seconds = 0.0
        self.seen: list[Any] = []
        self.headers: dict[str, Any] = {}
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name not in self.models:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown model: '{request.name}' is not found")
        return self.models[request.name]

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=self.is_ready)

    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.max_batch_size is None:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such extension")
        answer = service_pb2.ModelConfigResponse()
        answer.config.max_batch_size = self.max_batch_size
        for name, value in self.parameters.items():
            answer.config.parameters[name].string_value = value
        return answer

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.seen.append(request)
        self.headers = {key: value for key, value in context.invocation_metadata()}  # noqa: C416
        self.started.set()
        try:
            await asyncio.sleep(self.delay_seconds)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.refusal:
            await context.abort(*self.refusal, self.trailing)
        return self.reply(request)


async def serve(
    servicer: FakeServer,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
) -> tuple[grpc.aio.Server, str]:
    """A started server and its address."""
    server = grpc.aio.server(options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    return server, f"{address.rpartition(':')[0]}:{port}"
