"""Runs Triton in its container, with the local stack's flags, and with the APIs closed that no client here
uses.

It stays Triton's parent and ends with it, or ends it when a model's process is lost (see
pixelprobe_deploy/triton/supervisor.py): the container's restart policy then starts both again.

``--prepare`` only lays out the backends, at build time: the file system is read-only at run time.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from pixelprobe_deploy.triton.interpreter import RuntimeSetupError
from pixelprobe_deploy.triton.runtime import ServerSettings, TritonRuntime, prepare_runtime, server_command
from pixelprobe_deploy.triton.supervisor import Supervisor

REPOSITORY = Path("/srv/triton/models")
WHEEL_VENV, WHEEL_BACKENDS = Path("/opt/triton"), Path("/opt/backends")
NVIDIA = Path("/opt/tritonserver")
CLOSED = "shared-memory,model-repository,statistics,trace,logging"
"""Inference, health, metadata and the models' configuration, which has the largest batch, stay open."""

TRACES_ENV = "PIXELPROBE_TRITON_TRACES"
"""URL of the OTLP collector for spans over HTTP, http://HOST:4318/v1/traces. Unset: no spans.

Both builds of Triton support it: NVIDIA's images and the wheel's binary."""

STOP_SECONDS = 25
"""Time to finish requests in flight and unload; the containers' stop_grace_period is longer."""

CONNECTION_MS, CONNECTION_GRACE_MS = 60_000, 600_000
"""How long a gRPC connection lasts, and how long its last requests may take. Clients resolve the name again
when
one ends, and so find servers that were added since."""


def main() -> int:
    """Serve until a signal asks for the end. Returns the exit code."""
    on_gpus = not WHEEL_VENV.is_dir()
    runtime = _nvidia_runtime() if on_gpus else prepare_runtime(WHEEL_VENV, WHEEL_BACKENDS)
    if "--prepare" in sys.argv:
        return 0
    settings = ServerSettings(
        host="0.0.0.0",  # noqa: S104  (the container's network decides who can connect)
        http_port=8000,
        grpc_port=8001,
        metrics_port=8002,
        shared_memory_prefix="pixelprobe_",
    )
    key = f"key={secrets.token_hex(16)}"  # new at each start, and given to no client
    command = [  # if a flag is given twice, the last counts
        *server_command(runtime, REPOSITORY, settings),
        f"--http-restricted-api={CLOSED}:{key}",
        f"--grpc-restricted-protocol={CLOSED}:{key}",
        f"--exit-timeout-secs={STOP_SECONDS}",
        f"--grpc-max-connection-age={CONNECTION_MS}",
        f"--grpc-max-connection-age-grace={CONNECTION_GRACE_MS}",
        *(["--allow-gpu-metrics=true"] if on_gpus else []),
        *tracing_flags(os.environ.get(TRACES_ENV, "")),
    ]
    return Supervisor(command, runtime.environment(os.environ), f"127.0.0.1:{settings.http_port}").run()


def tracing_flags(url: str) -> list[str]:
    """Return flags for spans of requests that carry a traceparent, and (rate 0) of no others."""
    if not url:
        return []
    return [
        f"--trace-config={setting}"
        for setting in (
            "mode=opentelemetry",
            "rate=0",
            "level=TIMESTAMPS",
            f"opentelemetry,url={url}",
            "opentelemetry,resource=service.name=triton",
        )
    ]


def _nvidia_runtime() -> TritonRuntime:
    """Return the server of NVIDIA's image; its libraries are on the loader's path already."""
    executables = NVIDIA / "bin"
    return TritonRuntime(executables / "tritonserver", NVIDIA / "backends", "", executables, versions={})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, RuntimeSetupError) as error:
        sys.exit(f"serve_triton: {error}")
