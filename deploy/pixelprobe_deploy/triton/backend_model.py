"""Runs an ONNX model in Triton's Python backend, on the CPU; the builder copies this as ``model.py``.

It runs in the server's own venv and may import only what that holds: numpy, onnxruntime and Triton's
``triton_python_backend_utils``. It serves ``NAME``, a classifier or a saliency model of whole images, whose
requests Triton batches, and ``NAME_edits`` (max_batch_size 0; see edits_graph.py), whose requests come one by
one.

Every scored query adds one to the counter ``pixelprobe_queries_total{model=...}`` of Triton's metrics:
Triton's statistics count a request of ``NAME_edits`` as one inference, however many queries it carries.

Parameters in config.pbtxt:
    intra_op_threads   threads of one run; 0: one for each CPU this process may use
    queries_at_a_time  larger batches are run in pieces of this many, which bounds the memory
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


class BadQueryError(Exception):
    """The request asks for what is not there; the message says what and where."""


class TritonPythonModel:
    """The class Triton looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the one session of this model."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self._takes_edits = config["max_batch_size"] == 0
        self._outputs = {output["name"]: output["dims"] for output in config["output"]}
        self._piece = int(parameters["queries_at_a_time"])
        threads = int(parameters["intra_op_threads"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        # Idle threads must not spin: the other models want the cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        # The family must outlive its metric: hold on to both.
        self._scored_family = pb_utils.MetricFamily(
            name="pixelprobe_queries_total",
            description="Queries scored: images, or edits of images",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._scored = self._scored_family.Metric(labels={"model": args["model_name"]})

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer each request, in order."""
        if self._takes_edits:
            return [self._answer_edits(request) for request in requests]
        return self._answer_images(requests)

    def finalize(self) -> None:
        """Let go of the metric, then of its family: left to the interpreter's exit, the process crashes."""
        del self._scored
        del self._scored_family

    def _answer_images(self, requests: Sequence[Any]) -> list[Any]:
        """One run for all that Triton batched, split again by request."""
        batches = [_input(request, "image") for request in requests]
        (output,) = self._outputs
        scores = self._run({"image": np.concatenate(batches)}, {}, [output])[output]
        ends = np.cumsum([len(batch) for batch in batches])
        return [_response({output: part}) for part in np.split(scores, ends[:-1])]

    def _answer_edits(self, request: Any) -> Any:
        names = ("images", "image_index", "edits", "classes")
        inputs = {name: _input(request, name) for name in names}
        try:
            check_edits(**inputs, class_count=self._outputs["probabilities"][-1])
        except BadQueryError as error:
            fault = pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=fault)
        wanted = request.requested_output_names()
        outputs = [name for name in self._outputs if name in wanted]
        images = {"images": inputs.pop("images")}
        return _response(self._run(inputs, images, outputs))

    def _run(self, queries: Arrays, common: Arrays, outputs: list[str]) -> Arrays:
        """Score ``queries``, each array (n, ...), in pieces; ``common`` goes with every piece as it is."""
        count = len(next(iter(queries.values())))
        pieces = []
        for start in range(0, count, self._piece):
            piece = {name: array[start : start + self._piece] for name, array in queries.items()}
            pieces.append(self._session.run(outputs, {**piece, **common}))
        self._scored.increment(count)
        return {
            name: parts[0] if len(parts) == 1 else np.concatenate(parts)
            for name, parts in zip(outputs, zip(*pieces, strict=True), strict=True)
        }


def check_edits(
    images: NDArray[np.uint8],
    image_index: NDArray[np.int32],
    edits: NDArray[np.int16],
    classes: NDArray[np.int32],
    class_count: int,
) -> None:
    """See that the edits can be made and the classes exist; shapes as in edits_graph.py.

    Raises:
        BadQueryError: naming the first input that is off.
    """
    count, (height, width) = len(image_index), images.shape[1:3]
    for name, array in (
        ("images", images),
        ("image_index", image_index),
        ("edits", edits),
        ("classes", classes),
    ):
        if array.size == 0:
            raise BadQueryError(f"{name} is empty: shape {list(array.shape)}")
    if not count == len(edits) == len(classes):
        raise BadQueryError(
            f"image_index, edits and classes differ in length: {count}, {len(edits)}, {len(classes)}"
        )
    _check_range("image_index", image_index, len(images))
    for position, (name, limit) in enumerate(
        (("x", width), ("y", height), ("r", 256), ("g", 256), ("b", 256))
    ):
        _check_range(f"edits' {name}", edits[..., position], limit)
    _check_range("classes", classes, class_count)


def _check_range(name: str, values: NDArray[Any], limit: int) -> None:
    wrong = (values < 0) | (values >= limit)
    if wrong.any():
        where = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise BadQueryError(f"{name} must be 0 to {limit - 1}; query {where[0]} has {values[where]}")


def _input(request: Any, name: str) -> NDArray[Any]:
    array: NDArray[Any] = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return array


def _response(outputs: Arrays) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in outputs.items()])
