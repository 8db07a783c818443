"""A target that answers nonsense: a TargetError that says so; no crash, no hang, no memory filled."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from pixelprobe_services.kserve import grpc_messages, http_client
from pixelprobe_services.kserve.client import MAX_ANSWER_BYTES
from pixelprobe_services.kserve.errors import BadAnswerError
from pixelprobe_services.kserve.tensors import DTYPES
from pixelprobe_services.orchestrator.targets.base import Target, TargetError
from pixelprobe_services.orchestrator.targets.registry import open_target
from tests.unit.targets import fake_grpc
from tests.unit.targets.batches import config, random_batch
from tests.unit.targets.conftest import GrpcStage, HttpStage

BOUNDED = settings(
    max_examples=150, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
WANTED = ("scores",)
PEAK_BYTES = 3 * MAX_ANSWER_BYTES

datatypes = st.sampled_from([*DTYPES, "BYTES", "BF16", "", "FP32\0"])
lengths = st.sampled_from([None, "0", "9", "-1", "x", "40"])
sizes = st.sampled_from([0, 1, 2, 3, 5, -1, -3, 2**31, 2**62, -(2**63)])


@st.composite
def grpc_answers(draw: st.DrawFn) -> bytes:
    """Answers that parse, and contradict themselves; or that do not."""
    answer = service_pb2.ModelInferResponse(model_name="toy")
    for _ in range(draw(st.integers(0, 2))):
        output = answer.outputs.add(name=draw(st.sampled_from(["scores", "", "other"])))
        output.datatype = draw(datatypes)
        output.shape.extend(draw(st.lists(sizes, max_size=4)))
        if draw(st.booleans()):
            output.contents.fp32_contents.extend(draw(st.lists(st.floats(width=32), max_size=4)))
    answer.raw_output_contents.extend(draw(st.lists(st.binary(max_size=24), max_size=2)))
    raw = bytes(answer.SerializeToString())
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.booleans()) else raw


@BOUNDED
@given(reply=grpc_answers() | st.binary(max_size=60))
def test_grpc_answers(reply: bytes) -> None:
    try:
        found = grpc_messages.read_answer(reply, WANTED)
    except BadAnswerError:
        return
    assert found["scores"].nbytes <= max(len(reply) * 8, 64)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, 2**63, -1])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["FP32", "scores"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def json_answers(draw: st.DrawFn) -> bytes:
    """A true answer of which some keys hold anything, or are missing."""
    output: dict[str, Any] = {"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": [0.1, 0.2, 0.7]}
    output["parameters"] = {"binary_data_size": draw(st.sampled_from([0, 4, -1, 10**30]) | values)}
    if draw(st.booleans()):
        del output["parameters"]
    for key in draw(st.sets(st.sampled_from([*output]), max_size=2)):
        output[key] = draw(values)
    document = {"outputs": [output]} if draw(st.booleans()) else draw(values)
    return json.dumps(document).encode() + draw(st.binary(max_size=12))


@BOUNDED
@given(
    content=json_answers() | st.binary(max_size=60), length=st.sampled_from([None, "0", "9", "-1", "x", "40"])
)
def test_json_answers(content: bytes, length: str | None) -> None:
    try:
        found = http_client.read_answer(content, length, WANTED)
    except BadAnswerError:
        return
    assert found["scores"].nbytes <= max(len(content) * 8, 64)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"outputs":' * 50_000,
        b'{"outputs": [{"name": "scores", "datatype": "FP32", "shape": [Infinity], "data": []}]}',
        b'{"outputs": [{"name": "scores", "datatype": "FP32", "shape": [1e400], "data": []}]}',
        b'{"outputs": [{"name": "scores", "datatype": "FP32", "shape": [NaN], "data": []}]}',
    ],
    ids=["nested", "nested objects", "infinity", "overflow", "nan"],
)
def test_json_that_breaks_parsers(content: bytes) -> None:
    with pytest.raises(BadAnswerError):
        http_client.read_answer(content, None, WANTED)


async def refused(question: Awaitable[Any]) -> None:
    """The question ends in a TargetError and takes no more memory than the longest answer may."""
    tracemalloc.start()
    try:
        with pytest.raises(TargetError):
            await question
        assert tracemalloc.get_traced_memory()[1] < PEAK_BYTES
    finally:
        tracemalloc.stop()


async def test_a_grpc_answer_that_is_no_message() -> None:
    async with raw_grpc(b"\xff" * 100) as target:
        await refused(target.describe())


@asynccontextmanager
async def raw_grpc(reply: bytes) -> AsyncIterator[Target]:
    """A target whose server answers every method with these bytes."""

    class Anything(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            async def answer(request: bytes, context: Any) -> bytes:
                return reply

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.aio.server(handlers=[Anything()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    target = open_target(config(f"127.0.0.1:{port}"))
    try:
        yield target
    finally:
        await target.close()
        await server.stop(None)


async def test_a_grpc_answer_over_the_limit(grpc_stage: GrpcStage) -> None:
    fake, open_fake = grpc_stage
    target = open_fake(timeout_seconds=120.0)
    await target.describe()
    fake.reply = lambda _: service_pb2.ModelInferResponse(raw_output_contents=[bytes(MAX_ANSWER_BYTES)])
    with pytest.raises(TargetError, match="larger than max"):
        await target.query(random_batch(2))


@pytest.mark.parametrize("size", [-5, -(2**31)])
async def test_a_negative_batch_size_is_none(grpc_stage: GrpcStage, size: int) -> None:
    fake, open_fake = grpc_stage
    fake.max_batch_size = size
    assert (await open_fake().describe()).max_batch == 400


@pytest.mark.parametrize("shape", [[-1, 2**40, 2**40, 3], [-1, 2**62, 1, 3]])
async def test_a_huge_declared_image_is_only_a_number(grpc_stage: GrpcStage, shape: list[int]) -> None:
    fake, open_fake = grpc_stage
    fake.models["toy"] = fake_grpc.toy_metadata(inputs=[fake_grpc.tensor("image", "UINT8", shape)])
    target = open_fake()
    await target.describe()
    await refused(target.query(random_batch(2)))


async def test_a_huge_declared_number_of_classes_is_only_a_number(grpc_stage: GrpcStage) -> None:
    fake, open_fake = grpc_stage
    fake.models["toy"] = fake_grpc.toy_metadata(outputs=[fake_grpc.tensor("scores", "FP32", [-1, 2**40])])
    target = open_fake()
    await target.describe()
    await refused(target.query(random_batch(2)))


async def endless(request: web.Request) -> web.StreamResponse:
    """A body without an end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(bytes(2**20))


@asynccontextmanager
async def endless_server() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", endless)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_an_http_body_without_an_end() -> None:
    async with endless_server() as address:
        target = open_target(config(address, "kserve-http", timeout_seconds=60.0))
        try:
            await refused(target.describe())
        finally:
            await target.close()


@pytest.mark.parametrize(
    "metadata",
    [
        {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [float("inf")]}], "outputs": []},
        [],
        None,
        5,
    ],
    ids=str,
)
async def test_http_metadata_that_is_none(http_stage: HttpStage, metadata: Any) -> None:
    fake, open_fake = http_stage
    fake.metadata = metadata
    with pytest.raises(TargetError):
        await open_fake().describe()


async def test_an_http_answer_nested_too_deep(http_stage: HttpStage) -> None:
    fake, open_fake = http_stage
    target = open_fake()
    await target.describe()
    for status in (200, 400):
        fake.override = (status, "[" * 100_000)
        with pytest.raises(TargetError):
            await target.query(random_batch(2))
