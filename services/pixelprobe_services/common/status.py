"""Exceptions as gRPC's rich status and back: a client catches what the server raised.

On the wire an error is a ``google.rpc.Status`` with an ``ErrorInfo`` (domain ``pixelprobe``, the reason) and,
for a bad argument, a ``BadRequest`` that names the field; for a quota, a ``QuotaFailure``. See https://google.aip.dev/193.
"""

from __future__ import annotations

from collections.abc import Callable

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from pixelprobe_services.common.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    ResourceExhaustedError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
)

DOMAIN = "pixelprobe"

ErrorMap = dict[type[Exception], Callable[[Exception], ServiceError]]
"""Maps exceptions that are no ServiceError, by class; a subclass without an entry follows its base."""

_CODES: dict[type[ServiceError], grpc.StatusCode] = {
    InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    FailedPreconditionError: grpc.StatusCode.FAILED_PRECONDITION,
    ConflictError: grpc.StatusCode.ABORTED,
    ResourceExhaustedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    ServiceError: grpc.StatusCode.INTERNAL,
}

_CLASSES: dict[grpc.StatusCode, type[ServiceError]] = {
    **{code: kind for kind, code in _CODES.items() if kind is not InvalidArgumentError},
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
}

_BARE_REASONS = {
    grpc.StatusCode.CANCELLED: "CANCELLED",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_EXCEEDED",
    grpc.StatusCode.UNIMPLEMENTED: "UNIMPLEMENTED",
}
"""Reasons of statuses without ErrorInfo, where the exception's own reason is less precise."""

# A status is sent in HTTP/2 headers, which peers limit to 8 KiB in all; the message is in them twice.
_MAX_TEXT_BYTES = 1000


def to_code(error: ServiceError) -> grpc.StatusCode:
    """Return the gRPC code of the nearest class that has one."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def to_status(error: ServiceError) -> status_pb2.Status:
    """Return the rich status; long texts are cut so that the headers stay within their limit."""
    message = _cut(error.message)
    status = status_pb2.Status(code=to_code(error).value[0], message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=_cut(error.reason), domain=DOMAIN))
    if isinstance(error, InvalidArgumentError):
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=_cut(error.field), description=_cut(error.description)
        )
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, QuotaExceededError):
        exceeded = error_details_pb2.QuotaFailure.Violation(
            subject=_cut(error.subject), description=_cut(error.description)
        )
        status.details.add().Pack(error_details_pb2.QuotaFailure(violations=[exceeded]))
    return status


def from_rpc_error(error: grpc.RpcError) -> ServiceError:
    """Return the exception that the server raised, as far as its status says; never raises.

    A missed deadline and a missing connection are both UnavailableError (reasons DEADLINE_EXCEEDED and
    UNAVAILABLE); a code that pixelprobe does not use becomes a plain ServiceError, reason INTERNAL.
    """
    # The error of a call has these two methods; a bare RpcError has neither.
    code: grpc.StatusCode = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
    message = (error.details() if hasattr(error, "details") else str(error)) or code.name
    info, violation = _details(error)
    reason = info.reason if info and info.domain == DOMAIN else _BARE_REASONS.get(code)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE):
        field, description = (violation.field, violation.description) if violation else ("", message)
        invalid = InvalidArgumentError(field, description)
        invalid.reason = reason or invalid.reason
        return invalid
    kind = _CLASSES.get(code, ServiceError)
    if kind is ServiceError:
        reason = reason or "INTERNAL"
    return kind(message, reason=reason)


def _details(
    error: grpc.RpcError,
) -> tuple[error_details_pb2.ErrorInfo | None, error_details_pb2.BadRequest.FieldViolation | None]:
    try:
        status = rpc_status.from_call(error)
    except (AttributeError, DecodeError, ValueError):
        # A plain RpcError, or details that contradict the status: use the status alone.
        status = None
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    found = None
    for detail in status.details if status else ():
        try:
            if detail.Is(info.DESCRIPTOR):
                detail.Unpack(info)
                found = info
            elif detail.Is(request.DESCRIPTOR):
                detail.Unpack(request)
        except DecodeError:
            continue
    return found, request.field_violations[0] if request.field_violations else None


def _cut(text: str) -> str:
    encoded = text.encode(errors="replace")
    if len(encoded) <= _MAX_TEXT_BYTES:
        return encoded.decode()
    return encoded[: _MAX_TEXT_BYTES - 3].decode(errors="ignore") + "..."
