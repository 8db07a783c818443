"""Training: it learns, it resumes after a kill to the very same weights, it refuses foreign checkpoints."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pixelprobe_deploy.modelzoo.datasets import DatasetError, LabelledImages
from pixelprobe_deploy.modelzoo.recipe import CIFAR10_MEAN, CIFAR10_STD, RECIPES
from pixelprobe_deploy.modelzoo.train import (
    CheckpointError,
    CheckpointMismatchError,
    accuracy,
    augment,
    load_checkpoint,
    normalise,
    train,
)
from tests.models.conftest import SMALL_BATCH, small_recipe
from tests.models.images import coloured_shapes

pytestmark = pytest.mark.models

ROOT = Path(__file__).parents[2]
KILLED_AFTER, CHECKPOINT_EVERY, STEPS = 5, 3, 8
RESUMED = replace(RECIPES["allconv"], epochs=2, batch_size=SMALL_BATCH)  # 4 steps an epoch
IMAGES = 4 * SMALL_BATCH + 3  # three are left over in every epoch
# Trains in a process of its own, and stands still after KILLED_AFTER steps to be killed.
TRAINER = """
import signal, sys
from pathlib import Path
import torch
from pixelprobe_deploy.modelzoo.train import train
from tests.models.images import coloured_shapes
from tests.models.test_train import CHECKPOINT_EVERY, KILLED_AFTER, IMAGES, RESUMED

def stop(step, total, loss, accuracy):
    if step == KILLED_AFTER:
        print("waiting", flush=True)
        signal.pause()

torch.set_num_threads(1)
train(RESUMED, coloured_shapes(IMAGES, seed=2), Path(sys.argv[1]), progress=stop,
      checkpoint_every=CHECKPOINT_EVERY)
