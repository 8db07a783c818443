"""Life cycle of a gRPC server: listen, answer health checks truthfully, drain on SIGTERM or SIGINT, stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from pixelprobe_services.common.status import ErrorMap
from pixelprobe_services.server.auth import Authorization
from pixelprobe_services.server.bounds import Bounds, Places
from pixelprobe_services.server.connections import Connections, raise_descriptor_limit
from pixelprobe_services.server.interceptors import AroundInterceptor, interceptors
from pixelprobe_services.server.security import OPEN, Security
from pixelprobe_services.server.settings import StartError

MAX_MESSAGE_BYTES = 64 * 2**20
"""Both ways; an image of the largest size takes 48 MiB."""

DRAIN_SECONDS = 6.0
"""RPCs under way get this long to finish; with what follows, a stop stays within 10 s."""

READINESS_INTERVAL_SECONDS = 2.0
END_CHECK_SECONDS = 2.0
"""Between two checks whether gRPC's server still runs."""

_READINESS_TIMEOUT_SECONDS = 5.0

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", 256),
    # Notice a peer that vanished without a word, and let clients do the same to us.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    # Connections that never greet, or ask for nothing, occupy a descriptor; see also connections.py.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 300_000),
    # Two servers on one port would each get some of the calls.
    ("grpc.so_reuseport", 0),
)

_log = logging.getLogger(__name__)


class ServerEndedError(StartError):
    """gRPC's server ended without being stopped; a supervisor may restart this process."""

    exit_code = 1


AddServicers = Callable[[grpc.aio.Server], list[str]]
Readiness = Callable[[], Awaitable[bool]]


async def serve(
    *,
    listen: str,
    add_servicers: AddServicers,
    error_map: ErrorMap | None = None,
    watching: Sequence[AroundInterceptor] = (),
    readiness: Readiness | None = None,
    places: Mapping[str, Places] | None = None,
    on_shutdown: Callable[[], Awaitable[None]] | None = None,
    on_listening: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    drain_seconds: float = DRAIN_SECONDS,
    security: Security = OPEN,
) -> None:
    """Serve until SIGTERM, SIGINT or ``stop``; then refuse new RPCs and let those under way finish.

    Args:
        listen: HOST:PORT; port 0 lets the system choose.
        add_servicers: registers the servicers and returns their full service names.
        error_map: what the services' own exceptions mean.
        watching: see every RPC, as metrics and traces do.
        readiness: polled every READINESS_INTERVAL_SECONDS; health says SERVING only while it returns
            True. None: always ready.
        places: of methods whose requests are large, how many there may be at once; see ``Bounds``.
        on_shutdown: runs beside the drain, under the same limit: end streams, save state, close.
        on_listening: called with the real HOST:PORT once RPCs are accepted.
        stop: set it to stop without a signal.
        drain_seconds: what is still running after this long is cancelled.
        security: TLS, client certificates and tokens; without any, plaintext on loopback.

    Raises:
        StartError: ``listen`` cannot be had (taken, or no address of this machine), or not in plaintext.
        ServerEndedError: gRPC ended the server by itself.
    """
    security.check_address(listen)
    connections = Connections(raise_descriptor_limit())
    authorization = (Authorization(security.tokens),) if security.tokens else ()
    around = (*interceptors(error_map, watching, (*authorization, connections)), Bounds(places))
    server = grpc.aio.server(interceptors=around, options=(*_OPTIONS, *connections.options))
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    names = add_servicers(server)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    address = _bind(server, listen, security)

    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    try:
        # Set before the first RPC: the health servicer starts as SERVING.
        trouble = await _trouble(readiness)
        if trouble:
            _log.warning("not ready yet: %s", trouble)
        await _set_health(checks, names, not trouble)
        await server.start()
        _log.info("listening on %s (%s)", address, security)
        if on_listening:
            on_listening(address)
        tasks = [
            asyncio.create_task(_poll(checks, names, readiness, trouble)),
            asyncio.create_task(connections.watch(int(address.rpartition(":")[2]))),
        ]
        await _until(stop, server)
        for task in tasks:
            task.cancel()
        await _drain(server, checks, on_shutdown, drain_seconds)
        if not stop.is_set():
            raise ServerEndedError("the gRPC server ended by itself; the log says why")
    finally:
        # Signals stay handled until the loop is closed: a second one while all is put away must do no harm.
        await server.stop(None)
    _log.info("stopped")


def _bind(server: grpc.aio.Server, listen: str, security: Security) -> str:
    host, _, port = listen.rpartition(":")
    if port != "0":
        _probe(host.strip("[]"), int(port), listen)
    try:
        return f"{host}:{security.add_port(server, listen)}"
    except RuntimeError as error:
        raise StartError(f"cannot listen on {listen}: {error}") from error


def _probe(host: str, port: int, listen: str) -> None:
    """Bind and release the port: gRPC would not say why it cannot, and would log lines of its own."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, where in found:
            with socket.socket(family, kind, protocol) as probe:
                # As gRPC does; else connections of an earlier run that linger would count as taken.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(where)
    except OSError as error:
        raise StartError(f"cannot listen on {listen}: {error.strerror or error}") from error


async def _until(stop: asyncio.Event, server: grpc.aio.Server) -> None:
    """Wait until ``stop`` is set, or gRPC's own loop has failed, which it does not report."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), END_CHECK_SECONDS)
        try:
            runs = await server.wait_for_termination(0)
        except Exception:
            _log.exception("the gRPC server failed")
            return
        if not runs:
            return


async def _trouble(readiness: Readiness | None) -> str:
    """Return why the service is not ready; empty when it is. A check that raises or hangs counts as not."""
    if readiness is None:
        return ""
    try:
        ready = await asyncio.wait_for(readiness(), _READINESS_TIMEOUT_SECONDS)
    except Exception as error:
        return f"the readiness check failed: {error!r}"
    return "" if ready else "the readiness check says no"


async def _poll(
    checks: health.aio.HealthServicer, names: list[str], readiness: Readiness | None, trouble: str
) -> None:
    while readiness is not None:
        await asyncio.sleep(READINESS_INTERVAL_SECONDS)
        now = await _trouble(readiness)
        if bool(now) != bool(trouble):
            _log.warning("health: %s", now or "ready")
            await _set_health(checks, names, not now)
        trouble = now


async def _set_health(checks: health.aio.HealthServicer, names: list[str], ready: bool) -> None:
    status = health_pb2.HealthCheckResponse
    for name in ("", *names):
        await checks.set(name, status.SERVING if ready else status.NOT_SERVING)


async def _drain(
    server: grpc.aio.Server,
    checks: health.aio.HealthServicer,
    on_shutdown: Callable[[], Awaitable[None]] | None,
    seconds: float,
) -> None:
    _log.info("draining: RPCs under way have %.0f s to finish", seconds)
    await checks.enter_graceful_shutdown()
    stopping = asyncio.create_task(server.stop(seconds))
    if on_shutdown:
        try:
            await asyncio.wait_for(on_shutdown(), seconds)
        except Exception:
            _log.exception("the shutdown hook failed")
    await stopping
