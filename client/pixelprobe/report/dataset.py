"""The paper's two data sets, CIFAR-10 and ImageNet: what differs between a report on one and on the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
