"""Images with a known object, and the dozen real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CIFAR10 = Path(__file__).parents[2] / "fixtures" / "cifar10"


def real() -> dict[str, NDArray[np.uint8]]:
    """The dozen CIFAR-10 test images by file name: (32, 32, 3) uint8."""
    return {path.name: np.asarray(Image.open(path).convert("RGB")) for path in sorted(CIFAR10.glob("*.png"))}


def disk(
    height: int, width: int, centre: tuple[float, float] = (0.5, 0.5), radius: float = 0.25, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A reddish disk on green, both noisy, and its mask; centre (across, down) and radius are shares."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    inside = np.hypot(x - centre[0] * width, y - centre[1] * height) <= radius * min(height, width)
    colours = np.where(inside[..., None], (180, 60, 60), (60, 140, 60))
    noisy = colours + generator.normal(0, 12, (height, width, 3))
    return noisy.clip(0, 255).astype(np.uint8), inside


def overlap(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union, 0 to 1."""
    return float((one & other).sum() / (one | other).sum())
