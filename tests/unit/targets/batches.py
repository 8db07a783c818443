"""Query batches and configurations for the tests of targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pixelprobe_services.orchestrator.targets.base import QueryBatch
from pixelprobe_services.orchestrator.targets.config import TargetConfig


def random_batch(
    queries: int, *, images: int = 1, pixels: int = 1, asked: int = 1, side: int = 4, classes: int = 3
) -> QueryBatch:
    """A batch under the contract: edits of one query never share a pixel."""
    random = np.random.default_rng([queries, images, pixels, asked, side])
    spots = np.array([random.permutation(side * side)[:pixels] for _ in range(queries)])
    colours = random.integers(0, 256, (queries, pixels, 3))
    return QueryBatch(
        images=random.integers(0, 256, (images, side, side, 3), dtype=np.uint8),
        image_index=random.integers(0, images, queries, dtype=np.int32),
        edits=np.concatenate([spots[..., None] % side, spots[..., None] // side, colours], 2).astype(
            np.int16
        ),
        classes=random.integers(0, classes, (queries, asked), dtype=np.int32),
    )


def config(address: str, protocol: str = "kserve-grpc", **changes: Any) -> TargetConfig:
    """A target called ``toy`` there; quick to give up."""
    base = TargetConfig(name="toy", protocol=protocol, address=address, model="toy", timeout_seconds=5.0)
    return replace(base, **changes)
