"""Sparse queries against whole images: bytes a query on the wire, and queries a second, in turns.

At 32x32 on a shipped classifier, where the model is most of the cost; at 224x224 on a convolution of random
weights with 1000 classes, cheap enough that what travels is what takes the time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pixelprobe_services.orchestrator.targets.base import QueryBatch, Target, TargetInfo
from pixelprobe_services.orchestrator.targets.config import TargetConfig
from pixelprobe_services.orchestrator.targets.registry import open_target

SMALL, LARGE = "nin_cifar10", "random_224"
SIDE, CLASSES, PATCH, FILTERS = 224, 1000, 32, 16
CANDIDATES, IN_FLIGHT = 400, 3
REQUESTS, ROUNDS = 6, 3
WANTED_BYTES = 64  # a sparse query at 224x224, one pixel, 400 in a request


@dataclass(frozen=True)
class Way:
    """Medians over the rounds; ``each`` is bytes a query, both ways together, without the clean image."""

    each: float
    rate: float


@dataclass(frozen=True)
class Wire:
    """One model, queried both ways."""

    info: TargetInfo
    sparse: Way
    whole: Way

    def __str__(self) -> str:
        wanted = f" (wanted: at most {WANTED_BYTES})" if self.info.name == LARGE else ""
        return (
            f"wire, {self.info.name} ({self.info.width}x{self.info.height}, {self.info.classes} classes):"
            f" {self.sparse.each:.1f} bytes a sparse query{wanted}, {self.whole.each:,.0f} a whole image:"
            f" ratio {self.whole.each / self.sparse.each:,.0f};"
            f" {self.sparse.rate:.0f} and {self.whole.rate:.0f} queries/s:"
            f" ratio {self.sparse.rate / self.whole.rate:.2f}"
        )


def add_model(zoo: Path, model: onnx.ModelProto) -> None:
    """Put a model of 224x224 and 1000 classes where the local stack looks for models."""
    zoo.mkdir(parents=True, exist_ok=True)
    name, content = model.graph.name, model.SerializeToString()
    (zoo / f"{name}.onnx").write_bytes(content)
    card = {
        "name": name,
        "file": f"{name}.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "labels": [f"class {index}" for index in range(CLASSES)],
        "width": SIDE,
        "height": SIDE,
    }
    (zoo / f"{name}.json").write_text(json.dumps(card))


def measure(address: str, model: str) -> Wire:
    """Alternate the two ways for ROUNDS rounds, after one each to warm up."""
    return asyncio.run(_measure(address, model))


async def _measure(address: str, model: str) -> Wire:
    ways = {
        sparse: open_target(TargetConfig(model, "kserve-grpc", address, model, sparse=sparse))
        for sparse in ("auto", "never")
    }
    try:
        info = await ways["auto"].describe()
        assert info.sparse_queries, f"{model} takes no sparse queries"
        found: dict[str, list[Way]] = {sparse: [] for sparse in ways}
        for _ in range(ROUNDS + 1):
            for sparse, target in ways.items():
                found[sparse].append(await _round(target, info))
        return Wire(info, _median(found["auto"][1:]), _median(found["never"][1:]))
    finally:
        for target in ways.values():
            await target.close()


async def _round(target: Target, info: TargetInfo) -> Way:
    """REQUESTS requests of one generation, one-pixel edits of one image, IN_FLIGHT at a time."""
    batch = one_generation(info)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def ask() -> None:
        async with slots:
            await target.query(batch)

    bytes_before, began = _bytes(target), time.monotonic()
    await asyncio.gather(*(ask() for _ in range(REQUESTS)))
    seconds = time.monotonic() - began
    travelled = _bytes(target) - bytes_before
    if (await target.describe()).sparse_queries:
        travelled -= REQUESTS * batch.images.nbytes
    queries = REQUESTS * len(batch)
    return Way(travelled / queries, queries / seconds)


def one_generation(info: TargetInfo, candidates: int = CANDIDATES) -> QueryBatch:
    """One-pixel edits of one image of noise."""
    rng = np.random.default_rng(0)
    spots = rng.integers(0, (info.width, info.height), (candidates, 1, 2))
    colours = rng.integers(0, 256, (candidates, 1, 3))
    return QueryBatch(
        images=rng.integers(0, 256, (1, info.height, info.width, 3), dtype=np.uint8),
        image_index=np.zeros(candidates, np.int32),
        edits=np.concatenate([spots, colours], axis=2).astype(np.int16),
        classes=np.zeros((candidates, 1), np.int32),
    )


def _bytes(target: Target) -> int:
    return target.stats.bytes_sent + target.stats.bytes_received


def _median(ways: Sequence[Way]) -> Way:
    return Way(statistics.median(way.each for way in ways), statistics.median(way.rate for way in ways))


def large_model() -> onnx.ModelProto:
    """One convolution and a matrix."""
    rng = np.random.default_rng(0)
    flat = FILTERS * (SIDE // PATCH) ** 2
    weights = {
        "kernel": rng.normal(0, 0.001, (FILTERS, 3, PATCH, PATCH)),
        "matrix": rng.normal(0, 0.01, (flat, CLASSES)),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["seen"], strides=[PATCH, PATCH]),
        helper.make_node("Flatten", ["seen"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        LARGE,
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", CLASSES])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
