"""One suite for every protocol and every layout: the scores of one network, each from a real server.

KServe's are a Triton's; the other HTTP servers speak their protocol around the same network in this process
(TensorFlow Serving and TorchServe are not on PyPI in a reasonable size); the callable runs in its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pixelprobe_services.orchestrator.core.perturbation import apply_edits
from pixelprobe_services.orchestrator.targets.base import (
    Answers,
    QueryBatch,
    Target,
    TargetError,
    TargetUnavailableError,
)
from pixelprobe_services.orchestrator.targets.registry import load_targets, open_target
from tests.contract import zoo
from tests.unit.targets.rest_servers import HEIGHT, LABELS, WIDTH, RestServers, network, serve


@dataclass(frozen=True)
class Way:
    """A table of the targets file, and what the model behind it is like."""

    server: str
    table: str
    max_batch: int = 64
    answers: Answers = "probabilities"


NAMES = f"labels = {list(LABELS)}\n"
SIZE = f"size = [{WIDTH}, {HEIGHT}]\n"
FLOATS = 'dtype = "fp32"\nscale = 0.00392156862745098\n'
MODELS = {
    "house": "",
    "nchw_logits": f'layout = "nchw"\noutput_kind = "logits"\n{FLOATS}',
    "nhwc_softmax": 'preset = "0-1"\n',
    "squeezable": 'output_kind = "logits"\n',
    "two_outputs": 'input = "image"\noutput = "probabilities"\n',
    "top5": f'output = "scores"\noutput_labels = "indices"\ntop_k = 5\n{NAMES}',
    "labels": f'output_kind = "labels"\n{NAMES}',
    "names": f'output_kind = "labels"\n{NAMES}',
    "fixed": "",
}
SEEN: dict[str, Answers] = {"top5": "top_k", "labels": "labels", "names": "labels"}
WAYS = {
    f"{protocol} {model}": Way(
        protocol.removeprefix("kserve-"),
        f'protocol = "{protocol}"\nmodel = "{model}"\n{table}',
        4 if model == "fixed" else 64,
        SEEN.get(model, "probabilities"),
    )
    for protocol in ("kserve-grpc", "kserve-http")
    for model, table in MODELS.items()
} | {
    "tensorflow-serving": Way(
        "rest", 'protocol = "tensorflow-serving"\npreset = "0-1"\nmodel = "net"\nmax_batch = 64\n'
    ),
    "torchserve": Way("rest", f'protocol = "torchserve"\nmodel = "net"\n{SIZE}{NAMES}', 1, "top_k"),
    "huggingface": Way("rest", f'protocol = "huggingface"\nmodel = "owner/net"\n{SIZE}{NAMES}', 1, "top_k"),
    "json, many images": Way(
        "rest",
        f"""protocol = "json"\nmax_batch = 64\nclasses = {len(LABELS)}\n{SIZE}
        [targets.it.request]
        path = "/api/classify"
        body = '{{"inputs": [{{"b64": "$images"}}]}}'
        [targets.it.response]
        scores = "results[*].scores"
        """,
    ),
    "json, one image": Way(
        "rest",
        f"""protocol = "json"\noutput_kind = "percent"\n{SIZE}{NAMES}
        [targets.it.request]
        path = "/api/one"
        body = '{{"image_url": "data:image/png;base64,$image"}}'
        [targets.it.response]
        scores = "percent"
        """,
        1,
    ),
    "python": Way(
        "python",
        'protocol = "python"\ncallable = "tests.unit.targets.rest_servers:network"\n'
        f"max_batch = 64\n{SIZE}{NAMES}",
    ),
}
Opener = Callable[..., Target]


@pytest.fixture(scope="module")
def triton(triton_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with zoo.serving(triton_venv, tmp_path_factory.mktemp("zoo")) as addresses:
        yield addresses


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture
async def opener(way: Way, triton: dict[str, str], tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens targets this way, with other keys or another address; closes them afterwards."""
    runner, rest = await serve(RestServers())
    (tmp_path / "tests").symlink_to(Path(__file__).parents[1])  # the callable's module, beside the file
    opened: list[Target] = []

    def open_changed(keys: str = "", *, address: str | None = None, table: str | None = None) -> Target:
        addresses = {**triton, "rest": rest}
        found = address or addresses.get(way.server)
        file = tmp_path / "targets.toml"
        head = f'address = "{found}"\n' if found and way.server != "python" else ""
        file.write_text(f"[targets.it]\n{head}{keys}{table or way.table}")
        opened.append(open_target(load_targets(file)["it"]))
        return opened[-1]

    yield open_changed
    for target in opened:
        await target.close()
    await runner.cleanup()


