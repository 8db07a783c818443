"""The warm-up of GPU repositories, run by a real Triton on the CPU: every request must fit its model.

The ONNX Runtime backend on GPUs is not run here; that is for a machine with one.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

import pixelprobe_deploy.triton
from pixelprobe_deploy.triton.config import Backend, ModelSpec, to_text
from pixelprobe_deploy.triton.edits_graph import edits_graph
from pixelprobe_deploy.triton.repository import Options, classifier_spec, edits_spec
from pixelprobe_deploy.triton.runtime import ServerSettings, prepare_runtime, server_command
from tests.unit.deploy.tiny import read_classifier, tiny_model, write_model

pytestmark = pytest.mark.stack

ROOT = Path(__file__).parents[2]
MOST = 24
START_SECONDS = 240.0


def test_triton_runs_every_warm_up_before_it_is_ready(triton_venv: Path, tmp_path: Path) -> None:
    classifier = read_classifier("tiny", write_model(tmp_path / "tiny.onnx", tiny_model()))
    twin = edits_graph(classifier).SerializeToString(deterministic=True)
    repository = tmp_path / "models"
    for make, content in ((classifier_spec, classifier.content), (edits_spec, twin)):
        on_gpus = make(classifier, Options(Backend.ONNXRUNTIME, max_batch_size=MOST))
        assert on_gpus.warm_up
        on_the_cpu = make(classifier, Options(threads=1, max_batch_size=MOST))
        write(repository, replace(on_the_cpu, warm_up=on_gpus.warm_up), content)

    with triton(triton_venv, tmp_path, repository) as settings:
        with grpc.insecure_channel(f"127.0.0.1:{settings.grpc_port}") as channel:
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=60)
        with urllib.request.urlopen(
            f"http://127.0.0.1:{settings.metrics_port}/metrics", timeout=60
        ) as answer:
            metrics = answer.read().decode()

    assert health.status == health_pb2.HealthCheckResponse.SERVING, "what Kubernetes' probes ask"
    queries = dict(re.findall(r'^pixelprobe_queries_total\{model="(\w+)"\} (\d+)', metrics, re.MULTILINE))
    assert queries == {"tiny": str(1 + MOST), "tiny_edits": str(1 + MOST)}
    rules = (ROOT / "deploy" / "kubernetes" / "examples" / "prometheus-adapter.yaml").read_text()
    series = set(re.findall(r"\bnv_\w+", rules))
    assert series, "what Kubernetes scales Triton by"
    for name in series:
        assert re.search(rf'^{name}{{model="tiny",version="1"}} \d', metrics, re.MULTILINE), name


def write(repository: Path, spec: ModelSpec, onnx: bytes) -> None:
    backend = Path(pixelprobe_deploy.triton.__path__[0], "backend_model.py")
    folder = repository / spec.name / "1"
    folder.mkdir(parents=True)
    (folder.parent / "config.pbtxt").write_text(to_text(spec))
    (folder / "model.onnx").write_bytes(onnx)
    (folder / "model.py").write_bytes(backend.read_bytes())


@contextmanager
def triton(venv: Path, folder: Path, repository: Path) -> Iterator[ServerSettings]:
    """A Triton of this test's own, ready; what it said is shown when it is not."""
    runtime = prepare_runtime(venv, folder / "backends")
    http, rpc, metrics = free_ports()
    settings = ServerSettings("127.0.0.1", http, rpc, metrics, f"warm_up_{os.getpid()}_")
    with (folder / "triton.log").open("wb") as log:
        server = subprocess.Popen(
            server_command(runtime, repository, settings),
            env=runtime.environment(os.environ),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        if not becomes_ready(server, http):
            pytest.fail((folder / "triton.log").read_text(errors="replace")[-4000:], pytrace=False)
        yield settings
    finally:
        server.terminate()
        server.wait(timeout=30)


def becomes_ready(server: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=5):
                return True
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    return False


def free_ports() -> tuple[int, int, int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        first, second, third = (each.getsockname()[1] for each in sockets)
    return first, second, third
