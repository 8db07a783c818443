"""A real Triton that serves one network under many contracts, for tests of targets.

The network is a softmax of a linear map of 4x6 RGB images, as ONNX. What differs is how images go in and what
comes out: layouts, types, logits, several outputs, labels.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pixelprobe_deploy.local.health import triton_is_healthy
from pixelprobe_deploy.local.ports import HOST, choose_ports
from pixelprobe_deploy.triton.runtime import ServerSettings, prepare_runtime, server_command
from tests.unit.targets.rest_servers import HEIGHT, LABELS, WEIGHTS, WIDTH

CLASSES = len(LABELS)
START_SECONDS = 120.0
KINDS = {
    TensorProto.UINT8: "TYPE_UINT8",
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.INT64: "TYPE_INT64",
    TensorProto.STRING: "TYPE_STRING",
}
NHWC, NCHW = (HEIGHT, WIDTH, 3), (3, HEIGHT, WIDTH)

MODEL = """
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.outputs = [output["name"] for output in config["output"]]
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        names = [spec.name for spec in self.session.get_inputs()]
        inputs = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in names}
        try:
            found = dict(zip(self.outputs, self.session.run(self.outputs, inputs)))
        except Exception as error:
            return pb_utils.InferenceResponse([], pb_utils.TritonError(str(error)))
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, found[name]) for name in wanted])
"""


class Graph:
    """One variant: from ``image`` to the logits of the network, then whatever is added."""

    def __init__(self, kind: int, shape: tuple[int, ...], batch: str | int = "N") -> None:
        self.kind, self.shape, self.batch = kind, shape, batch
        self.outputs: dict[str, tuple[int, tuple[int, ...]]] = {}
        self._nodes = [helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT)]
        self._constants = [numpy_helper.from_array(WEIGHTS, "weights")]
        last = "float"
        if kind == TensorProto.FLOAT:
            self._constants.append(numpy_helper.from_array(np.array(255, np.float32), "full"))
            self._nodes.append(helper.make_node("Mul", [last, "full"], ["scaled"]))
            last = "scaled"
        if shape == NCHW:
            self._nodes.append(helper.make_node("Transpose", [last], ["nhwc"], perm=[0, 2, 3, 1]))
            last = "nhwc"
        self._nodes.append(helper.make_node("Flatten", [last], ["flat"], axis=1))
        self._nodes.append(helper.make_node("MatMul", ["flat", "weights"], ["logits"]))
        self._nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))

    def gives(self, *names: str) -> Graph:
        """Declare outputs."""
        for name in names:
            self._add(name)
        return self

    def _add(self, name: str) -> None:
        if name in ("logits", "probabilities"):
            self.outputs[name] = (TensorProto.FLOAT, (CLASSES,))
        elif name == "map":
            self._constants.append(numpy_helper.from_array(np.array([0, CLASSES, 1, 1]), "map_shape"))
            self._nodes.append(helper.make_node("Reshape", ["logits", "map_shape"], ["map"]))
            self.outputs[name] = (TensorProto.FLOAT, (CLASSES, 1, 1))
        elif name == "embedding":
            self._nodes.append(helper.make_node("Tanh", ["logits"], ["embedding"]))
            self.outputs[name] = (TensorProto.FLOAT, (CLASSES,))
        elif name == "scores":
            self._constants.append(numpy_helper.from_array(np.array([5]), "five"))
            inputs, outputs = ["probabilities", "five"], ["scores", "indices"]
            self._nodes.append(helper.make_node("TopK", inputs, outputs, axis=1))
            self.outputs["scores"] = (TensorProto.FLOAT, (5,))
            self.outputs["indices"] = (TensorProto.INT64, (5,))
        elif name in ("label", "name"):
            self._nodes.append(helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=1))
            if name == "label":
                self.outputs[name] = (TensorProto.INT64, (1,))
            else:
                texts: list[Any] = [label.encode() for label in LABELS]
                self._constants.append(helper.make_tensor("names", TensorProto.STRING, [CLASSES], texts))
                self._nodes.append(helper.make_node("Gather", ["names", "label"], ["name"]))
                self.outputs[name] = (TensorProto.STRING, (1,))
        elif name == "one":
            self._constants.append(numpy_helper.from_array(np.array([0]), "first"))
            self._nodes.append(helper.make_node("Gather", ["probabilities", "first"], ["one"], axis=1))
            self.outputs[name] = (TensorProto.FLOAT, (1,))
        else:
            self._nodes.append(helper.make_node("Sigmoid", ["logits"], ["sigmoids"]))
            self.outputs[name] = (TensorProto.FLOAT, (CLASSES,))

    def onnx(self) -> bytes:
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            "net",
            [value("image", self.kind, [self.batch, *self.shape])],
            [value(name, kind, [self.batch, *shape]) for name, (kind, shape) in self.outputs.items()],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def config(self, name: str) -> str:
        fixed = self.batch if isinstance(self.batch, int) else 0
        lead = (fixed,) if fixed else ()

        def tensor(tensor: str, kind: int, dims: tuple[int, ...]) -> str:
            return f'{{ name: "{tensor}" data_type: {KINDS[kind]} dims: {list(lead + dims)} }}'  # type: ignore[index]

        outputs = ", ".join(tensor(name, *described) for name, described in self.outputs.items())
        return (
            f'name: "{name}"\nbackend: "python"\nmax_batch_size: {0 if fixed else 64}\n'
            f"input [{tensor('image', self.kind, self.shape)}]\noutput [{outputs}]\n"
            "instance_group [{ kind: KIND_CPU count: 1 }]\n"
        )


MODELS = {
    "house": Graph(TensorProto.UINT8, NHWC).gives("probabilities"),
    "nchw_logits": Graph(TensorProto.FLOAT, NCHW).gives("logits"),
    "nhwc_softmax": Graph(TensorProto.FLOAT, NHWC).gives("probabilities"),
    "squeezable": Graph(TensorProto.UINT8, NHWC).gives("map"),
    "two_outputs": Graph(TensorProto.UINT8, NHWC).gives("embedding", "probabilities"),
    "top5": Graph(TensorProto.UINT8, NHWC).gives("scores"),
    "labels": Graph(TensorProto.UINT8, NHWC).gives("label"),
    "names": Graph(TensorProto.UINT8, NHWC).gives("name"),
    "one_class": Graph(TensorProto.UINT8, NHWC).gives("one"),
    "sigmoids": Graph(TensorProto.UINT8, NHWC).gives("sigmoids"),
    "fixed": Graph(TensorProto.UINT8, NHWC, batch=4).gives("probabilities"),
}


@contextmanager
def serving(venv: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Addresses of a Triton with all MODELS, ``grpc`` and ``http``."""
    repository = folder / "models"
    for name, graph in MODELS.items():
        version = repository / name / "1"
        version.mkdir(parents=True)
        (version / "model.onnx").write_bytes(graph.onnx())
        (version / "model.py").write_text(MODEL)
        (version.parent / "config.pbtxt").write_text(graph.config(name))
    runtime = prepare_runtime(venv, folder / "backends")
    ports = choose_ports({"triton_http": 0, "triton_grpc": 0, "triton_metrics": 0})
    settings = ServerSettings(
        HOST,
        ports["triton_http"],
        ports["triton_grpc"],
        ports["triton_metrics"],
        f"pixelprobe_{secrets.token_hex(4)}_",
    )
    addresses = {kind: f"{HOST}:{ports[f'triton_{kind}']}" for kind in ("grpc", "http")}
    log = folder / "triton.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            server_command(runtime, repository, settings),
            env=runtime.environment(os.environ),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            give_up = time.monotonic() + START_SECONDS
            while not triton_is_healthy(addresses["grpc"], MODELS):
                assert server.poll() is None, log.read_text(errors="replace")[-2000:]
                assert time.monotonic() < give_up, log.read_text(errors="replace")[-2000:]
                time.sleep(0.1)
            yield addresses
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
