"""JSON APIs: what is asked, what is believed, and what is made of pages, redirects and silence."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from pixelprobe_services.orchestrator.core.perturbation import apply_edits
from pixelprobe_services.orchestrator.targets.base import (
    QueryBatch,
    RejectedError,
    Target,
    TargetError,
    TargetUnavailableError,
)
from pixelprobe_services.orchestrator.targets.registry import load_targets, open_target
from tests.unit.targets.rest_servers import HEIGHT, LABELS, WIDTH, RestServers, network, serve

COMMON = f"size = [{WIDTH}, {HEIGHT}]\nlabels = {list(LABELS)}\n"
TABLES = {
    "tensorflow-serving": 'protocol = "tensorflow-serving"\npreset = "0-1"\nmodel = "net"\n',
    "torchserve": 'protocol = "torchserve"\nmodel = "net"\n',
    "huggingface": 'protocol = "huggingface"\nmodel = "owner/net"\n',
    "json, many images": """protocol = "json"
        [targets.toy.request]
        path = "/api/classify"
        body = '{"inputs": [{"b64": "$images"}]}'
        [targets.toy.response]
        scores = "results[*].scores"
        """,
    "json, one image": """protocol = "json"
        output_kind = "percent"
        [targets.toy.request]
        path = "/api/one"
        body = '{"image_url": "data:image/png;base64,$image"}'
        [targets.toy.response]
        scores = "percent"
        """,
    "json, labels": """protocol = "json"
        output_kind = "labels"
        [targets.toy.request]
        path = "/api/one"
        body = '{"image_url": "data:image/png;base64,$image"}'
        [targets.toy.response]
        labels = "class"
        """,
}
TENSORFLOW = 'protocol = "tensorflow-serving"\nmodel = "net"\n'
Stage = tuple[RestServers, Callable[[str], Target]]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    servers = RestServers()
    runner, address = await serve(servers)
    opened: list[Target] = []

    def opener(table: str) -> Target:
        file = tmp_path / "targets.toml"
        head, found, rest = table.partition("[targets.toy.request]")
        text = f'[targets.toy]\naddress = "{address}"\ntimeout_seconds = 5\n{COMMON}{head}\n{found}{rest}'
        file.write_text(text)
        opened.append(open_target(load_targets(file)["toy"]))
        return opened[-1]

    yield servers, opener
    for target in opened:
        await target.close()
    await runner.cleanup()


def batch(queries: int, classes: int = 2) -> QueryBatch:
    random = np.random.default_rng(queries)
    spots = random.integers(0, (WIDTH, HEIGHT), (queries, 1, 2))
    return QueryBatch(
        images=random.integers(0, 256, (2, HEIGHT, WIDTH, 3), dtype=np.uint8),
        image_index=random.integers(0, 2, queries, dtype=np.int32),
        edits=np.concatenate([spots, random.integers(0, 256, (queries, 1, 3))], 2).astype(np.int16),
        classes=random.integers(0, len(LABELS), (queries, classes), dtype=np.int32),
    )


@pytest.mark.parametrize("protocol", TABLES)
async def test_scores_are_those_of_the_edited_image(stage: Stage, protocol: str) -> None:
    _, opener = stage
    target = opener(TABLES[protocol])
    info = await target.describe()
    assert (info.width, info.height, info.classes, info.labels) == (WIDTH, HEIGHT, len(LABELS), LABELS)
    assert info.answers == (
        "labels" if "labels" in protocol else "top_k" if protocol in ("torchserve", "huggingface") else
        "probabilities"
    )  # fmt: skip
    many = protocol in ("tensorflow-serving", "json, many images")
    assert info.max_batch == (400 if many else 1)
    asked = batch(5 if many else 1)
    scores = await target.query(asked)
    expected = network(apply_edits(asked.images, asked.image_index, asked.edits))
    np.testing.assert_array_equal(scores.top_classes[:, 0], expected.argmax(axis=1))
    if info.answers != "labels":
        rows = np.arange(len(asked))[:, None]
        wanted = expected[rows, asked.classes]
        if info.answers == "top_k":  # a class beyond the fifth counts with the fifth's score
            wanted = np.maximum(wanted, np.sort(expected, axis=1)[:, -5:-4])
        np.testing.assert_allclose(scores.class_probabilities, wanted, rtol=1e-5)
        np.testing.assert_allclose(scores.top_probabilities[:, 0], expected.max(axis=1), rtol=1e-5)


async def test_whether_it_is_ready_costs_no_query(stage: Stage) -> None:
    servers, opener = stage
    for table in TABLES.values():
        await opener(table).check()
    servers.ready = False
    for protocol in ("tensorflow-serving", "torchserve"):
        with pytest.raises(TargetUnavailableError, match="is not ready"):
            await opener(TABLES[protocol]).check()
    assert servers.queries == 0


def page(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html")


def scored(row: list[object]) -> web.Response:
    return web.json_response({"results": [{"scores": row}]})


@pytest.mark.parametrize(
    ("fault", "error", "complaint"),
    [
        (
            lambda: web.json_response({"error": "busy"}, status=429, headers={"Retry-After": "9"}),
            RejectedError,
            "HTTP 429: busy",
        ),
        (lambda: web.json_response({"message": "no"}, status=401), TargetError, "HTTP 401: no"),
        (lambda: page("<html>Sign in"), TargetError, "an HTML page instead of JSON"),
        (lambda: page("<!doctype html>", status=500), TargetError, "HTTP 500: an HTML page"),
        (
            lambda: web.Response(status=307, headers={"Location": "https://other.example/x"}),
            TargetError,
            "redirects to other.example, which is not followed",
        ),
        (lambda: web.json_response({"other": 1}), TargetError, "holds nothing at 'results"),
        (lambda: scored(["a"]), TargetError, "does not hold rows of numbers"),
        (lambda: scored([0.5, 0.5]), TargetError, r"expected float64 \[1, 7\]"),
        (lambda: scored([0.9] * 7), TargetError, "no distribution"),
        (lambda: scored([9] * 7), TargetError, "runs from 9"),
        (lambda: web.Response(text="[" * 100_000), TargetError, "instead of JSON"),
    ],
)
async def test_what_is_no_answer_is_named(
    stage: Stage, fault: Callable[[], web.Response], error: type[TargetError], complaint: str
) -> None:
    servers, opener = stage
    target = opener(TABLES["json, many images"])
    servers.fault = fault
    with pytest.raises(error, match=complaint) as caught:
        await target.query(batch(1))
    assert isinstance(caught.value, TargetUnavailableError) == (error is RejectedError)
    assert servers.queries == 1
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (f"{TENSORFLOW}", 'say dtype = "fp32"'),
        (f'{TENSORFLOW}preset = "0-1"\noutput = "z"\n', 'no output "z"; there are y'),
        (f'{TENSORFLOW.replace("net", "none")}preset = "0-1"\n', "HTTP 404"),
        (
            'protocol = "huggingface"\npreset = "torchvision"\noutput_kind = "probabilities"\n',
            "image files hold 8-bit NHWC values",
        ),
        (
            'protocol = "json"\n[targets.toy.request]\n[targets.toy.response]\nscores = "x"\n',
            "request.body is missing",
        ),
    ],
)
async def test_a_configuration_that_cannot_work_is_refused_before_a_query(
    stage: Stage, table: str, complaint: str
) -> None:
    servers, opener = stage
    with pytest.raises(TargetError, match=complaint):
        await opener(table).describe()
    assert servers.queries == 0


async def test_a_server_that_is_not_there_rejects(tmp_path: Path, unused_tcp_port: int) -> None:
    file = tmp_path / "targets.toml"
    file.write_text(
        f'[targets.toy]\naddress = "127.0.0.1:{unused_tcp_port}"\n{COMMON}{TABLES["huggingface"]}'
    )
    target = open_target(load_targets(file)["toy"])
    with pytest.raises(RejectedError, match="owner/net"):
        await target.describe()
    await target.close()
