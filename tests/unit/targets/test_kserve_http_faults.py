"""What the HTTP target does with servers that refuse, stall, lie, hang up or know JSON only."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from pixelprobe_services.orchestrator.core.perturbation import apply_edits
from pixelprobe_services.orchestrator.targets.base import (
    RejectedError,
    TargetError,
    TargetTimeoutError,
    TargetUnavailableError,
)
from pixelprobe_services.orchestrator.targets.registry import open_target
from tests.unit.targets.batches import config, random_batch
from tests.unit.targets.conftest import HttpStage
from tests.unit.targets.fake_http import FakeServer, answer, serve


async def test_json_tensors_where_the_server_has_no_binary_ones(http_stage: HttpStage) -> None:
    server, opener = http_stage
    target = opener()
    info = await target.describe()
    assert (info.width, info.height, info.classes, info.sparse_queries) == (4, 4, 3, False)
    batch = random_batch(40, images=3, pixels=16)
    colours = apply_edits(batch.images, batch.image_index, batch.edits)[:, 0, 0].astype(np.float32) + 1
    expected = colours / colours.sum(axis=1, keepdims=True)
    scores = await target.query(batch)
    np.testing.assert_array_equal(
        scores.class_probabilities, np.take_along_axis(expected, batch.classes, axis=1)
    )
    assert server.headers["Content-Type"] == "application/json"
    assert server.headers["Accept-Encoding"] == "identity"
    assert target.stats.bytes_sent == int(server.headers["Content-Length"])


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
async def test_what_may_pass_is_unavailable_and_is_sent_once(http_stage: HttpStage, status: int) -> None:
    server, opener = http_stage
    server.override = (status, '{"error": "come back\\nlater"}')
    target = opener()
    with pytest.raises(
        TargetUnavailableError, match=rf"^127.0.0.1:\d+: model 'toy': HTTP {status}: come back later$"
    ):
        await target.query(random_batch(2))
    assert server.seen == 1
    assert (target.stats.requests, target.stats.queries, target.stats.failures) == (1, 2, 1)


@pytest.mark.parametrize(
    ("status", "text", "complaint"),
    [
        (400, '{"error": "bad shape"}', "HTTP 400: bad shape"),
        (401, "", "HTTP 401: no details"),
        (404, "nope", "HTTP 404: nope"),
        (404, "<html>nope</html>", "HTTP 404: an HTML page"),
        (200, "<!DOCTYPE html><p>Log in", "answers an HTML page instead of JSON"),
        (500, '["x"]', "HTTP 500"),
        (500, '{"error": "%s"}' % ("long " * 1000), "HTTP 500: long"),
        (302, "", "HTTP 302: redirects to other.example, which is not followed"),
        (200, "not json", "not KServe v2's"),
        (200, "[]", "not KServe v2's"),
        (200, "{}", "not KServe v2's"),
        (200, '{"outputs": []}', "lacks output 'scores'"),
    ],
)
async def test_what_repeating_cannot_mend_is_an_error(
    http_stage: HttpStage, status: int, text: str, complaint: str
) -> None:
    server, opener = http_stage
    server.override = (status, text)
    server.override_headers = (
        {"Location": "http://other.example/v2/models/toy/infer"} if status == 302 else {}
    )
    with pytest.raises(TargetError, match=complaint) as caught:
        await opener().query(random_batch(1))
    assert not isinstance(caught.value, TargetUnavailableError)
    assert len(caught.value.message) < 300
    assert server.seen == 1


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (answer([1.5, 2, 3]), "runs from 1.5 to 3: .* not logits"),
        (answer([float("nan"), 0, 1]), "NaN"),
        (answer([None, 0, 1]), "NaN"),
        (answer([0, 1]), "came with 2 values"),
        (answer([0, 1], shape=[1, 2]), r"\[1, 2\], expected"),
        (answer([0, 1, 0], datatype="FP64"), "float64"),
        (answer([0, 1, 0], datatype="BF16"), "unusable type"),
        (answer([0, 1, 0], datatype="BYTES"), "does not hold BYTES values"),
        (answer(None, parameters={"binary_data_size": 12}), "came with 0 bytes, not 12"),
        (answer(None, parameters={"binary_data_size": "12"}), "not KServe v2's"),
        (answer([0, 1, 0], name="other"), "lacks output 'scores'"),
    ],
)
async def test_nonsense_is_an_error_that_says_what_is_wrong(
    http_stage: HttpStage, document: Any, complaint: str
) -> None:
    server, opener = http_stage
    server.reply = lambda _: document
    with pytest.raises(TargetError, match=complaint):
        await opener().query(random_batch(1))


@pytest.mark.parametrize("length", ["-5", "x"])
async def test_a_wrong_length_of_the_json_part(http_stage: HttpStage, length: str) -> None:
    server, opener = http_stage
    server.override = (200, "{}")
    server.override_headers = {"Inference-Header-Content-Length": length}
    with pytest.raises(TargetError, match="not KServe v2's"):
        await opener().query(random_batch(1))


@pytest.mark.parametrize("metadata", [[], {}, {"inputs": [], "outputs": 3}, {"inputs": [{}], "outputs": []}])
async def test_metadata_that_is_not_kserves(http_stage: HttpStage, metadata: Any) -> None:
    server, opener = http_stage
    server.metadata = metadata
    with pytest.raises(TargetError, match="its metadata is not KServe v2's"):
        await opener().describe()


async def test_a_model_that_is_not_ready_is_unavailable(http_stage: HttpStage) -> None:
    server, opener = http_stage
    server.is_ready = False
    with pytest.raises(TargetUnavailableError, match="is not ready"):
        await opener().describe()


async def test_a_slow_server_is_given_up_and_told_so(http_stage: HttpStage) -> None:
    server, opener = http_stage
    server.delay_seconds = 60
    with pytest.raises(TargetUnavailableError, match=r"no answer within 0.3 s"):
        await opener(timeout_seconds=0.3).query(random_batch(1))
    await asyncio.wait_for(server.cancelled.wait(), 5)


async def test_cancelling_the_task_hangs_up(http_stage: HttpStage) -> None:
    server, opener = http_stage
    server.delay_seconds = 60
    task = asyncio.create_task(opener().query(random_batch(1)))
    await asyncio.wait_for(server.started.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.cancelled.wait(), 5)


async def test_a_server_that_hangs_up_is_unavailable_and_may_return(http_stage: HttpStage) -> None:
    server, opener = http_stage
    server.hang_up = True
    target = opener()
    with pytest.raises(TargetUnavailableError):
        await target.query(random_batch(1))
    assert server.seen == 1
    server.hang_up = False
    await target.query(random_batch(1))


async def test_closing_fails_what_is_under_way(http_stage: HttpStage) -> None:
    server, opener = http_stage
    server.delay_seconds = 60
    target = opener()
    task = asyncio.create_task(target.query(random_batch(1)))
    await asyncio.wait_for(server.started.wait(), 5)
    await target.close()
    with pytest.raises(TargetUnavailableError):
        await task
    with pytest.raises(TargetUnavailableError, match="closed"):
        await target.query(random_batch(1))


async def test_a_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy is asked for the whole URL; the fake, being no proxy, answers by its path alone.
    runner, proxy = await serve(FakeServer())
    monkeypatch.setenv("http_proxy", f"http://{proxy}")
    for bypassed, answers in (("", True), ("models.invalid", False)):
        monkeypatch.setenv("no_proxy", bypassed)
        target = open_target(config("models.invalid:8000", "kserve-http"))
        if answers:
            assert (await target.describe()).classes == 3
        else:
            with pytest.raises(TargetUnavailableError, match=r"models\.invalid"):
                await target.describe()
        await target.close()
    await runner.cleanup()


async def test_a_server_that_does_not_tell_its_extensions_gets_json(http_stage: HttpStage) -> None:
    server, opener = http_stage
    server.tells_extensions = False
    await opener().query(random_batch(1))
    assert server.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7"}, 7),
        (503, {"Retry-After": "7"}, 7),
        (429, {}, None),
        (429, {"Retry-After": "soon"}, None),
        (429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)
async def test_a_rejection_carries_how_long_to_wait(
    http_stage: HttpStage, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    server, opener = http_stage
    server.override = (status, "busy")
    server.override_headers = headers
    with pytest.raises(RejectedError) as caught:
        await opener().query(random_batch(2))
    assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [408, 504])
async def test_a_gateway_that_waited_in_vain_is_a_timeout(http_stage: HttpStage, status: int) -> None:
    server, opener = http_stage
    server.override = (status, "too late")
    with pytest.raises(TargetTimeoutError):
        await opener().query(random_batch(2))


async def test_a_connection_that_breaks_under_a_query_is_no_rejection(http_stage: HttpStage) -> None:
    server, opener = http_stage
    server.hang_up = True
    with pytest.raises(TargetUnavailableError) as caught:
        await opener().query(random_batch(2))
    assert not isinstance(caught.value, RejectedError), "the model may have run"


async def test_a_server_that_is_not_there_rejects(unused_tcp_port: int) -> None:
    target = open_target(config(f"127.0.0.1:{unused_tcp_port}", "kserve-http"))
    with pytest.raises(RejectedError):
        await target.describe()
    await target.close()