"""


def test_training_learns(tmp_path: Path) -> None:
    recipe = replace(RECIPES["allconv"], epochs=4, batch_size=32)
    unseen = coloured_shapes(200, seed=12)
    checkpoint = tmp_path / "allconv.pt"
    network = train(recipe, coloured_shapes(480, seed=11), checkpoint)
    assert not network.training
    assert accuracy(network, unseen) > 0.6  # chance is 0.1
    assert load_checkpoint(checkpoint)["step"] == 60


def test_killed_and_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    data = coloured_shapes(IMAGES, seed=2)
    killed, whole = tmp_path / "killed.pt", tmp_path / "whole.pt"
    command = [sys.executable, "-c", TRAINER, str(killed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
    assert line == "waiting\n"
    assert process.returncode == -signal.SIGKILL
    assert load_checkpoint(killed)["step"] == CHECKPOINT_EVERY, "two steps are lost and must be done again"
    killed.with_suffix(".partial").write_bytes(b"half a checkpoint")  # as from a kill while saving

    done: list[int] = []
    train(RESUMED, data, killed, progress=lambda step, *_: done.append(step))
    train(RESUMED, data, whole)
    assert done == list(range(CHECKPOINT_EVERY + 1, STEPS + 1))
    resumed, uninterrupted = load_checkpoint(killed), load_checkpoint(whole)
    assert resumed["step"] == uninterrupted["step"] == STEPS
    assert resumed["network"].keys() == uninterrupted["network"].keys()
    for key, weights in uninterrupted["network"].items():
        assert torch.equal(resumed["network"][key], weights), key
    for key, state in uninterrupted["optimiser"]["state"].items():
        momentum = resumed["optimiser"]["state"][key]["momentum_buffer"]
        assert torch.equal(momentum, state["momentum_buffer"]), key


@pytest.mark.parametrize("stopped_after", [STEPS - 2, STEPS, STEPS + 3, 2 * STEPS])
def test_a_second_cycle_goes_on_from_any_step(tmp_path: Path, stopped_after: int) -> None:
    """STEPS of the first cycle, as many of the second: before, at and after the restart, and at the end."""
    recipe = replace(RESUMED, restart_epochs=RESUMED.epochs)
    data = coloured_shapes(IMAGES, seed=2)
    cut, whole = tmp_path / "cut.pt", tmp_path / "whole.pt"
    train(recipe, data, cut, max_steps=stopped_after)
    resumed = train(recipe, data, cut)
    uninterrupted = train(recipe, data, whole)
    assert load_checkpoint(cut)["step"] == load_checkpoint(whole)["step"] == 2 * STEPS
    for name, weights in uninterrupted.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], weights, rtol=0, atol=0)
    one_cycle = train(replace(RESUMED, epochs=2 * RESUMED.epochs), data, tmp_path / "one_cycle.pt")
    assert any(
        not torch.equal(one_cycle.state_dict()[name], weights)
        for name, weights in uninterrupted.state_dict().items()
    )


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    data = coloured_shapes(SMALL_BATCH, seed=2)
    recipe = small_recipe("allconv")
    first = train(recipe, data, tmp_path / "first.pt", max_steps=1)
    second = train(replace(recipe, seed=1), data, tmp_path / "second.pt", max_steps=1)
    assert not torch.equal(first.state_dict()["0.0.weight"], second.state_dict()["0.0.weight"])


def test_finished_training_is_not_repeated(checkpoint_of: Callable[[str], Path]) -> None:
    path = checkpoint_of("allconv")
    before = path.read_bytes()
    steps: list[int] = []
    train(
        small_recipe("allconv"),
        coloured_shapes(2 * SMALL_BATCH, seed=1),
        path,
        progress=lambda step, *_: steps.append(step),
    )
    assert not steps
    assert path.read_bytes() == before


def test_checkpoint_of_another_recipe_is_refused(checkpoint_of: Callable[[str], Path]) -> None:
    other = replace(small_recipe("allconv"), weight_decay=0.0)
    with pytest.raises(CheckpointMismatchError, match=r"allconv\.pt.*recipe"):
        train(other, coloured_shapes(2 * SMALL_BATCH, seed=1), checkpoint_of("allconv"))


def test_checkpoint_of_another_data_set_is_refused(checkpoint_of: Callable[[str], Path]) -> None:
    with pytest.raises(CheckpointMismatchError, match="data set"):
        train(small_recipe("allconv"), coloured_shapes(3 * SMALL_BATCH, seed=1), checkpoint_of("allconv"))


def test_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "allconv.pt"
    torch.save({"version": 99}, path)
    with pytest.raises(CheckpointMismatchError, match="version 99"):
        train(small_recipe("allconv"), coloured_shapes(SMALL_BATCH, seed=1), path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut short"])
def test_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "allconv.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"allconv\.pt is damaged"):
        train(small_recipe("allconv"), coloured_shapes(SMALL_BATCH, seed=1), path)
    assert path.read_bytes() == content


def test_less_than_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="less than one batch"):
        train(small_recipe("allconv"), coloured_shapes(SMALL_BATCH - 1, seed=1), tmp_path / "allconv.pt")


def test_normalise_is_the_data_sets_mean_and_deviation() -> None:
    images = coloured_shapes(2, seed=3).images
    expected = (images / 255 - np.array(CIFAR10_MEAN)) / np.array(CIFAR10_STD)
    found = normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
    assert found.dtype == torch.float32
    assert np.allclose(found.numpy().transpose(0, 2, 3, 1), expected, atol=1e-5)


def test_augmented_images_are_shifted_and_some_mirrored() -> None:
    # A ramp over columns and a constant of the row: where a crop comes from can be read off its pixels.
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, :, None] + 100, (32, 32, 3))
    images = np.stack([ramp] * 64)
    found = augment(images, np.random.default_rng(0), padding=4)
    assert found.shape == images.shape
    assert found.dtype == np.uint8
    centre = found[:, 16, 12:20, 0].astype(int)
    steps = np.diff(centre, axis=1)
    assert set(np.unique(steps)) == {-1, 1}, "rows of the image, forwards or mirrored"
    mirrored = (steps[:, 0] == -1).mean()
    assert 0.25 < mirrored < 0.75
    assert len(np.unique(centre[:, 0])) > 4, "several shifts"
    again = augment(images, np.random.default_rng(0), padding=4)
    assert np.array_equal(found, again)


def test_accuracy_counts_what_is_right() -> None:
    data = coloured_shapes(20, seed=4)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 10)).eval()
    torch.nn.init.zeros_(network[1].weight)
    torch.nn.init.zeros_(network[1].bias)
    with torch.no_grad():
        network[1].bias[3] = 1  # always says 3
    assert accuracy(network, data, batch_size=7) == 2 / 20
    assert accuracy(network, LabelledImages(data.images, np.full(20, 3)), batch_size=7) == 1
