"""What the service does with a Triton that refuses, stalls, lies or is not there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import grpc
import numpy as np
import pytest

from pixelprobe_services.common.errors import FailedPreconditionError, ServiceError, UnavailableError
from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.segmentation import saliency_server as triton
from pixelprobe_services.segmentation.base import SegmentationStoppedError
from pixelprobe_services.segmentation.saliency_server import TritonSaliency
from tests.unit.segmentation.fake_triton import FakeTriton, answer, metadata, serving

IMAGES = np.random.default_rng(3).integers(0, 256, (2, 320, 320, 3), dtype=np.uint8)
QUICK = RetryPolicy(attempts=3, first_pause=0.01, longest_pause=0.02)
BUSY = (grpc.StatusCode.UNAVAILABLE, "queue\nfull")


@pytest.fixture
def server() -> FakeTriton:
    return FakeTriton()


@pytest.fixture
def model(server: FakeTriton) -> Iterator[TritonSaliency]:
    with serving(server) as address, closing(TritonSaliency(address, retry=QUICK)) as opened:
        yield opened


def ask(model: TritonSaliency) -> np.ndarray:
    return model.query(IMAGES, threading.Event())


def test_the_raw_answer_arrives(model: TritonSaliency) -> None:
    np.testing.assert_allclose(ask(model), IMAGES[..., 0] / 10.0 - 3, atol=1e-5)
    assert model.unavailable_reason() == ""


def test_many_threads_share_one_connection(model: TritonSaliency) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(model), range(16)))
    assert all((each == answers[0]).all() for each in answers)


@pytest.mark.parametrize(
    "refusal",
    [
        BUSY,
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "full"),
        (grpc.StatusCode.INTERNAL, "Stub process 'u2net_0_0' is not healthy."),
    ],
)
def test_what_passes_is_asked_again_so_many_times(
    model: TritonSaliency, server: FakeTriton, refusal: tuple[grpc.StatusCode, str]
) -> None:
    server.refusals = [refusal] * 2
    assert ask(model).shape == (2, 320, 320)
    assert server.asked == 3
    server.refusals = [refusal] * 9
    with pytest.raises(UnavailableError, match=r"model 'u2net': [A-Z_]+: ") as caught:
        ask(model)
    assert server.asked == 6
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("code", "error", "reason"),
    [
        (grpc.StatusCode.NOT_FOUND, FailedPreconditionError, "SEGMENTER_UNAVAILABLE"),
        (grpc.StatusCode.INVALID_ARGUMENT, ServiceError, "SEGMENTATION_FAILED"),
        (grpc.StatusCode.INTERNAL, ServiceError, "SEGMENTATION_FAILED"),
    ],
)
def test_what_does_not_pass_is_asked_once(
    model: TritonSaliency, server: FakeTriton, code: grpc.StatusCode, error: type[ServiceError], reason: str
) -> None:
    server.refusals = [(code, "no")]
    with pytest.raises(error) as caught:
        ask(model)
    assert caught.value.reason == reason
    assert server.asked == 1


def test_a_server_that_stalls_meets_a_deadline_and_is_not_asked_again(server: FakeTriton) -> None:
    server.held = threading.Event()
    with serving(server) as address, closing(TritonSaliency(address, retry=QUICK, call_seconds=0.3)) as model:
        with pytest.raises(UnavailableError, match="DEADLINE_EXCEEDED"):
            ask(model)
        assert server.asked == 1


def test_work_that_nobody_waits_for_is_cancelled_at_the_server(
    model: TritonSaliency, server: FakeTriton
) -> None:
    server.held = threading.Event()
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(SegmentationStoppedError):
        model.query(IMAGES, stop)
    assert server.cancelled.wait(5)


def test_nobody_is_asked_once_nobody_waits(model: TritonSaliency, server: FakeTriton) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(SegmentationStoppedError):
        model.query(IMAGES, stop)
    assert server.asked == 0


@pytest.mark.parametrize(
    "reply",
    [
        answer(np.zeros((2, 320, 320)), name="other"),
        answer(np.zeros((1, 320, 320))),
        answer(np.zeros((2, 1, 320, 320))),
    ],
    ids=["name", "count", "rank"],
)
def test_another_answer_than_agreed_is_refused(
    model: TritonSaliency, server: FakeTriton, reply: object
) -> None:
    server.reply = lambda _: reply
    with pytest.raises(ServiceError, match=r"did not answer saliency FP32 \[2, 320, 320\]"):
        ask(model)


def test_a_server_that_is_not_there_is_said_to_be_so(unused_tcp_port: int) -> None:
    with closing(TritonSaliency(f"127.0.0.1:{unused_tcp_port}", retry=QUICK)) as model:
        assert model.unavailable_reason() == f"Triton does not answer at 127.0.0.1:{unused_tcp_port}"
        with pytest.raises(UnavailableError):
            ask(model)


def test_a_model_that_is_not_served_is_said_to_be_so(model: TritonSaliency, server: FakeTriton) -> None:
    server.known = False
    assert "is not served (NOT_FOUND: Request for unknown model: 'u2net')" in model.unavailable_reason()


def test_a_model_that_is_not_ready_is_said_to_be_so(model: TritonSaliency, server: FakeTriton) -> None:
    server.ready = False
    assert model.unavailable_reason().endswith("model 'u2net' is not served, or not ready yet")


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"image": "FP32"}, "input image UINT8 [-1, 320, 320, 3]"),
        ({"output": "d0"}, "output saliency FP32 [-1, 320, 320]"),
    ],
)
def test_a_model_of_another_kind_is_told_apart(
    model: TritonSaliency, server: FakeTriton, changes: dict[str, str], lacking: str
) -> None:
    server.metadata = metadata(**changes)
    assert model.unavailable_reason().endswith(f"lacks the {lacking}")


def test_whether_it_is_there_is_asked_once_for_many_images_and_again_later(
    model: TritonSaliency, server: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        assert model.unavailable_reason() == ""
    assert server.checked == 1
    monkeypatch.setattr(triton, "REMEMBERED_SECONDS", 0.05)
    time.sleep(0.06)
    server.ready = False
    assert model.unavailable_reason()


def test_after_a_failure_it_is_asked_anew_at_once(model: TritonSaliency, server: FakeTriton) -> None:
    assert model.unavailable_reason() == ""
    server.refusals = [(grpc.StatusCode.NOT_FOUND, "unloaded")]
    with pytest.raises(FailedPreconditionError):
        ask(model)
    server.known = False
    assert model.unavailable_reason()
