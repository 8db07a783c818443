"""Health checks over the network, as clients would make them."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

_SECONDS = 3.0
_OPTIONS = (("grpc.enable_http_proxy", 0),)


def triton_is_healthy(address: str, models: Iterable[str]) -> bool:
    """Whether Triton at ``address`` is ready and has every one of ``models`` ready."""
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            if not stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=_SECONDS).ready:
                return False
            requests = (service_pb2.ModelReadyRequest(name=name) for name in models)
            return all(stub.ModelReady(request, timeout=_SECONDS).ready for request in requests)
        except grpc.RpcError:
            return False


def service_is_healthy(address: str) -> bool:
    """Whether the service at ``address`` answers SERVING by the standard health protocol."""
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_SECONDS)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
