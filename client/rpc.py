"""How the client calls: channels with a bounded retry policy, and a status turned into an exception."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from client.tracing import traced
from services.common.errors import ServiceError, UnavailableError
from services.common.status import from_rpc_error

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
"""Methods that may run twice without harm. WatchCampaign reconnects by itself, from where it was."""

_RETRY_BUFFER_BYTES = 64 * 2**20  # beyond its default gRPC silently stops retrying a call


class UnreachableError(UnavailableError):
    """Nobody answers at the address, as opposed to a server that says it is unavailable."""

    reason = "UNREACHABLE"

    def __init__(self, service: str, address: str) -> None:
        super().__init__(f"the {service} service does not answer at {address}")
        self.service = service
        self.address = address


def open_channel(address: str) -> grpc.Channel:
    """A channel that connects on first use and tries the safe methods up to four times on UNAVAILABLE."""
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
        # A proxy from the environment cannot reach this machine's own loopback.
        ("grpc.enable_http_proxy", 0 if _is_loopback(address) else 1),
    ]
    return traced(grpc.insecure_channel(address, options=options))


@contextmanager
def mapped_errors(service: str, address: str) -> Iterator[None]:
    """Turn a failed call inside into the exception that the server raised.

    Raises:
        UnreachableError: there was no server to ask.
        ServiceError: whatever the status says, by :func:`services.common.status.from_rpc_error`.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise to_exception(error, service, address) from error


def to_exception(error: grpc.RpcError, service: str, address: str) -> ServiceError:
    """The exception for a failed call; see :func:`mapped_errors`."""
    if _is_unavailable(error) and not _has_details(error):
        return UnreachableError(service, address)
    return from_rpc_error(error)


def _is_unavailable(error: grpc.RpcError) -> bool:
    return isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNAVAILABLE


def _has_details(error: grpc.RpcError) -> bool:
    """Our servers say why in rich details; the channel itself, when it cannot connect, has none."""
    if not isinstance(error, grpc.Call):
        return False
    return "grpc-status-details-bin" in dict(error.trailing_metadata() or ())


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
