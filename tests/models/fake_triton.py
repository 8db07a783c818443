"""A KServe gRPC server in this process that answers as one classifier would, or fails when told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

Classifier = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass
class FakeTriton:
    """``failures`` are given first, one an infer request; ``batches`` notes the shapes that came."""

    model: str
    classify: Classifier
    parameters: dict[str, str] = field(default_factory=dict)
    failures: list[grpc.StatusCode] = field(default_factory=list)
    batches: list[tuple[int, ...]] = field(default_factory=list)
    requests: int = 0

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve on a free port; gives HOST:PORT."""
        server = grpc.server(ThreadPoolExecutor(2))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_servicer(self), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def _servicer(fake: FakeTriton) -> Any:
    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
            return service_pb2.ModelReadyResponse(ready=request.name == fake.model)

        def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
            response = service_pb2.ModelConfigResponse()
            for name, value in fake.parameters.items():
                response.config.parameters[name].string_value = value
            return response

        def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
            fake.requests += 1
            if fake.failures:
                context.abort(fake.failures.pop(0), "told to fail")
            (tensor,) = request.inputs
            assert (tensor.name, tensor.datatype) == ("image", "UINT8")
            shape = tuple(tensor.shape)
            fake.batches.append(shape)
            images = np.frombuffer(request.raw_input_contents[0], dtype=np.uint8).reshape(shape)
            found = fake.classify(images).astype(np.float32)
            output = service_pb2.ModelInferResponse.InferOutputTensor(
                name="probabilities", datatype="FP32", shape=found.shape
            )
            return service_pb2.ModelInferResponse(outputs=[output], raw_output_contents=[found.tobytes()])

    return Servicer()
