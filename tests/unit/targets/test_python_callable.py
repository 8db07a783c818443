"""A Python callable in its own process: answers, errors, prints, crashes and time-outs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from pixelprobe_services.orchestrator.core.perturbation import apply_edits
from pixelprobe_services.orchestrator.targets.base import Target, TargetError, TargetTimeoutError
from pixelprobe_services.orchestrator.targets.base import TargetUnavailableError as Unavailable
from pixelprobe_services.orchestrator.targets.registry import load_targets, open_target
from tests.unit.targets.batches import random_batch

SCRIPT = """
import os, sys, time
import numpy as np

print("loading", flush=True)

def scores(images):
    print("asked", len(images))
    sys.stderr.write("x" * 100_000)
    values = images[:, 0, 0].astype(np.float64) + 1
    return values / values.sum(axis=1, keepdims=True)

def broken(images):
    raise KeyError("weights")

def wrong(images):
    return "seven"

def dies(images):
    sys.stderr.write("out of memory\\n")
    os._exit(3)

def slow(images):
    time.sleep(600)

class Model:
    @staticmethod
    def predict(images):
        return scores(images)
"""
Opener = Callable[..., Target]


@pytest.fixture
async def opener(tmp_path: Path) -> AsyncIterator[Opener]:
    (tmp_path / "own_model.py").write_text(SCRIPT)
    opened: list[Target] = []

    def open_callable(name: str, more: str = "") -> Target:
        file = tmp_path / "targets.toml"
        file.write_text(
            f'[targets.toy]\nprotocol = "python"\ncallable = "{name}"\nsize = [4, 4]\nclasses = 3\n{more}'
        )
        opened.append(open_target(load_targets(file)["toy"]))
        return opened[-1]

    yield open_callable
    for target in opened:
        await target.close()


@pytest.mark.parametrize("name", ["own_model:scores", "own_model:Model.predict"])
async def test_it_scores_edited_images(opener: Opener, name: str) -> None:
    target = opener(name)
    for seed in (5, 6):
        batch = random_batch(seed, pixels=2)
        edited = apply_edits(batch.images, batch.image_index, batch.edits)
        values = edited[:, 0, 0] + 1.0
        expected = values / values.sum(axis=1, keepdims=True)
        scores = await target.query(batch)
        np.testing.assert_allclose(
            scores.class_probabilities, expected[np.arange(seed)[:, None], batch.classes], rtol=1e-6
        )
    assert target.stats.requests == 2


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("own_model:broken", "python: 'own_model:broken': KeyError: 'weights'"),
        ("own_model:wrong", "expected floating-point scores"),
        ("own_model:nothing", "has no attribute 'nothing'"),
        ("nowhere:scores", "No module named 'nowhere'"),
    ],
)
async def test_what_it_raises_is_named(opener: Opener, name: str, complaint: str) -> None:
    with pytest.raises(TargetError, match=complaint) as caught:
        await opener(name).query(random_batch(1))
    assert not isinstance(caught.value, Unavailable)


async def test_an_interpreter_that_is_not_there_is_named(opener: Opener) -> None:
    with pytest.raises(TargetError, match="bin/python9: No such file"):
        await opener("own_model:scores", 'python = "bin/python9"').describe()


async def test_a_process_that_dies_is_started_again(opener: Opener) -> None:
    target = opener("own_model:dies")
    for _ in range(2):
        with pytest.raises(Unavailable, match="ended with status 3: out of memory"):
            await target.query(random_batch(1))


async def test_a_callable_that_takes_too_long_is_stopped(opener: Opener) -> None:
    target = opener("own_model:slow", "timeout_seconds = 0.5")
    await target.describe()
    with pytest.raises(TargetTimeoutError, match=r"no answer within 0\.5 s"):
        await target.query(random_batch(1))


async def test_a_closed_one_starts_no_process(opener: Opener) -> None:
    target = opener("own_model:scores")
    await target.describe()
    await target.close()
    with pytest.raises(Unavailable, match="closed"):
        await target.query(random_batch(1))
