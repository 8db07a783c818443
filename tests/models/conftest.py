"""Fixtures of the model zoo's tests. `make test` leaves this folder out (``--ignore=tests/models``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pixelprobe_deploy.modelzoo.recipe import RECIPES, Recipe
from pixelprobe_deploy.modelzoo.train import load_checkpoint, normalise, train
from tests.models.images import coloured_shapes

SMALL_BATCH = 8


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Sums in another order differ in their last bits; tests here compare bits."""
    torch.set_num_threads(1)


def small_recipe(architecture: str) -> Recipe:
    """A recipe of two steps over 16 images."""
    return replace(RECIPES[architecture], epochs=1, batch_size=SMALL_BATCH)


@pytest.fixture(scope="session")
def checkpoint_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a checkpoint of an architecture after two steps of training, made once a session.

    So short a training leaves a network that answers nearly the same to every image, which would make
    comparisons of answers worthless: see :func:`_spread_answers`.
    """
    folder = tmp_path_factory.mktemp("checkpoints")

    def make(architecture: str) -> Path:
        path = folder / f"{architecture}.pt"
        if not path.exists():
            data = coloured_shapes(2 * SMALL_BATCH, seed=1)
            network = train(small_recipe(architecture), data, path)
            _spread_answers(network, normalise(torch.from_numpy(data.images).permute(0, 3, 1, 2)))
            torch.save({**load_checkpoint(path), "network": network.state_dict()}, path)
        return path

    return make


def _spread_answers(network: nn.Sequential, images: Tensor) -> None:
    """Give batch norm the statistics of ``images``, and the last layer a scale that tells them apart."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
    with torch.no_grad():
        network.train()(images)
        last = network[-1]
        if isinstance(last, nn.Linear):
            logits = network.eval()(images)
            scale = 2 / logits.std(dim=0)
            last.bias.copy_((last.bias - logits.mean(dim=0)) * scale)
            last.weight *= scale[:, None]
        else:
            norms[-1].weight *= 20
