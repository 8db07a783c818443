"""The segmentation service with a real Triton behind it that serves a tiny stand-in for U2-Net.

The stand-in keeps U2-Net's contract, and its raw saliency (how much redder than green a pixel is) is known,
so that what comes back through both services can be computed here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.images import load_mask, save_png
from pixelprobe_deploy.triton.config import Backend, DataType, ModelSpec, Tensor, to_text
from pixelprobe_deploy.triton.runtime import ServerSettings, prepare_runtime, server_command
from pixelprobe_services.common.errors import FailedPreconditionError
from pixelprobe_services.segmentation.salient import from_model, to_model
from tests import processes
from tests.unit.segmentation.images import disk, overlap

ROOT = Path(__file__).parents[2]

BACKEND = """
import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from pathlib import Path


class TritonPythonModel:
    def initialize(self, args):
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        images = [pb_utils.get_input_tensor_by_name(each, "image").as_numpy() for each in requests]
        answers = [self.session.run(["saliency"], {"image": each})[0] for each in images]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("saliency", each)]) for each in answers]
"""


def graph() -> onnx.ModelProto:
    """(n, 320, 320, 3) uint8 -> red minus green, (n, 320, 320) float32."""
    weights = numpy_helper.from_array(np.array([1, -1, 0], np.float32), "weights")
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["floats", "weights"], ["saliency"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 320, 320, 3])
    saliency = helper.make_tensor_value_info("saliency", TensorProto.FLOAT, ["n", 320, 320])
    made = helper.make_model(
        helper.make_graph(nodes, "tiny", [image], [saliency], [weights]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(made)
    return made


@dataclass
class Server:
    """A Triton of these tests, which may be stopped and started again on its ports."""

    command: list[str]
    environment: dict[str, str]
    address: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        host, port = self.address.split(":")
        give_up = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < give_up, self.log.read_text()[-3000:]
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.1)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(timeout=15)


def free_ports(count: int) -> list[int]:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in opened]
    for each in opened:
        each.close()
    return ports


@contextmanager
def serving(name: str, venv: Path, folder: Path) -> Iterator[Server]:
    """A Triton that holds the stand-in under ``name``."""
    model = folder / "models" / name
    (model / "1").mkdir(parents=True)
    spec = ModelSpec(
        name=name,
        backend=Backend.PYTHON,
        max_batch_size=4,
        inputs=(Tensor("image", DataType.UINT8, (320, 320, 3)),),
        outputs=(Tensor("saliency", DataType.FP32, (320, 320)),),
    )
    (model / "config.pbtxt").write_text(to_text(spec))
    (model / "1" / "model.onnx").write_bytes(graph().SerializeToString())
    (model / "1" / "model.py").write_text(BACKEND)
    http, grpc, metrics = free_ports(3)
    runtime = prepare_runtime(venv, folder / "backends")
    settings = ServerSettings(
        host="127.0.0.1",
        http_port=http,
        grpc_port=grpc,
        metrics_port=metrics,
        shared_memory_prefix=f"pixelprobe-{name}-{os.getpid()}",
    )
    command = server_command(runtime, folder / "models", settings)
    server = Server(command, runtime.environment(os.environ), f"127.0.0.1:{grpc}", folder / "log")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def triton(triton_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("u2net", triton_venv, tmp_path_factory.mktemp("saliency")) as server:
        yield server


@pytest.fixture(scope="module")
def client(triton: Server) -> Iterator[PixelprobeClient]:
    with (
        processes.service("pixelprobe_services.segmentation", "--triton", triton.address) as running,
        PixelprobeClient(Addresses(segmentation=running.address)) as opened,
    ):
        yield opened


def expected(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    square = to_model(image).astype(np.float32)
    return from_model(square[..., 0] - square[..., 1], *image.shape[:2])


def test_mask_and_saliency_are_what_the_model_says(client: PixelprobeClient) -> None:
    image, truth = disk(301, 500, centre=(0.3, 0.6))
    found = client.segment(image, "u2net", saliency=True)
    assert (found.segmenter, found.choice_reason, found.needs_review) == ("u2net", "", False)
    np.testing.assert_array_equal(found.mask, expected(image) > 0.5)
    assert overlap(found.mask, truth) > 0.95
    assert found.saliency is not None
    np.testing.assert_allclose(found.saliency / 255, expected(image), atol=0.5 / 255 + 1e-5)


def test_the_threshold_is_kept(client: PixelprobeClient) -> None:
    image = disk(301, 500)[0]
    found = client.segment(image, "u2net", threshold=0.8)
    # The wire carries the threshold as float32.
    np.testing.assert_array_equal(found.mask, expected(image) > float(np.float32(0.8)))
    assert found.saliency is None


def test_the_commands_write_masks_overlays_and_saliency(client: PixelprobeClient, tmp_path: Path) -> None:
    def pixelprobe(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pixelprobe.cli", "segment", *arguments],
            cwd=tmp_path,
            env={
                **os.environ,
                "PIXELPROBE_SEGMENTATION": client.addresses.segmentation,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    image = disk(90, 120)[0]
    save_png(tmp_path / "large.png", image)
    save_png(tmp_path / "small.png", disk(32, 32)[0])
    done = pixelprobe("large.png", "small.png", "--saliency", "--out", "masks", "--json")
    assert done.returncode == 0, done.stderr
    large, small = json.loads(done.stdout)
    assert [each["segmenter"] for each in (large, small)] == ["u2net", "grabcut"]
    np.testing.assert_array_equal(load_mask(tmp_path / large["mask_path"]), expected(image) > 0.5)
    with Image.open(tmp_path / large["saliency_path"]) as saliency:
        np.testing.assert_allclose(np.asarray(saliency) / 255, expected(image), atol=0.5 / 255 + 1e-5)
    assert small["saliency_path"] is None
    assert "small.png: grabcut has no saliency" in done.stderr
    assert "u2net for 1 image: auto: more than 64 pixels a side" in done.stderr

    done = pixelprobe("large.png", "--threshold", "0.8", "--out", "masks", "--json")
    (again,) = json.loads(done.stdout)
    assert again["area_fraction"] < large["area_fraction"]
    assert not (tmp_path / large["saliency_path"]).exists(), "saliency beside a newer mask"

    for arguments, told in (
        (("--threshold", "0.8", "--rectangle", "1,1,9,9"), "--threshold: is of u2net, which takes no"),
        (("--threshold", "0.8", "--method", "grabcut"), "--threshold: grabcut takes none; it is of u2net"),
        (("--threshold", "1"), "Invalid value for '--threshold'"),
        (("--method", "u2net", "--iterations", "2"), "--method: u2net takes no rectangle"),
    ):
        done = pixelprobe("large.png", *arguments)
        assert done.returncode == 2
        line = done.stderr.splitlines()[-1]  # after the address in use
        assert line.startswith("Error: ")
        assert told in line


def test_auto_goes_by_size_and_says_so(client: PixelprobeClient) -> None:
    small = client.segment(disk(64, 64)[0], saliency=True)
    assert (small.segmenter, small.choice_reason) == ("grabcut", "auto: at most 64 pixels a side")
    assert small.saliency is None
    large = client.segment(disk(64, 65)[0])
    assert (large.segmenter, large.choice_reason) == ("u2net", "auto: more than 64 pixels a side")


def test_many_at_once_get_what_each_gets_alone(client: PixelprobeClient) -> None:
    images = [disk(100 + 7 * number, 150, seed=number)[0] for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        masks = list(pool.map(lambda image: client.segment(image, "u2net").mask, images))
    for image, mask in zip(images, masks, strict=True):
        np.testing.assert_array_equal(mask, expected(image) > 0.5)


def test_without_its_server_u2net_is_unavailable_until_it_is_back(
    client: PixelprobeClient, triton: Server
) -> None:
    def listed() -> str:
        return {each.id: each.unavailable_reason for each in client.list_segmenters()}["u2net"]

    def wait_for(available: bool) -> None:
        give_up = time.monotonic() + 60
        while (listed() == "") is not available:
            assert time.monotonic() < give_up, listed()
            time.sleep(0.2)

    assert listed() == ""
    image = disk(100, 100)[0]
    triton.stop()
    wait_for(False)
    assert listed() == f"Triton does not answer at {triton.address}"
    with pytest.raises(FailedPreconditionError, match="u2net: Triton does not answer"):
        client.segment(image, "u2net")
    found = client.segment(image)
    assert found.segmenter == "grabcut"
    assert found.choice_reason.startswith("auto: u2net is not available: Triton does not answer at ")
    triton.start()
    wait_for(True)
    assert client.segment(image).segmenter == "u2net"


def test_a_triton_without_the_model_is_told_apart(triton_venv: Path, tmp_path: Path) -> None:
    with (
        serving("other", triton_venv, tmp_path) as triton,
        processes.service("pixelprobe_services.segmentation", "--triton", triton.address) as running,
        PixelprobeClient(Addresses(segmentation=running.address)) as client,
    ):
        known = {each.id: each for each in client.list_segmenters()}
        assert not known["u2net"].available
        assert f"{triton.address}: model 'u2net' is not served" in known["u2net"].unavailable_reason
        assert client.segment(disk(100, 100)[0]).segmenter == "grabcut"
