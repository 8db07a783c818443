"""The three CIFAR-10 networks, layer for layer as in their papers, in PyTorch.

Each convolution is followed by batch norm *while training* (a few epochs on a CPU would not converge
without it); :func:`fold_batch_norm` merges it into the convolution before export, so that the served
AllConv and NiN are the plain convolution + ReLU stacks of their papers.

All networks map ``(batch, 3, 32, 32)`` float32, normalised, to ``(batch, 10)`` logits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def conv_block(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, padding: int = 0
) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


def global_average_pool() -> list[nn.Module]:
    """Layers for the mean over height and width: ``(batch, channels, h, w)`` to ``(batch, channels)``."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]


def allconv(classes: int = 10, dropout: float = 0.5) -> nn.Sequential:
    """All-CNN-C of Springenberg et al., "Striving for Simplicity" (2015), table 1."""
    return nn.Sequential(
        conv_block(3, 96, 3, padding=1),
        conv_block(96, 96, 3, padding=1),
        conv_block(96, 96, 3, stride=2, padding=1),
        nn.Dropout(dropout),
        conv_block(96, 192, 3, padding=1),
        conv_block(192, 192, 3, padding=1),
        conv_block(192, 192, 3, stride=2, padding=1),
        nn.Dropout(dropout),
        conv_block(192, 192, 3),
        conv_block(192, 192, 1),
        conv_block(192, classes, 1),
        *global_average_pool(),
    )


def nin(classes: int = 10, dropout: float = 0.5) -> nn.Sequential:
    """Network in Network of Lin et al. (2014), the authors' CIFAR-10 configuration."""
    return nn.Sequential(
        conv_block(3, 192, 5, padding=2),
        conv_block(192, 160, 1),
        conv_block(160, 96, 1),
        nn.MaxPool2d(3, stride=2, ceil_mode=True),
        nn.Dropout(dropout),
        conv_block(96, 192, 5, padding=2),
        conv_block(192, 192, 1),
        conv_block(192, 192, 1),
        nn.AvgPool2d(3, stride=2, ceil_mode=True, count_include_pad=False),
        nn.Dropout(dropout),
        conv_block(192, 192, 3, padding=1),
        conv_block(192, 192, 1),
        conv_block(192, classes, 1),
        *global_average_pool(),
    )


def vgg16(classes: int = 10, dropout: float = 0.5) -> nn.Sequential:
    """VGG-16 (configuration D of Simonyan and Zisserman, 2015) for 32x32, with batch norm.

    Five poolings leave 1x1x512, so one hidden layer of 512 stands in for the two of 4096.
    """
    layers: list[nn.Module] = []
    channels_in = 3
    for width, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            layers.append(conv_block(channels_in, width, 3, padding=1))
            channels_in = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(512, 512),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(512, classes),
    )


ARCHITECTURES: dict[str, Callable[..., nn.Sequential]] = {
    "allconv": allconv,
    "nin": nin,
    "vgg16": vgg16,
}


def fold_batch_norm(network: nn.Sequential) -> nn.Sequential:
    """The same function without batch norm layers: each is merged into the convolution before it.

    The network is switched to evaluation mode; the result shares no parameters with it.
    """
    network.eval()
    folded: list[nn.Module] = []
    for layer in network:
        if isinstance(layer, nn.Sequential):  # a conv_block
            convolution, norm, activation = layer
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            with torch.no_grad():
                folded.append(nn.Sequential(fuse_conv_bn_eval(convolution, norm), activation))
        else:
            folded.append(copy.deepcopy(layer))
    return nn.Sequential(*folded).eval()
