"""Training the CIFAR-10 networks on a CPU: bf16 autocast, one seed, resumable after a kill.

Everything random is derived from ``(seed, epoch, step)``, so a run that was killed and resumed from its
last checkpoint ends with the very weights of a run that was not.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pixelprobe_deploy.modelzoo.architectures import ARCHITECTURES
from pixelprobe_deploy.modelzoo.datasets import DatasetError, LabelledImages
from pixelprobe_deploy.modelzoo.errors import ModelZooError
from pixelprobe_deploy.modelzoo.recipe import CIFAR10_MEAN, CIFAR10_STD, Recipe
from pixelprobe_services.common.files import replacing

CHECKPOINT_VERSION = 1
RECALIBRATION_IMAGES = 8000
RECALIBRATION_BATCH = 250
Progress = Callable[[int, int, float, float], None]
"""Called after every step with (step, steps in all, loss, accuracy of the batch)."""


class CheckpointError(ModelZooError):
    """A checkpoint cannot be read; the message names the file."""


class CheckpointMismatchError(CheckpointError):
    """A checkpoint of another recipe, data set or format version lies where this run would resume."""


def normalise(images: Tensor) -> Tensor:
    """``(batch, 3, h, w)`` uint8 to the float32 that the networks take."""
    mean = torch.tensor(CIFAR10_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(CIFAR10_STD).view(1, 3, 1, 1)
    return (images.float() / 255 - mean) / std


def augment(images: NDArray[np.uint8], rng: np.random.Generator, padding: int) -> NDArray[np.uint8]:
    """Random crops of the zero-padded images, half of them mirrored. Shape and dtype are kept."""
    count = len(images)
    _, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    top = rng.integers(0, 2 * padding + 1, count)[:, None, None]
    left = rng.integers(0, 2 * padding + 1, count)[:, None, None]
    rows = top + np.arange(height)[None, :, None]
    columns = left + np.arange(width)[None, None, :]
    columns = np.where(rng.random(count)[:, None, None] < 0.5, columns[:, :, ::-1], columns)
    crops: NDArray[np.uint8] = padded[np.arange(count)[:, None, None], rows, columns]
    return crops


def planned_steps(recipe: Recipe, images: int) -> int:
    """Steps of the whole training on a data set of so many images; only full batches are used."""
    return (recipe.epochs + recipe.restart_epochs) * (images // recipe.batch_size)


def train(
    recipe: Recipe,
    data: LabelledImages,
    checkpoint: Path,
    *,
    progress: Progress | None = None,
    checkpoint_every: int = 100,
    max_steps: int | None = None,
) -> nn.Sequential:
    """Train to the end of the recipe (or ``max_steps`` in all), resuming from ``checkpoint`` if it exists.

    Returns:
        The trained network, in evaluation mode.

    Raises:
        CheckpointMismatchError: the checkpoint belongs to another recipe, data set or version.
        CheckpointError: the checkpoint is damaged.
        DatasetError: there are fewer images than one batch takes.
    """
    torch.set_flush_denormal(True)  # gradients that have all but vanished would slow every operation
    torch.manual_seed(recipe.seed)
    network = ARCHITECTURES[recipe.architecture](dropout=recipe.dropout)
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(),
        lr=recipe.peak_learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    steps_per_epoch = len(data.images) // recipe.batch_size
    total = planned_steps(recipe, len(data.images))
    if not total:
        raise DatasetError(f"{len(data.images)} images are less than one batch of {recipe.batch_size}")
    restart = recipe.epochs * steps_per_epoch
    state = _resumed(checkpoint, recipe, total)
    first = state["step"] if state else 0
    if state:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
    schedule = _one_cycle(optimiser, recipe, steps_per_epoch, restarted=first >= restart)
    if state and first != restart:  # at the restart itself a new cycle begins
        schedule.load_state_dict(state["schedule"])
        optimiser.load_state_dict(state["optimiser"])  # making the schedule has reset its rate
    network.train()
    last = total if max_steps is None else min(total, max_steps)
    order: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    for step in range(first, last):
        epoch, position = divmod(step, steps_per_epoch)
        if position == 0 or not len(order):
            order = np.random.default_rng([recipe.seed, epoch]).permutation(len(data.images))
        if step == restart and step > first:
            schedule = _one_cycle(optimiser, recipe, steps_per_epoch, restarted=True)
        rows = order[position * recipe.batch_size : (position + 1) * recipe.batch_size]
        rng = np.random.default_rng([recipe.seed, epoch, position])
        torch.manual_seed(int(rng.integers(2**31)))  # dropout
        batch = augment(data.images[rows], rng, recipe.crop_padding)
        inputs = normalise(torch.from_numpy(batch).permute(0, 3, 1, 2))
        labels = torch.from_numpy(data.labels[rows])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(inputs)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress:
            accuracy = (logits.argmax(1) == labels).float().mean().item()
            progress(step + 1, total, loss.item(), accuracy)
        if (step + 1) % checkpoint_every == 0 or step + 1 == last:
            _save(checkpoint, recipe, (step + 1, total), network, optimiser, schedule)
    if last == total and not (state and state.get("recalibrated")):
        recalibrate(network, recipe, data)
        _save(checkpoint, recipe, (total, total), network, optimiser, schedule, recalibrated=True)
    return network.eval()


def recalibrate(network: nn.Sequential, recipe: Recipe, data: LabelledImages) -> None:
    """Recompute batch norm's statistics, in float32, as the plain mean over RECALIBRATION_IMAGES images.

    Those of the training are an average over its last few bfloat16 batches only, which costs accuracy.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative mean
        norm.train()
    rng = np.random.default_rng([recipe.seed, recipe.epochs + recipe.restart_epochs])
    images = data.images[:RECALIBRATION_IMAGES]
    with torch.inference_mode():
        for start in range(0, len(images), RECALIBRATION_BATCH):
            batch = augment(images[start : start + RECALIBRATION_BATCH], rng, recipe.crop_padding)
            network(normalise(torch.from_numpy(batch).permute(0, 3, 1, 2)))
    network.eval()


