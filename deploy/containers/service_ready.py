"""Health check of the service containers: ``service_ready.py HOST:PORT`` exits with 0 if it answers SERVING.

It connects by the service's own settings: by TLS where PIXELPROBE_TLS_CERT is set, trusting the
authorities of PIXELPROBE_TLS_CA, with the client certificate of PIXELPROBE_TLS_CLIENT_CERT and _KEY where one
is asked for. Health needs no token.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SECONDS = 3.0
_OPTIONS = (("grpc.enable_http_proxy", 0),)


def trouble(address: str) -> str:
    """Return why the service at ``address`` is not ready; empty when it is."""
    try:
        credentials = _credentials()
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    channel = (
        grpc.secure_channel(address, credentials, _OPTIONS)
        if credentials
        else grpc.insecure_channel(address, _OPTIONS)
    )
    with channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=SECONDS
            )
        except grpc.RpcError as error:
            return f"{address}: {error.code().name}: {error.details()}"
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return f"{address}: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"


def _credentials() -> grpc.ChannelCredentials | None:
    """Return None for plaintext."""
    if not os.environ.get("PIXELPROBE_TLS_CERT"):
        return None
    return grpc.ssl_channel_credentials(
        _read("PIXELPROBE_TLS_CA"), _read("PIXELPROBE_TLS_CLIENT_KEY"), _read("PIXELPROBE_TLS_CLIENT_CERT")
    )


def _read(variable: str) -> bytes | None:
    path = os.environ.get(variable)
    return Path(path).read_bytes() if path else None


if __name__ == "__main__":
    sys.exit(trouble(sys.argv[1]) or 0)
