"""Prometheus metrics that all services have, and the HTTP page that serves them.

Each service makes one registry and passes it on; nothing is registered globally. Labels have few values, all
known beforehand: methods, codes, targets and outcomes, never ids or texts from clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.process_collector import ProcessCollector

from pixelprobe_services.common.version import own_version
from pixelprobe_services.server.interceptors import AroundInterceptor, Call, code_of
from pixelprobe_services.server.settings import StartError

RPC_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)

_log = logging.getLogger(__name__)


def new_registry(service: str) -> CollectorRegistry:
    """Return a registry with the program's version and the process's use of resources."""
    registry = CollectorRegistry()
    build = Gauge(
        "pixelprobe_build_info",
        "Always 1; the labels say what runs.",
        ["service", "version"],
        registry=registry,
    )
    build.labels(service, own_version() or "unknown").set(1)
    ProcessCollector(registry=registry)
    return registry


class RpcMetrics(AroundInterceptor):
    """Counts and times every RPC of a method that exists."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter("pixelprobe_rpcs", "RPCs that ended.", ["method", "code"], registry=registry)
        self._seconds = Histogram(
            "pixelprobe_rpc_seconds",
            "How long RPCs took; streams last as long as their clients stay.",
            ["method"],
            buckets=RPC_SECONDS,
            registry=registry,
        )
        self._in_flight = Gauge("pixelprobe_rpcs_in_flight", "RPCs in progress.", registry=registry)

    @contextlib.asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Count when the RPC ends, however it ends."""
        method = call.method.removeprefix("/")
        start = time.perf_counter()
        code = ""
        self._in_flight.inc()
        self._ended.labels(method, "INTERNAL")  # exposed as 0, so that the first one is a change
        try:
            yield
        except asyncio.CancelledError:
            code = code_of(call, cancelled=True).name
            raise
        finally:
            self._in_flight.dec()
            self._ended.labels(method, code or code_of(call).name).inc()
            self._seconds.labels(method).observe(time.perf_counter() - start)


@contextlib.contextmanager
def exposed(registry: CollectorRegistry, listen: str) -> Iterator[None]:
    """Serve HTTP GET /metrics on ``listen`` (HOST:PORT; "" for nowhere) until the block ends.

    Raises:
        StartError: it cannot listen on that address.
    """
    if not listen:
        yield
        return
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError as error:
        raise StartError(f"cannot serve metrics on {listen}: {error.strerror or error}") from error
    _log.info("metrics on http://%s:%d/metrics", host, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