def random_batch(queries: int, *, pixels: int = 1, asked: int = 2, seed: int = 0) -> QueryBatch:
    random = np.random.default_rng([seed, queries])
    spots = np.stack([random.permutation(WIDTH * HEIGHT)[:pixels] for _ in range(queries)])
    colours = random.integers(0, 256, (queries, pixels, 3))
    return QueryBatch(
        images=random.integers(0, 256, (3, HEIGHT, WIDTH, 3), dtype=np.uint8),
        image_index=random.integers(0, 3, queries, dtype=np.int32),
        edits=np.concatenate([spots[..., None] % WIDTH, spots[..., None] // WIDTH, colours], 2).astype(
            np.int16
        ),
        classes=random.integers(0, len(LABELS), (queries, asked), dtype=np.int32),
    )


async def assert_right(target: Target, batch: QueryBatch, answers: Answers) -> None:
    """The network's scores of the edited images, as far as the attacker sees them."""
    scores = await target.query(batch)
    expected = network(apply_edits(batch.images, batch.image_index, batch.edits))
    best = np.argsort(-expected, axis=1, kind="stable")[:, :5]
    rows = np.arange(len(batch))[:, None]
    if answers == "labels":
        np.testing.assert_array_equal(scores.top_classes, best[:, :1])
        np.testing.assert_array_equal(scores.class_probabilities, batch.classes == best[:, :1])
        return
    wanted = expected[rows, batch.classes]
    if answers == "top_k":  # a class beyond the fifth counts with the fifth's score
        wanted = np.maximum(wanted, expected[rows, best[:, -1:]])
    np.testing.assert_array_equal(scores.top_classes, best)
    np.testing.assert_allclose(scores.top_probabilities, expected[rows, best], rtol=1e-5)
    np.testing.assert_allclose(scores.class_probabilities, wanted, rtol=1e-5)


async def test_it_describes_itself(way: Way, opener: Opener) -> None:
    target = opener("max_in_flight = 2\n")
    info = await target.describe()
    assert (info.name, info.width, info.height, info.classes) == ("it", WIDTH, HEIGHT, len(LABELS))
    assert (info.max_batch, info.max_in_flight, info.answers) == (way.max_batch, 2, way.answers)
    assert not info.sparse_queries
    assert await target.check() == info
    assert await target.metadata()
    assert target.stats.queries == 0


async def test_scores(way: Way, opener: Opener) -> None:
    target = opener()
    for queries, pixels in ((1, 1), (3, 2), (way.max_batch, 5)):
        batch = random_batch(min(queries, way.max_batch), pixels=pixels)
        await assert_right(target, batch, way.answers)
    assert (target.stats.requests, target.stats.failures) == (3, 0)
    assert target.stats.bytes_sent > 0
    assert target.stats.bytes_received > 0


async def test_concurrent_queries_do_not_mix(way: Way, opener: Opener) -> None:
    target = opener()
    batches = [random_batch(min(1 + seed % 3, way.max_batch), seed=seed) for seed in range(6)]
    await asyncio.gather(*(assert_right(target, batch, way.answers) for batch in batches))


async def test_more_than_fits_is_not_sent(way: Way, opener: Opener) -> None:
    target = opener()
    with pytest.raises(TargetError, match=f"takes 1 to {way.max_batch} queries"):
        await target.query(random_batch(way.max_batch + 1))
    assert target.stats.requests == 0


async def test_a_server_that_is_not_there_is_unavailable(way: Way, opener: Opener) -> None:
    if way.server == "python":
        target = opener(table=way.table.replace(":network", ":nothing"))
        with pytest.raises(TargetError, match="has no attribute 'nothing'"):
            await target.query(random_batch(1))
        return
    with socket.socket() as bound_but_deaf:
        bound_but_deaf.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound_but_deaf.getsockname()[1]}"
        with pytest.raises(TargetUnavailableError, match=address):
            await opener(address=address).query(random_batch(1))


async def test_closing_twice_is_harmless(way: Way, opener: Opener) -> None:
    target = opener()
    await target.query(random_batch(1))
    await target.close()
    await target.close()
    with pytest.raises(TargetUnavailableError, match="closed"):
        await target.query(random_batch(1))


@pytest.mark.parametrize(
    ("model", "keys", "complaint"),
    [
        ("one_class", "", r"answers one number an image: .* Serve two, \[1 - p, p\]"),
        ("sigmoids", "", r"no distribution .* activation = \"sigmoid\""),
        ("two_outputs", "", r"2 outputs; say which .*'embedding' FP32 \[-1, 7\], 'probabilities' FP32"),
        ("two_outputs", 'output = "logits"\n', "has no output \"logits\".*there are 'embedding'"),
        ("two_outputs", 'input = "x"\n', "has no input \"x\".*there are 'image' UINT8"),
        ("nchw_logits", "", r"input 'image' FP32 \[-1, 3, 4, 6\], expected UINT8 .* say layout = \"nchw\""),
        ("squeezable", "", "not logits"),
        ("labels", "", 'output_kind = "labels" if it answers classes'),
        ("nothing", "", "is not found"),
    ],
)
@pytest.mark.parametrize("protocol", ["kserve-grpc", "kserve-http"])
async def test_a_model_that_does_not_fit_is_refused_with_the_cure(
    triton: dict[str, str], tmp_path: Path, protocol: str, model: str, keys: str, complaint: str
) -> None:
    file = tmp_path / "targets.toml"
    address = triton[protocol.removeprefix("kserve-")]
    head = f'[targets.it]\nprotocol = "{protocol}"\naddress = "{address}"\n'
    file.write_text(f'{head}model = "{model}"\n{keys}')
    target = open_target(load_targets(file)["it"])
    try:
        with pytest.raises(TargetError, match=complaint):
            await target.query(random_batch(1))
    finally:
        await target.close()


async def test_sigmoids_are_taken_where_the_operator_says_so(triton: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "targets.toml"
    file.write_text(
        f'[targets.it]\nprotocol = "kserve-grpc"\naddress = "{triton["grpc"]}"\nmodel = "sigmoids"\n'
        'activation = "sigmoid"\n'
    )
    target = open_target(load_targets(file)["it"])
    scores = await target.query(random_batch(3))
    assert scores.top_probabilities.sum(axis=1).min() > 1.5
    await target.close()
