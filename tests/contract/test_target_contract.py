"""One suite for every way to a target: gRPC and HTTP, sparse and whole, all against the real local Triton.

The judge is Triton's own client library asking for the same edited images, built here pixel by pixel.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
from numpy.typing import NDArray
from PIL import Image

from pixelprobe_services.kserve.http_client import HttpClient
from pixelprobe_services.orchestrator.targets.backend import ModelTarget
from pixelprobe_services.orchestrator.targets.base import (
    QueryBatch,
    Scores,
    Target,
    TargetError,
    TargetUnavailableError,
)
from pixelprobe_services.orchestrator.targets.config import TargetConfig
from pixelprobe_services.orchestrator.targets.kserve_backend import KServeBackend
from pixelprobe_services.orchestrator.targets.registry import open_target

pytestmark = pytest.mark.stack

MODEL = "allconv_cifar10"
CLASSES = 10
SIDE = 32
MAX_BATCH = 400
IMAGES = Path(__file__).parent.parent / "fixtures" / "cifar10"


def _open(config: TargetConfig) -> Target:
    return open_target(config)


def _open_json(config: TargetConfig) -> Target:
    """Plain JSON tensors, as with a server that lacks the binary extension."""
    return ModelTarget(config, KServeBackend(config, HttpClient(config.endpoint, binary=False)))


@dataclass(frozen=True)
class Way:
    """A way to ask, and which of the server's addresses it goes to."""

    protocol: str
    sparse: str
    open: Callable[[TargetConfig], Target] = _open


WAYS = {
    "grpc-sparse": Way("kserve-grpc", "auto"),
    "grpc-whole": Way("kserve-grpc", "never"),
    "http-sparse": Way("kserve-http", "auto"),
    "http-whole": Way("kserve-http", "never"),
    "http-json-sparse": Way("kserve-http", "auto", _open_json),
    "http-json-whole": Way("kserve-http", "never", _open_json),
}

Opener = Callable[..., Target]


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture
async def opener(way: Way, local_triton: dict[str, str]) -> AsyncIterator[Opener]:
    """Opens targets this way, with changes to their configuration; closes them afterwards."""
    address = local_triton[way.protocol.removeprefix("kserve-")]
    config = TargetConfig("it", way.protocol, address, MODEL, sparse=way.sparse)
    opened = []

    def open_changed(**changes: Any) -> Target:
        opened.append(way.open(replace(config, **changes)))
        return opened[-1]

    yield open_changed
    for target in opened:
        await target.close()


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    """A dozen real images, (12, 32, 32, 3)."""
    files = sorted(IMAGES.rglob("*.png"))[:12]
    return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


@pytest.fixture(scope="module")
def judge(local_triton: dict[str, str]) -> Iterator[Callable[[QueryBatch], NDArray[np.float32]]]:
    """Probabilities (n, classes) of a batch, from Triton's own client."""
    with tritonclient.grpc.InferenceServerClient(local_triton["grpc"]) as client:

        def ask(batch: QueryBatch) -> NDArray[np.float32]:
            edited = batch.images[batch.image_index].copy()
            for row, edits in enumerate(batch.edits):
                for x, y, *colour in edits:
                    edited[row, y, x] = colour
            image = tritonclient.grpc.InferInput("image", edited.shape, "UINT8")
            image.set_data_from_numpy(edited)
            answer: NDArray[np.float32] = client.infer(MODEL, [image]).as_numpy("probabilities")
            return answer

        yield ask


