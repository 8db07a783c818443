"""What a target asks of a model before it sends anything, and what it refuses to send."""

from __future__ import annotations

from typing import Any

import pytest

from pixelprobe_services.orchestrator.targets.base import TargetError, TargetUnavailableError
from tests.unit.targets import fake_grpc
from tests.unit.targets.batches import random_batch
from tests.unit.targets.conftest import GrpcStage
from tests.unit.targets.fake_grpc import tensor, toy_metadata


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        (
            toy_metadata(inputs=[tensor("x", "FP32", [-1, 4, 4, 3])]),
            r"input 'x' FP32 \[-1, 4, 4, 3\], expected UINT8",
        ),
        (
            toy_metadata(inputs=[tensor("x", "UINT8", [-1, 3, 4, 4])]),
            r"expected UINT8 \[-1, height, width, 3\]",
        ),
        (toy_metadata(inputs=[tensor("x", "UINT8", [-1, -1, -1, 3])]), "expected UINT8"),
        (toy_metadata(inputs=[tensor("x", "UINT8", [4, 4, 3])]), "expected UINT8"),
        (
            toy_metadata(inputs=[tensor(n, "UINT8", [-1, 4, 4, 3]) for n in "ab"]),
            "has 2 inputs, expected one",
        ),
        (toy_metadata(inputs=[]), "has 0 inputs"),
        (toy_metadata(outputs=[]), "has no outputs"),
        (toy_metadata(outputs=[tensor("y", "INT64", [-1, 3])]), r"output 'y' INT64 \[-1, 3\], expected FP32"),
        (toy_metadata(outputs=[tensor("y", "FP32", [-1, 3, 2, 1])]), "expected FP32"),
        (toy_metadata(outputs=[tensor("y", "FP32", [-1, -1])]), "expected FP32"),
    ],
)
async def test_a_model_without_the_contract_is_refused(
    grpc_stage: GrpcStage, metadata: Any, complaint: str
) -> None:
    server, opener = grpc_stage
    server.models["toy"] = metadata
    target = opener()
    with pytest.raises(TargetError, match=complaint):
        await target.describe()
    server.models["toy"] = toy_metadata()
    assert (await target.describe()).classes == 3, "a failure is not remembered"


async def test_a_model_that_is_not_ready_is_unavailable(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage
    server.is_ready = False
    with pytest.raises(TargetUnavailableError, match="is not ready"):
        await opener().describe()


async def test_labels_must_fit_the_model(grpc_stage: GrpcStage) -> None:
    _, opener = grpc_stage
    with pytest.raises(TargetError, match="has 3 classes, but 2 labels"):
        await opener(labels=("cat", "dog")).describe()
    assert (await opener(labels=("cat", "dog", "frog")).describe()).labels == ("cat", "dog", "frog")


@pytest.mark.parametrize(("server_limit", "expected"), [(None, 40), (0, 40), (8, 8), (64, 40)])
async def test_max_batch_is_the_smaller_limit(
    grpc_stage: GrpcStage, server_limit: int | None, expected: int
) -> None:
    server, opener = grpc_stage
    server.max_batch_size = server_limit
    target = opener(max_batch=40)
    assert (await target.describe()).max_batch == expected
    with pytest.raises(TargetError, match=f"takes 1 to {expected} queries"):
        await target.query(random_batch(expected + 1))
    assert not server.seen
    assert target.stats.requests == 0


async def test_the_weights_hash_is_told_where_the_server_knows_it(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage
    assert (await opener().describe()).weights_sha256 == ""
    server.max_batch_size, server.parameters = 8, {"other": "x", "weights_sha256": "abc"}
    assert (await opener().describe()).weights_sha256 == "abc"


async def test_batches_that_cannot_be_meant_are_not_sent(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage
    target = opener()
    with pytest.raises(TargetError, match="takes 4x4 images"):
        await target.query(random_batch(1, side=8))
    with pytest.raises(TargetError, match="classes 0 to 2 only"):
        await target.query(random_batch(8, asked=3, classes=30))
    assert not server.seen


async def test_edits_of_another_size_or_unwanted_mean_whole_images(grpc_stage: GrpcStage) -> None:
    server, opener = grpc_stage
    server.models["toy_edits"] = fake_grpc.edits_metadata()
    assert (await opener().describe()).sparse_queries
    assert not (await opener(sparse="never").describe()).sparse_queries
    server.models["toy_edits"].inputs[0].shape[1] = 9
    target = opener()
    assert not (await target.describe()).sparse_queries
    batch = random_batch(5, pixels=2)
    await target.query(batch)
    assert server.seen[-1].model_name == "toy"
    assert list(server.seen[-1].inputs[0].shape) == [5, 4, 4, 3]
