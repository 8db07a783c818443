"""What a server raises is what a client catches."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from pixelprobe_services.common.errors import (
    AlreadyExistsError,
    ConflictError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
)
from pixelprobe_services.common.status import DOMAIN, from_rpc_error, to_status


class SpecialError(FailedPreconditionError):
    """A room's own kind."""

    reason = "SPECIAL"


def over_the_wire(status: status_pb2.Status) -> grpc.aio.AioRpcError:
    sent = rpc_status.to_status(status)
    return grpc.aio.AioRpcError(
        sent.code, grpc.aio.Metadata(), grpc.aio.Metadata(*sent.trailing_metadata), sent.details
    )


def bare(code: grpc.StatusCode, details: str | None = "told") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidArgumentError("spec.seed", "is off"), code_pb2.INVALID_ARGUMENT),
        (NotFoundError("gone"), code_pb2.NOT_FOUND),
        (AlreadyExistsError("taken", reason="NAME_TAKEN"), code_pb2.ALREADY_EXISTS),
        (FailedPreconditionError("not now"), code_pb2.FAILED_PRECONDITION),
        (ConflictError("too late"), code_pb2.ABORTED),
        (ResourceExhaustedError("full", reason="DISK_FULL"), code_pb2.RESOURCE_EXHAUSTED),
        (UnauthenticatedError("who?"), code_pb2.UNAUTHENTICATED),
        (PermissionDeniedError("no"), code_pb2.PERMISSION_DENIED),
        (UnavailableError("away"), code_pb2.UNAVAILABLE),
        (ServiceError("broken", reason="TARGET_FAILED"), code_pb2.INTERNAL),
    ],
)
def test_each_kind_goes_and_comes_back(error: ServiceError, code: int) -> None:
    status = to_status(error)
    assert status.code == code
    back = from_rpc_error(over_the_wire(status))
    assert type(back) is type(error)
    assert (back.message, back.reason) == (error.message, error.reason)


def test_a_bad_field_is_told_as_bad_request_and_comes_back() -> None:
    status = to_status(InvalidArgumentError("grabcut.strokes[2].width", "70 is not in 1 to 64"))
    request = error_details_pb2.BadRequest()
    assert [detail.Unpack(request) for detail in status.details] == [False, True]
    assert request.field_violations[0].field == "grabcut.strokes[2].width"
    back = from_rpc_error(over_the_wire(status))
    assert isinstance(back, InvalidArgumentError)
    assert (back.field, back.description) == ("grabcut.strokes[2].width", "70 is not in 1 to 64")


def test_error_info_carries_the_reason_in_our_domain() -> None:
    info = error_details_pb2.ErrorInfo()
    assert to_status(SpecialError("x")).details[0].Unpack(info)
    assert (info.reason, info.domain) == ("SPECIAL", DOMAIN)


def test_a_subclass_comes_back_as_its_kind_with_its_reason() -> None:
    back = from_rpc_error(over_the_wire(to_status(SpecialError("x"))))
    assert type(back) is FailedPreconditionError
    assert back.reason == "SPECIAL"


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, UnavailableError, "UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, UnavailableError, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.UNKNOWN, ServiceError, "INTERNAL"),
        (grpc.StatusCode.INTERNAL, ServiceError, "INTERNAL"),
        (grpc.StatusCode.DATA_LOSS, ServiceError, "INTERNAL"),
        (grpc.StatusCode.UNIMPLEMENTED, ServiceError, "UNIMPLEMENTED"),
        (grpc.StatusCode.CANCELLED, ServiceError, "CANCELLED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ResourceExhaustedError, "RESOURCE_EXHAUSTED"),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidArgumentError, "INVALID_ARGUMENT"),
        (grpc.StatusCode.OUT_OF_RANGE, InvalidArgumentError, "INVALID_ARGUMENT"),
    ],
)
def test_a_status_without_details_still_has_a_kind(
    code: grpc.StatusCode, kind: type[ServiceError], reason: str
) -> None:
    back = from_rpc_error(bare(code))
    assert type(back) is kind
    assert (back.message, back.reason) == ("told", reason)


def test_a_status_without_a_message_is_told_by_its_code() -> None:
    assert from_rpc_error(bare(grpc.StatusCode.UNAVAILABLE, None)).message == "UNAVAILABLE"


def test_a_bare_rpc_error_is_internal() -> None:
    back = from_rpc_error(grpc.RpcError("odd"))
    assert (type(back), back.message, back.reason) == (ServiceError, "odd", "INTERNAL")


def test_another_domains_reason_is_not_ours() -> None:
    status = status_pb2.Status(code=code_pb2.NOT_FOUND, message="m")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="THEIRS", domain="example.com"))
    assert from_rpc_error(over_the_wire(status)).reason == "NOT_FOUND"


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", to_status(NotFoundError("other")).SerializeToString()])
def test_details_that_are_broken_or_contradict_the_status_are_left_aside(raw: bytes) -> None:
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", raw)),
        "told",
    )
    back = from_rpc_error(error)
    assert (type(back), back.message) == (AlreadyExistsError, "told")


def test_a_broken_detail_is_left_aside() -> None:
    status = to_status(NotFoundError("m"))
    status.details[0].value = b"\xff\xff\xff"
    assert from_rpc_error(over_the_wire(status)).reason == "NOT_FOUND"


def test_texts_are_cut_to_what_headers_can_carry() -> None:
    error = InvalidArgumentError("f" * 5000, "\N{SNOWMAN}" * 5000)
    assert to_status(error).ByteSize() < 4096
    back = from_rpc_error(over_the_wire(to_status(error)))
    assert isinstance(back, InvalidArgumentError)
    assert back.description.endswith("\N{SNOWMAN}...")