def random_batch(
    images: NDArray[np.uint8], queries: int, *, pixels: int = 1, asked: int = 1, seed: int = 0
) -> QueryBatch:
    random = np.random.default_rng(seed)
    spots = np.stack([random.permutation(SIDE * SIDE)[:pixels] for _ in range(queries)])
    colours = random.integers(0, 256, (queries, pixels, 3))
    return QueryBatch(
        images=images,
        image_index=random.integers(0, len(images), queries, dtype=np.int32),
        edits=np.concatenate([spots[..., None] % SIDE, spots[..., None] // SIDE, colours], 2).astype(
            np.int16
        ),
        classes=random.integers(0, CLASSES, (queries, asked), dtype=np.int32),
    )


def assert_scores(scores: Scores, batch: QueryBatch, probabilities: NDArray[np.float32]) -> None:
    """Equal to the last bit, in the batch's order, best classes first."""
    rows = np.arange(len(batch))[:, None]
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(scores.class_probabilities, probabilities[rows, batch.classes])
    np.testing.assert_array_equal(scores.top_classes, best)
    np.testing.assert_array_equal(scores.top_probabilities, probabilities[rows, best])
    assert scores.class_probabilities.dtype == scores.top_probabilities.dtype == np.float32
    assert scores.top_classes.dtype == np.int32


async def test_it_describes_itself(way: Way, opener: Opener) -> None:
    labels = tuple("abcdefghij")
    info = await opener(labels=labels, max_in_flight=2).describe()
    assert (info.name, info.width, info.height, info.classes) == ("it", SIDE, SIDE, CLASSES)
    assert (info.labels, info.max_batch, info.max_in_flight) == (labels, MAX_BATCH, 2)
    assert info.sparse_queries == (way.sparse == "auto")
    assert (await opener(max_batch=7).describe()).max_batch == 7


@pytest.mark.parametrize("pixels", [1, 3, 5])
async def test_scores_of_several_images(opener: Opener, images: Any, judge: Any, pixels: int) -> None:
    target = opener()
    for asked in (1, 3):
        batch = random_batch(images, 20, pixels=pixels, asked=asked)
        assert_scores(await target.query(batch), batch, judge(batch))


async def test_one_row(opener: Opener, images: Any, judge: Any) -> None:
    batch = random_batch(images[3:4], 1)
    assert_scores(await opener().query(batch), batch, judge(batch))


@pytest.fixture(scope="module")
def full_batch(images: Any, judge: Any) -> tuple[QueryBatch, NDArray[np.float32]]:
    """As many queries as a request may carry, and their probabilities."""
    batch = random_batch(images[:2], MAX_BATCH)
    return batch, judge(batch)


async def test_as_many_rows_as_allowed(opener: Opener, full_batch: Any) -> None:
    target = opener()
    batch, probabilities = full_batch
    assert_scores(await target.query(batch), batch, probabilities)
    assert (target.stats.requests, target.stats.queries, target.stats.failures) == (1, MAX_BATCH, 0)


async def test_equal_edits_on_one_pixel_are_one(opener: Opener, images: Any, judge: Any) -> None:
    batch = random_batch(images, 5, pixels=3)
    batch.edits[:, 1:] = batch.edits[:, :1]
    assert_scores(await opener().query(batch), batch, judge(batch))


async def test_arrays_of_any_layout(opener: Opener, images: Any, judge: Any) -> None:
    batch = random_batch(images[::2], 9, pixels=2)
    strided = replace(
        batch,
        edits=np.asfortranarray(batch.edits),
        image_index=np.repeat(batch.image_index, 2)[::2],
        classes=batch.classes.astype(">i4"),
    )
    assert_scores(await opener().query(strided), batch, judge(batch))


async def test_concurrent_queries_do_not_mix(opener: Opener, images: Any, judge: Any) -> None:
    target = opener()
    batches = [random_batch(images, 5 + seed, pixels=1 + seed % 3, seed=seed) for seed in range(8)]
    answers = await asyncio.gather(*(target.query(batch) for batch in batches))
    for batch, scores in zip(batches, answers, strict=True):
        assert_scores(scores, batch, judge(batch))
    assert target.stats.queries == sum(len(batch) for batch in batches)


async def test_an_unknown_model_is_an_error_that_names_it(opener: Opener) -> None:
    with pytest.raises(TargetError, match=r"^127\.0\.0\.1:\d+: model 'nothing': .*is not found") as caught:
        await opener(model="nothing").describe()
    assert not isinstance(caught.value, TargetUnavailableError)


async def test_nobody_there_is_unavailable(opener: Opener, images: Any) -> None:
    with socket.socket() as bound_but_deaf:
        bound_but_deaf.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound_but_deaf.getsockname()[1]}"
        with pytest.raises(TargetUnavailableError, match=address):
            await opener(address=address).query(random_batch(images, 1))


async def test_a_missed_deadline_is_unavailable(opener: Opener, images: Any) -> None:
    target = opener(timeout_seconds=0.02)
    with pytest.raises(TargetUnavailableError, match=r"DEADLINE_EXCEEDED|no answer within 0\.02 s"):
        await target.query(random_batch(images, MAX_BATCH // 2))


async def test_closing_twice_is_harmless(opener: Opener, images: Any) -> None:
    target = opener()
    await target.query(random_batch(images, 1))
    await target.close()
    await target.close()
    with pytest.raises(TargetUnavailableError, match="closed"):
        await target.query(random_batch(images, 1))
