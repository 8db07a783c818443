"""The demos' images.

A dozen of CIFAR-10's test set, 32 x 32, one of each class and two more: the first of each class that all
three shipped classifiers get right without being very sure (0.9 at most), so that there is something to see,
and the first two that all are quite sure of (0.99 at least).

A file is named after its class's index and name and its index in the test set.

Three photographs in ``photographs``, whose LICENSES.md says whose they are: they are free, and a classifier
of ImageNet knows what they show.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """A shipped image and its true class."""

    path: Path
    label: int
    label_name: str


def load_samples() -> list[Sample]:
    """All samples, by class."""
    samples = []
    for path in sorted(Path(__file__).parent.glob("*.png")):
        match = re.fullmatch(r"(\d+)_([a-z]+)_\d+", path.stem)
        if match is None:
            raise ValueError(f"{path.name} is not named CLASS_NAME_INDEX.png")
        samples.append(Sample(path, int(match[1]), match[2]))
    return samples


def load_photographs() -> list[Path]:
    """The photographs' files, by name."""
    return sorted((Path(__file__).parent / "photographs").glob("*.jpg"))