def accuracy(network: nn.Module, data: LabelledImages, batch_size: int = 500) -> float:
    """Share of ``data`` that the network (float32, evaluation mode) classifies correctly, 0 to 1."""
    correct = 0
    with torch.inference_mode():
        for start in range(0, len(data.images), batch_size):
            images = torch.from_numpy(data.images[start : start + batch_size])
            predicted = network(normalise(images.permute(0, 3, 1, 2))).argmax(1).numpy()
            correct += int((predicted == data.labels[start : start + batch_size]).sum())
    return correct / len(data.images)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What :func:`train` saved: version, recipe, step, and the states of network, optimiser and schedule.

    Raises:
        CheckpointMismatchError: it has another format version.
        CheckpointError: it cannot be read, or is no checkpoint of this trainer.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version = state["version"]
    except OSError as error:
        raise CheckpointError(f"cannot read the checkpoint {path}: {error.strerror or error}") from error
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is damaged, or no checkpoint of `train`; delete it") from error
    if version != CHECKPOINT_VERSION:
        raise CheckpointMismatchError(
            f"{path} has format version {version}, expected {CHECKPOINT_VERSION}; delete it"
        )
    return state


def _save(
    path: Path,
    recipe: Recipe,
    steps: tuple[int, int],
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    *,
    recalibrated: bool = False,
) -> None:
    """Write next to the target, then rename: a kill leaves the old checkpoint or the new, never half."""
    with replacing(path) as file:
        torch.save(
            {
                "version": CHECKPOINT_VERSION,
                "recipe": asdict(recipe),
                "step": steps[0],
                "planned_steps": steps[1],
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "schedule": schedule.state_dict(),
                "recalibrated": recalibrated,
            },
            file,
        )


def _one_cycle(
    optimiser: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int, *, restarted: bool
) -> torch.optim.lr_scheduler.OneCycleLR:
    """The first cycle of the learning rate, or the second."""
    epochs = recipe.restart_epochs if restarted else recipe.epochs
    peak = recipe.restart_peak_learning_rate if restarted else recipe.peak_learning_rate
    steps = max(1, epochs * steps_per_epoch)  # a finished training makes no more steps
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, peak, total_steps=steps, pct_start=0.25)


def _resumed(path: Path, recipe: Recipe, total: int) -> dict[str, Any] | None:
    """Return the checkpoint to continue from, if there is one of this training."""
    if not path.exists():
        return None
    state = load_checkpoint(path)
    if state["recipe"] != asdict(recipe) or state["planned_steps"] != total:
        raise CheckpointMismatchError(
            f"{path} was written for another recipe or data set; delete it or choose another folder"
        )
    return state
