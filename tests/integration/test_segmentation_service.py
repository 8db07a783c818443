"""The segmentation service as it is deployed: a process of its own, asked over gRPC."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from PIL import Image

from pixelprobe_api.image.v1 import image_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2_grpc as pb_grpc
from pixelprobe_services.common.errors import FailedPreconditionError, InvalidArgumentError
from pixelprobe_services.common.images import from_array, mask_to_array
from pixelprobe_services.common.status import from_rpc_error

ROOT = Path(__file__).parents[2]
IMAGES = sorted((ROOT / "tests" / "fixtures" / "cifar10").glob("*.png"))
SERVICE = "pixelprobe.segmentation.v1.SegmentationService"
BIG = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
FOREGROUND = pb.STROKE_KIND_FOREGROUND

T = TypeVar("T")


def start(log: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    with log.open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "pixelprobe_services.segmentation", *arguments],
            env={**os.environ, **environment},
            stderr=stderr,
            stdout=subprocess.PIPE,
        )


def wait_for(look: Callable[[], T]) -> T:
    """What ``look`` finds, once it is something; within 30 s."""
    deadline = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < deadline, "not within 30 s"
        time.sleep(0.05)
    return found


def listening(log: Path, process: subprocess.Popen[bytes]) -> str:
    """The address that the service logs; waits for it."""

    def look() -> str:
        assert process.poll() is None, log.read_text()
        found = re.search(r"listening on (\S+:\d+) ", log.read_text())
        return found[1] if found else ""

    return wait_for(look)


@contextlib.contextmanager
def service(log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    process = start(log, "--listen", "127.0.0.1:0")
    try:
        yield process, listening(log, process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("segmentation") / "log"


@pytest.fixture(scope="module")
def address(log: Path) -> Iterator[str]:
    with service(log) as (_, address):
        yield address


@pytest.fixture(scope="module")
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address, options=BIG) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Any:
    return pb_grpc.SegmentationServiceStub(channel)


def read(path: Path) -> image_pb2.Image:
    return from_array(np.asarray(Image.open(path).convert("RGB")))


def noise(side: int) -> image_pb2.Image:
    return from_array(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def segment(stub: Any, image: image_pb2.Image, **fields: Any) -> pb.SegmentResponse:
    response: pb.SegmentResponse = stub.Segment(pb.SegmentRequest(image=image, **fields), timeout=60)
    return response


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_real_images_get_a_mask_that_can_be_trusted(stub: Any, path: Path) -> None:
    response = segment(stub, read(path))
    mask = mask_to_array(response.mask)
    assert mask.shape == (32, 32)
    assert response.area_fraction == pytest.approx(mask.mean())
    assert 0.02 < response.area_fraction < 0.9
    assert (response.needs_review, response.review_reason) == (False, "")
    assert response.segmenter == "grabcut"
    # The object stands in the middle, and the border is background by construction.
    assert mask[12:20, 12:20].mean() > 0.5
    assert not np.concatenate((mask[0], mask[-1], mask[:, 0], mask[:, -1])).any()


def test_there_are_a_dozen_images() -> None:
    assert len(IMAGES) == 12


def test_the_same_request_gets_the_same_mask_however_many_ask(stub: Any) -> None:
    images = [read(path) for path in IMAGES]
    one_by_one = [segment(stub, image) for image in images]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda image: segment(stub, image), images * 2))
    assert together == one_by_one * 2


def test_a_person_can_correct_a_mask(stub: Any) -> None:
    image = read(IMAGES[0])
    options = pb.GrabCutOptions(
        rectangle=pb.Rectangle(left=4, top=4, right=28, bottom=24),
        strokes=[
            pb.Stroke(kind=FOREGROUND, points=[pb.Point(x=2, y=2), pb.Point(x=2, y=9)]),
            pb.Stroke(kind=pb.STROKE_KIND_BACKGROUND, points=[pb.Point(x=16, y=16)], width=3),
        ],
        iterations=2,
    )
    mask = mask_to_array(segment(stub, image, grabcut=options).mask)
    assert mask[2:10, 2].all()
    assert not mask[16, 15:18].any()
    assert not mask[15:18, 16].any()
    assert not mask[24:].any()
    assert (mask != mask_to_array(segment(stub, image).mask)).any()


def test_a_mask_without_foreground_is_flagged(stub: Any) -> None:
    response = segment(stub, from_array(np.full((32, 32, 3), 128, np.uint8)))
    assert response.area_fraction == 0
    assert response.needs_review
    assert response.review_reason == "no foreground was found"


def test_the_largest_image_fits(stub: Any) -> None:
    response = segment(stub, from_array(np.zeros((4096, 4096, 3), np.uint8)))
    assert (response.mask.width, response.mask.height) == (4096, 4096)


def test_segmenters_are_listed_with_what_keeps_them_from_running(stub: Any) -> None:
    listed = stub.ListSegmenters(pb.ListSegmentersRequest(), timeout=10).segmenters
    assert [(each.id, each.available, each.interactive) for each in listed] == [
        ("auto", True, True),
        ("grabcut", True, True),
        ("u2net", False, False),
    ]
    assert listed[2].unavailable_reason == "no Triton address is configured for U2-Net"
    assert all(each.description for each in listed)


SMALL = image_pb2.Image(width=8, height=4, rgb=bytes(range(96)))


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.SegmentRequest(), "image.width"),
        (pb.SegmentRequest(image=image_pb2.Image(width=8)), "image.height"),
        (pb.SegmentRequest(image=image_pb2.Image(width=8, height=4097)), "image.height"),
        (pb.SegmentRequest(image=image_pb2.Image(width=8, height=4, rgb=b"x")), "image.rgb"),
        (pb.SegmentRequest(image=SMALL, segmenter="sam"), "segmenter"),
        (pb.SegmentRequest(image=SMALL, segmenter="x" * 100_000), "segmenter"),
        (pb.SegmentRequest(image=SMALL, segmenter="grabcut", salient=pb.SalientOptions()), "salient"),
        (pb.SegmentRequest(image=SMALL, segmenter="u2net", grabcut=pb.GrabCutOptions()), "grabcut"),
        (pb.SegmentRequest(image=SMALL, salient=pb.SalientOptions(threshold=1)), "salient.threshold"),
        (pb.SegmentRequest(image=SMALL, grabcut=pb.GrabCutOptions(iterations=51)), "grabcut.iterations"),
        (
            pb.SegmentRequest(
                image=SMALL, grabcut=pb.GrabCutOptions(rectangle=pb.Rectangle(left=0, right=9, bottom=4))
            ),
            "grabcut.rectangle.right",
        ),
        (
            pb.SegmentRequest(image=SMALL, grabcut=pb.GrabCutOptions(strokes=[pb.Stroke(kind=FOREGROUND)])),
            "grabcut.strokes[0].points",
        ),
        (
            pb.SegmentRequest(
                image=SMALL, grabcut=pb.GrabCutOptions(strokes=[pb.Stroke(points=[pb.Point()])])
            ),
            "grabcut.strokes[0].kind",
        ),
        (
            pb.SegmentRequest(
                image=SMALL,
                grabcut=pb.GrabCutOptions(
                    strokes=[pb.Stroke(kind=FOREGROUND, points=[pb.Point(), pb.Point(y=4)])]
                ),
            ),
            "grabcut.strokes[0].points[1].y",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_field_is_named(stub: Any, request_: pb.SegmentRequest, field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Segment(request_, timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidArgumentError)
    assert error.field == field
    assert error.description


def test_what_is_not_available_is_a_failed_precondition(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        segment(stub, SMALL, segmenter="u2net")
    error = from_rpc_error(caught.value)
    assert isinstance(error, FailedPreconditionError)
    assert error.reason == "SEGMENTER_UNAVAILABLE"
    assert "no Triton address is configured" in error.message


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x7f", b"\x12\x02\xff\xfe"])
def test_bytes_that_are_no_request_are_an_invalid_argument(channel: grpc.Channel, raw: bytes) -> None:
    method: Any = channel.unary_unary(f"/{SERVICE}/Segment")
    with pytest.raises(grpc.RpcError) as caught:
        method(raw, timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_message_past_the_limit_is_refused_and_the_service_lives(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        segment(stub, image_pb2.Image(width=1, height=1, rgb=bytes(65 * 2**20)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert segment(stub, SMALL).segmenter == "grabcut"


def test_a_passed_deadline_gives_the_workers_back(stub: Any) -> None:
    slow = pb.SegmentRequest(image=noise(256), grabcut=pb.GrabCutOptions(iterations=50))
    for _ in range(2 * (os.cpu_count() or 1)):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Segment(slow, timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # Each of those would have held a worker for many seconds; this one waits for a step of theirs at most.
    assert stub.Segment(pb.SegmentRequest(image=SMALL), timeout=20).segmenter == "grabcut"


@pytest.mark.parametrize("name", ["", SERVICE])
def test_health_says_serving(channel: grpc.Channel, name: str) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_knows_the_service_and_its_messages(channel: grpc.Channel) -> None:
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, found = reflection.ServerReflectionInfo(iter(asked), timeout=10)
    assert SERVICE in {each.name for each in listed.list_services_response.service}
    assert found.file_descriptor_response.file_descriptor_proto


def test_requests_are_logged_with_their_id(stub: Any, log: Path) -> None:
    request = pb.SegmentRequest(image=SMALL, segmenter="sam")
    with pytest.raises(grpc.RpcError) as caught:
        stub.Segment(request, timeout=10, metadata=(("x-request-id", "find-me-42"),))
    trailing: Any = caught.value.trailing_metadata()
    assert dict(trailing)["x-request-id"] == "find-me-42"
    # The line follows the answer.
    (line,) = wait_for(lambda: [line for line in log.read_text().splitlines() if "find-me-42" in line])
    assert f"/{SERVICE}/Segment INVALID_ARGUMENT" in line
    assert "Traceback" not in log.read_text()


def test_sigterm_lets_work_under_way_finish(tmp_path: Path) -> None:
    with service(tmp_path / "log") as (process, address), grpc.insecure_channel(address) as channel:
        stub: Any = pb_grpc.SegmentationServiceStub(channel)
        image = noise(128)
        begin = time.monotonic()
        segment(stub, image, grabcut=pb.GrabCutOptions(iterations=1))
        step = time.monotonic() - begin
        # About 2 s of work, however fast the machine.
        options = pb.GrabCutOptions(iterations=int(np.clip(2 / step, 2, 50)))
        call = stub.Segment.future(pb.SegmentRequest(image=image, grabcut=options), timeout=60)
        time.sleep(0.3)
        assert not call.done()
        process.send_signal(signal.SIGTERM)
        assert call.result().segmenter == "grabcut"
        assert process.wait(10) == 0
    assert (tmp_path / "log").read_text().endswith("stopped\n")


def test_sigterm_ends_within_ten_seconds_whatever_runs(tmp_path: Path) -> None:
    with service(tmp_path / "log") as (process, address), grpc.insecure_channel(address) as channel:
        stub: Any = pb_grpc.SegmentationServiceStub(channel)
        request = pb.SegmentRequest(image=noise(512), grabcut=pb.GrabCutOptions(iterations=50))
        calls = [stub.Segment.future(request, timeout=120) for _ in range(8)]
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        assert process.wait(30) == 0
        assert time.monotonic() - begin < 10
        assert all(call.exception() is not None for call in calls)


def test_sigint_stops_it_too(tmp_path: Path) -> None:
    with service(tmp_path / "log") as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def refused(tmp_path: Path, *arguments: str, **environment: str) -> str:
    """What a start that must fail prints: one line, with exit code 2."""
    process = start(tmp_path / "log", *arguments, **environment)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, b"")
    (line,) = (tmp_path / "log").read_text().splitlines()
    return line


def test_a_taken_port_is_one_line(address: str, tmp_path: Path) -> None:
    line = refused(tmp_path, "--listen", address)
    assert line == f"pixelprobe_services.segmentation: cannot listen on {address}: Address already in use"


def test_a_missing_setting_is_one_line(tmp_path: Path) -> None:
    line = refused(tmp_path)
    assert line == "pixelprobe_services.segmentation: missing setting: give --listen or set PIXELPROBE_LISTEN"


def test_a_bad_address_is_one_line(tmp_path: Path) -> None:
    assert "'nowhere' is not HOST:PORT" in refused(tmp_path, PIXELPROBE_LISTEN="nowhere")


def test_a_bad_log_level_is_one_line(tmp_path: Path) -> None:
    line = refused(tmp_path, "--listen", "127.0.0.1:0", PIXELPROBE_LOG_LEVEL="chatty")
    assert "PIXELPROBE_LOG_LEVEL: 'chatty'" in line


def test_the_environment_can_say_where_to_listen(tmp_path: Path) -> None:
    process = start(tmp_path / "log", PIXELPROBE_LISTEN="127.0.0.1:0")
    try:
        assert listening(tmp_path / "log", process).startswith("127.0.0.1:")
    finally:
        process.kill()
        process.communicate()
