"""Channels of the client with a bounded retry policy, and statuses as exceptions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from pixelprobe.tls_errors import tls_error
from pixelprobe.tracing import traced
from pixelprobe_services.common.errors import ServiceError, UnavailableError
from pixelprobe_services.common.peers import PLAIN, Peer, is_loopback
from pixelprobe_services.common.status import from_rpc_error

RETRIED_METHODS = {
    "pixelprobe.attack.v1.AttackService": (
        "ListTargets",
        "UploadImages",
        "GetImage",
        "CreateCampaign",  # idempotent by its request_id, which the client always sends
        "GetCampaign",
        "ListCampaigns",
        "CancelCampaign",
        "GetAttack",
        "ListAttacks",
        "ListResults",
    ),
    "pixelprobe.segmentation.v1.SegmentationService": ("Segment", "ListSegmenters"),
}
"""Idempotent methods. WatchCampaign is not retried: the client reconnects after the last event seen."""

_RETRY_BUFFER_BYTES = 64 * 2**20  # calls larger than this buffer are silently not retried


class UnreachableError(UnavailableError):
    """No server answers at the address, as opposed to a server that reports being unavailable."""

    reason = "UNREACHABLE"

    def __init__(self, service: str, address: str) -> None:
        super().__init__(f"the {service} service does not answer at {address}")
        self.service = service
        self.address = address


def open_channel(address: str, peer: Peer = PLAIN) -> grpc.Channel:
    """Return a channel that connects on first use; on UNAVAILABLE idempotent methods get four attempts.

    Raises:
        PeerError: the token would be sent unencrypted to another machine.
    """
    retry = {
        "maxAttempts": 4,
        "initialBackoff": "0.2s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    names = [
        {"service": service, "method": method}
        for service, methods in RETRIED_METHODS.items()
        for method in methods
    ]
    options: list[tuple[str, str | int]] = [
        ("grpc.max_send_message_length", -1),
        ("grpc.max_receive_message_length", -1),
        ("grpc.per_rpc_retry_buffer_size", _RETRY_BUFFER_BYTES),
        ("grpc.service_config", json.dumps({"methodConfig": [{"name": names, "retryPolicy": retry}]})),
        # A proxy from the environment cannot reach this machine's loopback.
        ("grpc.enable_http_proxy", 0 if is_loopback(address) else 1),
    ]
    credentials = peer.credentials(address)
    channel = (
        grpc.secure_channel(address, credentials, options=options)
        if credentials
        else grpc.insecure_channel(address, options=options)
    )
    return traced(grpc.intercept_channel(channel, _Metadata(peer.metadata)) if peer.metadata else channel)


class _Details(grpc.ClientCallDetails):
    """Details of ``call`` with more metadata."""

    def __init__(self, call: Any, more: tuple[tuple[str, str], ...]) -> None:
        self.method = call.method
        self.timeout = call.timeout
        self.metadata = (*(call.metadata or ()), *more)
        self.credentials = call.credentials
        self.wait_for_ready = call.wait_for_ready
        self.compression = call.compression


class _Metadata(
    grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamUnaryClientInterceptor
):
    """Adds metadata to every call. gRPC's own call credentials would require TLS on loopback too."""

    def __init__(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._metadata = metadata

    def intercept_unary_unary(self, continuation: Callable[..., Any], call: Any, request: Any) -> Any:
        return continuation(_Details(call, self._metadata), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], call: Any, request: Any) -> Any:
        return continuation(_Details(call, self._metadata), request)

    def intercept_stream_unary(self, continuation: Callable[..., Any], call: Any, requests: Any) -> Any:
        return continuation(_Details(call, self._metadata), requests)


@contextmanager
def mapped_errors(service: str, address: str, peer: Peer = PLAIN) -> Iterator[None]:
    """Turn a failed call in the block into the exception that the server raised.

    Raises:
        UnreachableError: no server answers.
        TlsError: the TLS handshake failed.
        ServiceError: what the status says, by :func:`pixelprobe_services.common.status.from_rpc_error`.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise to_exception(error, service, address, peer) from error


def to_exception(error: grpc.RpcError, service: str, address: str, peer: Peer = PLAIN) -> ServiceError:
    """Return the exception for a failed call; see :func:`mapped_errors`."""
    if _is_unavailable(error) and not _has_details(error):
        details = (error.details() or "") if isinstance(error, grpc.Call) else ""
        tls = tls_error(details, service, address, tls=peer.tls, certificate=peer.certificate is not None)
        return tls or UnreachableError(service, address)
    return from_rpc_error(error)


def _is_unavailable(error: grpc.RpcError) -> bool:
    return isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNAVAILABLE


def _has_details(error: grpc.RpcError) -> bool:
    """Whether the status has rich details: a server's has, a failed connection's has not."""
    if not isinstance(error, grpc.Call):
        return False
    return "grpc-status-details-bin" in dict(error.trailing_metadata() or ())
