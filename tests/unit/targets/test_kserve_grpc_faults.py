"""What the gRPC target does with servers that refuse, stall, lie or die."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from pixelprobe_services.orchestrator.targets.base import (
    RejectedError,
    TargetError,
    TargetTimeoutError,
    TargetUnavailableError,
)
from pixelprobe_services.orchestrator.targets.registry import open_target
from tests.unit.targets import fake_grpc
from tests.unit.targets.batches import config, random_batch
from tests.unit.targets.conftest import GrpcStage
from tests.unit.targets.fake_grpc import FakeServer, response, serve


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (grpc.StatusCode.UNAVAILABLE, "come back\nlater"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "come back\nlater"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "come back\nlater"),
        (grpc.StatusCode.CANCELLED, "come back\nlater"),
        (grpc.StatusCode.INTERNAL, "Stub process 'toy_0_0' is not healthy."),
    ],
)
async def test_what_may_pass_is_unavailable_and_is_sent_once(
    grpc_stage: GrpcStage, code: grpc.StatusCode, text: str
) -> None:
    server, opener = grpc_stage
    server.refusal = (code, text)
    target = opener()
    with pytest.raises(
        TargetUnavailableError, match=rf"^127.0.0.1:\d+: model 'toy': {code.name}: {' '.join(text.split())}$"
    ):
        await target.query(random_batch(2))
    assert len(server.seen) == 1, "a retry is a query that the ledger knows nothing of"
    assert (target.stats.requests, target.stats.queries, target.stats.failures) == (1, 2, 1)
    assert target.stats.bytes_sent > 2 * 4 * 4 * 3
    assert target.stats.bytes_received == 0

    server.refusal = None
    await target.query(random_batch(2))
    assert (target.stats.requests, target.stats.failures) == (2, 1)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "no"),
        (grpc.StatusCode.NOT_FOUND, "no"),
        (grpc.StatusCode.UNIMPLEMENTED, "no"),
        (grpc.StatusCode.INTERNAL, "no"),
        (grpc.StatusCode.UNKNOWN, "no"),
        (grpc.StatusCode.UNAUTHENTICATED, "no"),
        (grpc.StatusCode.PERMISSION_DENIED, "no"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)"),
        (grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'x'"),
    ],
)
async def test_what_repeating_cannot_mend_is_an_error(
    grpc_stage: GrpcStage, code: grpc.StatusCode, text: str
) -> None:
    server, opener = grpc_stage
    server.refusal = (code, text)
    with pytest.raises(TargetError, match=code.name) as caught:
        await opener().query(random_batch(1))
    assert not isinstance(caught.value, TargetUnavailableError)
    assert text in caught.value.message


def broken(field: str, value: Any) -> Callable[[Any], Any]:
    """An honest answer but for a field of its output."""

    def reply(request: Any) -> Any:
        answer = fake_grpc.honest(request)
        if field == "shape":
            answer.outputs[0].shape[:] = value
        else:
            setattr(answer.outputs[0], field, value)
        return answer

    return reply


def scores(*row: float) -> Callable[[Any], Any]:
    """That row for the first of two queries, an honest one for the second."""
    return lambda _: response(scores=np.array([row, (1, 0, 0)], np.float32))


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (scores(float("nan"), 0.5, 0.5), "holds NaN or infinity"),
        (scores(float("inf"), 0, 0), "holds NaN or infinity"),
        (scores(7.31, -2.5, 0.1), r"runs from -2.5 to 7.31: .* not logits"),
        (scores(1.002, 0, 0), "not logits"),
        (lambda _: response(scores=np.zeros((1, 3), np.float32)), r"\[1, 3\], expected float32 \[2, 3\]"),
        (lambda _: response(scores=np.zeros((2, 4), np.float32)), r"\[2, 4\], expected float32 \[2, 3\]"),
        (lambda _: response(scores=np.zeros((2, 3), np.float64)), "float64"),
        (lambda _: response(other=np.zeros((2, 3), np.float32)), "lacks output 'scores'"),
        (lambda _: response(), "lacks output 'scores'"),
        (broken("shape", [2, 300]), "came with 24 bytes, not 2400"),
        (broken("shape", [-2, -3]), "came with 24 bytes"),
        (broken("datatype", "BF16"), "unusable type BF16"),
        (broken("datatype", "BYTES"), "BYTES ends within a text"),
    ],
)
async def test_nonsense_is_an_error_that_says_what_is_wrong(
    grpc_stage: GrpcStage, reply: Callable[[Any], Any], complaint: str
) -> None:
    server, opener = grpc_stage
    server.reply = reply
    target = opener()
    with pytest.raises(TargetError, match=complaint) as caught:
        await target.query(random_batch(2))
    assert not isinstance(caught.value, TargetUnavailableError)
    assert "model 'toy'" in caught.value.message
    assert target.stats.failures == 1


async def test_rounding_outside_the_unit_interval_is_accepted(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage
    server.reply = lambda _: response(scores=np.array([[1.0005, -0.0005, 0]], np.float32))
    answer = await opener().query(random_batch(1))
    assert answer.top_probabilities[0, 0] == np.float32(1.0005)


async def test_raw_contents_without_descriptions_are_refused(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage

    def reply(request: Any) -> Any:
        answer = fake_grpc.honest(request)
        answer.raw_output_contents.append(b"more")
        return answer

    server.reply = reply
    with pytest.raises(TargetError, match="1 outputs and 2 raw contents"):
        await opener().query(random_batch(1))


async def test_typed_contents_are_understood(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage

    def reply(_: Any) -> Any:
        answer = response(scores=np.zeros((1, 3), np.float32))
        del answer.raw_output_contents[:]
        answer.outputs[0].contents.fp32_contents.extend([0.25, 0.5, 0.25])
        return answer

    server.reply = reply
    answer = await opener().query(random_batch(1))
    np.testing.assert_array_equal(answer.top_classes, [[1, 0, 2]])
    np.testing.assert_array_equal(answer.top_probabilities, np.array([[0.5, 0.25, 0.25]], np.float32))


@pytest.mark.parametrize("indices", [(0, 1, 3), (-1, 1, 2)])
async def test_sparse_answers_name_existing_classes(grpc_stage: GrpcStage, indices: tuple[int, ...]) -> None:
    server, opener = grpc_stage
    server.models["toy_edits"] = fake_grpc.edits_metadata()
    server.reply = lambda _: response(
        class_probabilities=np.ones((1, 1), np.float32),
        top_classes=np.array([indices], np.int32),
        top_probabilities=np.ones((1, 3), np.float32),
    )
    target = opener()
    assert (await target.describe()).sparse_queries
    with pytest.raises(TargetError, match="'top_classes' holds indices outside the model's 3 classes"):
        await target.query(random_batch(1))


async def test_a_slow_server_is_given_up_and_told_so(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage
    server.delay_seconds = 60
    with pytest.raises(TargetUnavailableError, match="DEADLINE_EXCEEDED"):
        await opener(timeout_seconds=0.3).query(random_batch(1))
    await asyncio.wait_for(server.cancelled.wait(), 5)


async def test_cancelling_the_task_cancels_the_call(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage
    server.delay_seconds = 60
    target = opener()
    task = asyncio.create_task(target.query(random_batch(1)))
    await asyncio.wait_for(server.started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.cancelled.wait(), 5)
    assert target.stats.failures == 0, "nothing the target did"


async def test_closing_fails_what_is_under_way_and_cancels_no_task(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage
    server.delay_seconds = 60
    target = opener()
    task = asyncio.create_task(target.query(random_batch(1)))
    await asyncio.wait_for(server.started.wait(), 5)
    await target.close()
    with pytest.raises(TargetUnavailableError, match="closed"):
        await task
    with pytest.raises(TargetUnavailableError, match="closed"):
        await target.query(random_batch(1))


async def test_a_server_that_dies_and_returns(grpc_stage: GrpcStage) -> None:
    servicer = FakeServer()
    server, address = await serve(servicer)
    target = open_target(config(address))
    await target.query(random_batch(1))
    servicer.delay_seconds = 60
    servicer.started.clear()
    task = asyncio.create_task(target.query(random_batch(1)))
    await asyncio.wait_for(servicer.started.wait(), 5)
    await server.stop(None)
    with pytest.raises(TargetUnavailableError):
        await task
    with pytest.raises(TargetUnavailableError, match="UNAVAILABLE"):
        await target.query(random_batch(1))

    servicer.delay_seconds = 0
    server, _ = await serve(servicer, address)
    async with asyncio.timeout(10):
        while True:
            try:
                await target.query(random_batch(1))
                break
            except TargetUnavailableError:
                await asyncio.sleep(0.1)
    await target.close()
    await server.stop(None)


def _status_with_retry_info(code: grpc.StatusCode, seconds: float) -> bytes:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(int(seconds * 1000))
    status = status_pb2.Status(code=code.value[0], message="quota")
    status.details.add().Pack(info)
    return bytes(status.SerializeToString())


@pytest.mark.parametrize(
    ("code", "trailing", "seconds"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (), None),
        (grpc.StatusCode.UNAVAILABLE, (), None),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (("grpc-retry-pushback-ms", "1500"),), 1.5),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (("grpc-retry-pushback-ms", "soon"),), None),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            (
                (
                    "grpc-status-details-bin",
                    _status_with_retry_info(grpc.StatusCode.RESOURCE_EXHAUSTED, 2.5),
                ),
            ),
            2.5,
        ),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, (("grpc-status-details-bin", b"\xff\xff"),), None),
    ],
)
async def test_a_rejection_carries_how_long_to_wait(
    grpc_stage: GrpcStage, code: grpc.StatusCode, trailing: Any, seconds: float | None
) -> None:
    server, opener = grpc_stage
    server.refusal = (code, "quota")
    server.trailing = trailing
    with pytest.raises(RejectedError) as caught:
        await opener().query(random_batch(2))
    assert caught.value.retry_after_seconds == seconds


async def test_a_missed_deadline_is_a_timeout(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage
    target = opener(timeout_seconds=0.3)
    await target.describe()
    server.delay_seconds = 60
    with pytest.raises(TargetTimeoutError):
        await target.query(random_batch(1))


async def test_a_server_that_is_not_there_rejects(unused_tcp_port: int) -> None:
    target = open_target(config(f"127.0.0.1:{unused_tcp_port}"))
    with pytest.raises(RejectedError):
        await target.describe()
    await target.close()


async def test_a_server_that_dies_under_a_query_is_no_rejection() -> None:
    servicer = FakeServer()
    server, address = await serve(servicer)
    target = open_target(config(address))
    await target.describe()
    servicer.delay_seconds = 60
    asked = asyncio.create_task(target.query(random_batch(1)))
    await asyncio.wait_for(servicer.started.wait(), 5)
    await server.stop(None)
    with pytest.raises(TargetUnavailableError) as caught:
        await asked
    assert not isinstance(caught.value, RejectedError), "the model may have run"
    await target.close()
