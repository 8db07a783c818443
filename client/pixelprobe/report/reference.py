"""The paper's numbers, to stand beside ours.

``reference.csv`` holds tables I to IV of the paper as data, one number a line, in the paper's own units (a
metric's name says so) and with its rounding. Nothing in it was measured by this project.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

SOURCE = (
    "Lina Wang, Xingshu Chen, Yulong Wang, Yawei Yue, Yi Zhu, Xuemei Zeng, Wei Wang: Analyzing Adversarial "
    "Robustness of Deep Neural Networks in Pixel Space: a Semantic Perspective; tables I, II, III and IV"
)


@dataclass(frozen=True)
class Number:
    """Where a number stands in the paper. Table I has no region and no pixels."""

    table: str
    model: str
    metric: str
    region: str = ""
    pixels: int | None = None


class Reference:
    """The paper's numbers by where they stand."""

    def __init__(self, values: Mapping[Number, float]) -> None:
        self._values = dict(values)

    def __len__(self) -> int:
        return len(self._values)

    def value(
        self, table: str, model: str, metric: str, region: str = "", pixels: int | None = None
    ) -> float | None:
        """The number in the paper's unit; None where the paper has none."""
        return self._values.get(Number(table, model, metric, region, pixels))

    def relative_drop(
        self,
        table: str,
        models: Sequence[str],
        metric: str,
        region: str,
        pixels: int,
        images: int | None = None,
    ) -> float | None:
        """How much lower a rate is in ``region`` than in the whole image, in percent, averaged over models.

        Each model's drop is taken first, then their plain mean: of table II's one-pixel column this gives the
        paper's 6.84 and 54.32 percent (untargeted) and 2.86 and 51.56 percent (targeted). Of table III's it
        gives 5.86 and 58.04 if its rates are taken for what they are, whole numbers of 420 images, rounded.

        Args:
            table: of the rates.
            models: whose.
            metric: the rates' name.
            region: compared with the whole image.
            pixels: how many were changed.
            images: the rates are shares of so many, rounded; by default they are taken as they are.

        Returns:
            None where the paper lacks one of the rates.
        """
        drops = []
        for model in models:
            whole = self.value(table, model, metric, "whole", pixels)
            there = self.value(table, model, metric, region, pixels)
            if not whole or there is None:
                return None
            if images is not None:
                whole, there = round(whole * images / 100), round(there * images / 100)
            drops.append(100 * (1 - there / whole))
        return math.fsum(drops) / len(drops) if drops else None


@functools.cache
def load_reference() -> Reference:
    """The numbers shipped with this package."""
    text = resources.files(__package__).joinpath("reference.csv").read_text(encoding="utf-8")
    return parse_reference(text.splitlines())


def parse_reference(lines: Iterable[str]) -> Reference:
    """The numbers of a CSV with the columns table, model, metric, region, pixels and value."""
    return Reference(
        {
            Number(
                line["table"],
                line["model"],
                line["metric"],
                line["region"],
                int(line["pixels"]) if line["pixels"] else None,
            ): float(line["value"])
            for line in csv.DictReader(lines)
        }
    )


IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Dataset:
    """What the paper did on one of them.

    Attributes:
        images: that it attacked with each network.
        curves: images in Fig. 6.
        gallery: the number of the figure that shows images.
        networks: its networks by the names that they have in ``reference.csv``, as the paper calls them.
        drops: the relative drop of untargeted one-pixel success that its text states, by region, in percent.
        generations: its smallest and largest mean number of generations to success, of Table IV.
        more_pixels: what it says about several pixels.
    """

    name: str
    images: int
    curves: int
    gallery: int
    networks: Mapping[str, str]
    drops: Mapping[str, float]
    generations: tuple[float, float]
    more_pixels: str


_MORE = "from 1 to 3 pixels in every column, from 3 to 5 in most (Table II)"

CIFAR10 = Dataset(
    name="CIFAR-10",
    images=500,
    curves=15,
    gallery=1,
    networks={"allconv_cifar10": "AllConv", "nin_cifar10": "NiN", "vgg16_cifar10": "VGG-16 (C)"},
    drops={"foreground": 6.84, "background": 54.32},
    generations=(1.36, 4.70),
    more_pixels=_MORE,
)

IMAGENET = Dataset(
    name="ImageNet",
    images=420,
    curves=10,
    gallery=2,
    networks={
        "alexnet_imagenet": "AlexNet",
        "resnet50_imagenet": "ResNet-50",
        "vgg16_imagenet": "VGG-16 (I)",
    },
    drops={"foreground": 5.86, "background": 58.04},
    generations=(1.00, 9.50),
    more_pixels=f"on CIFAR-10 {_MORE}; on ImageNet it changed one pixel only",
)


def dataset_of(classes: int) -> Dataset:
    """The one that models of so many classes stand beside: ImageNet's 1000, or else CIFAR-10's ten."""
    return IMAGENET if classes >= IMAGENET_CLASSES else CIFAR10


def classes_by_name(model: str) -> int:
    """How many classes a model knows by the ending of its name, as the zoo's have one; 0 without it."""
    return {"imagenet": IMAGENET_CLASSES, "cifar10": 10}.get(model.rpartition("_")[2], 0)
