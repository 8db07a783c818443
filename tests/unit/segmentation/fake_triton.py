"""A server of saliency that misbehaves on demand: for faults that a real Triton cannot be asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

SIDE = 320


def metadata(image: str = "UINT8", output: str = "saliency") -> Any:
    tensor = service_pb2.ModelMetadataResponse.TensorMetadata
    return service_pb2.ModelMetadataResponse(
        name="u2net",
        inputs=[tensor(name="image", datatype=image, shape=[-1, SIDE, SIDE, 3])],
        outputs=[tensor(name=output, datatype="FP32", shape=[-1, SIDE, SIDE])],
    )


def answer(saliency: np.ndarray[Any, Any], name: str = "saliency") -> Any:
    reply = service_pb2.ModelInferResponse()
    reply.outputs.add(name=name, datatype="FP32", shape=saliency.shape)
    reply.raw_output_contents.append(saliency.astype("<f4").tobytes())
    return reply


def redness(request: Any) -> Any:
    """Raw saliency that grows with red and is of no handy range."""
    shape = tuple(request.inputs[0].shape)
    image = np.frombuffer(request.raw_input_contents[0], np.uint8).reshape(shape)
    return answer(image[..., 0] / 10.0 - 3)


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Honest until told otherwise; ``refusals`` are raised once each, in order."""

    def __init__(self) -> None:
        self.refusals: list[tuple[grpc.StatusCode, str]] = []
        self.ready = True
        self.known = True
        self.metadata = metadata()
        self.reply: Any = redness
        self.asked = 0
        self.checked = 0
        self.held: threading.Event | None = None
        self.cancelled = threading.Event()

    def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.checked += 1
        if not self.known:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}'")
        return service_pb2.ModelReadyResponse(ready=self.ready)

    def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.metadata

    def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked += 1
        if self.held:
            context.add_callback(self.cancelled.set)
            self.held.wait(10)
        if self.refusals:
            context.abort(*self.refusals.pop(0))
        return self.reply(request)


@contextmanager
def serving(servicer: FakeTriton) -> Iterator[str]:
    """Its address, until the block ends."""
    server = grpc.server(ThreadPoolExecutor(8))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        if servicer.held:
            servicer.held.set()
        server.stop(None).wait()
