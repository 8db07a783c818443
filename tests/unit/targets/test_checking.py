"""What ``targets check`` says of targets that fit, that do not, and that are not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pixelprobe_services.orchestrator.targets.checking import CheckReport, check_target
from tests.unit.targets import fake_grpc
from tests.unit.targets.batches import config
from tests.unit.targets.fake_grpc import FakeServer, response, serve, tensor, toy_metadata

SAMPLE = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
"""Of another size than the target's."""


async def check(server: FakeServer, **changes: Any) -> CheckReport:
    running, address = await serve(server)
    try:
        return await check_target(config(address, max_batch=6, **changes), SAMPLE)
    finally:
        await running.stop(None)


def found(report: CheckReport) -> dict[str, bool | None]:
    return {finding.name: finding.good for finding in report.findings}


async def test_a_target_that_fits() -> None:
    server = FakeServer()
    report = await check(server, cost_per_1000_queries=2.0)
    assert report.good
    assert found(report) == {
        "answers": True, "layout": True, "scores": True, "deterministic": True, "latency": None,
        "batch": True, "cost": None,
    }  # fmt: skip
    assert report.info is not None
    assert report.info.width == 4
    assert report.metadata == ("input 'image' UINT8 [-1, 4, 4, 3]", "output 'scores' FP32 [-1, 3]")
    assert len(report.top) == 3
    assert report.top == tuple(sorted(report.top, key=lambda pair: -pair[1]))
    assert report.proposal == ""
    assert report.queries == 5 + 6 == sum(request.inputs[0].shape[0] for request in server.seen)


async def test_a_noisy_model_is_bad_where_the_file_says_that_it_is_none() -> None:
    server = FakeServer()
    random = np.random.default_rng(0)

    def noisy(request: Any) -> Any:
        rows = random.dirichlet([9, 2, 1], request.inputs[0].shape[0]).astype(np.float32)
        return response(scores=rows)

    server.reply = noisy
    assert found(await check(server, deterministic=True))["deterministic"] is False
    assert found(await check(server))["deterministic"] is True


def logits(request: Any) -> Any:
    return response(scores=np.tile(np.array([[3, -1, 2]], np.float32), (request.inputs[0].shape[0], 1)))


async def test_logits_get_a_table_that_fits() -> None:
    server = FakeServer()
    server.reply = logits
    report = await check(server)
    assert not report.good
    assert found(report)["scores"] is False
    assert 'output_kind = "logits"' in report.proposal
    assert report.proposal.startswith('[targets.toy]\nprotocol = "kserve-grpc"\naddress = "127.0.0.1:')


async def test_another_layout_gets_a_table_that_fits() -> None:
    server = FakeServer()
    server.models["toy"] = toy_metadata(inputs=[tensor("image", "FP32", [-1, 3, 4, 4])])
    server.reply = logits
    report = await check(server)
    assert found(report) == {"layout": False}
    for line in ('layout = "nchw"', 'dtype = "fp32"', 'preset = "0-1"', 'output_kind = "logits"'):
        assert line in report.proposal.splitlines()


async def test_sigmoids_are_told_from_logits() -> None:
    server = FakeServer()
    server.reply = lambda request: response(scores=np.full((request.inputs[0].shape[0], 3), 0.9, np.float32))
    assert 'activation = "sigmoid"' in (await check(server)).proposal


async def test_a_request_limit_below_max_batch_is_found() -> None:
    server = FakeServer()

    def small(request: Any) -> Any:
        count = request.inputs[0].shape[0]
        return fake_grpc.honest(request) if count < 6 else response(scores=np.ones((1, 3), np.float32))

    server.reply = small
    report = await check(server)
    assert found(report)["batch"] is False
    assert not report.good


async def test_a_server_that_is_not_there(unused_tcp_port: int) -> None:
    report = await check_target(config(f"127.0.0.1:{unused_tcp_port}"), SAMPLE)
    assert found(report) == {"answers": False}
    assert (report.queries, report.proposal) == (0, "")


@pytest.mark.parametrize("name", ["toy", "to.y"])
async def test_a_proposed_table_is_toml_of_that_name(name: str) -> None:
    import tomllib

    server = FakeServer()
    server.reply = logits
    report = await check(server, name=name)
    assert tomllib.loads(report.proposal)["targets"][name]["output_kind"] == "logits"
