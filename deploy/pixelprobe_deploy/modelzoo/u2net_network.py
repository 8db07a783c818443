"""U2-Net and its small sibling U2-Net-P, layer for layer as in the paper, in PyTorch.

Qin et al., "U2-Net: Going deeper with nested U-structure for salient object detection" (Pattern Recognition
106, 2020), figures 2 and 5 and table 1. Layers carry the names that the authors' checkpoints give them.

A network maps ``(batch, 3, side, side)`` float32, normalised, to saliency ``(batch, 1, side, side)`` from 0
to 1: the fused map. The six side maps serve the training and are not given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Block:
    """One RSU: channels taken, in between, and given. ``height`` is the paper's L; 4 with ``flat`` is 4F,
    whose layers see further by dilation instead of pooling.
    """

    height: int
    taken: int
    between: int
    given: int
    flat: bool = False


@dataclass(frozen=True)
class Shape:
    """The blocks down and up again: En_1 to En_6, then De_5 to De_1."""

    encoder: tuple[Block, ...]
    decoder: tuple[Block, ...]


U2NET = Shape(
    encoder=(
        Block(7, 3, 32, 64),
        Block(6, 64, 32, 128),
        Block(5, 128, 64, 256),
        Block(4, 256, 128, 512),
        Block(4, 512, 256, 512, flat=True),
        Block(4, 512, 256, 512, flat=True),
    ),
    decoder=(
        Block(4, 1024, 256, 512, flat=True),
        Block(4, 1024, 128, 256),
        Block(5, 512, 64, 128),
        Block(6, 256, 32, 64),
        Block(7, 128, 16, 64),
    ),
)
U2NETP = Shape(
    encoder=(
        Block(7, 3, 16, 64),
        Block(6, 64, 16, 64),
        Block(5, 64, 16, 64),
        Block(4, 64, 16, 64),
        Block(4, 64, 16, 64, flat=True),
        Block(4, 64, 16, 64, flat=True),
    ),
    decoder=(
        Block(4, 128, 16, 64, flat=True),
        Block(4, 128, 16, 64),
        Block(5, 128, 16, 64),
        Block(6, 128, 16, 64),
        Block(7, 128, 16, 64),
    ),
)
SHAPES = {"U2-Net": U2NET, "U2-Net-P": U2NETP}


class ConvBlock(nn.Module):  # type: ignore[misc]  # torch is not there where types are checked
    """3x3 convolution, batch norm, ReLU; the size stays."""

    def __init__(self, taken: int, given: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(taken, given, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(given)

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        normed: Tensor = self.bn_s1(self.conv_s1(features))
        return functional.relu(normed)


class ResidualUBlock(nn.Module):  # type: ignore[misc]
    """A small U-Net whose result is added to its own input layer's."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.height, self.pools = block.height, not block.flat
        dilations = [2**level for level in range(block.height)] if block.flat else [1] * block.height
        dilations[-1] = max(2, dilations[-1])  # the lowest layer sees further in every block
        self.rebnconvin = ConvBlock(block.taken, block.given)
        for level, dilation in enumerate(dilations, start=1):
            taken = block.given if level == 1 else block.between
            self.add_module(f"rebnconv{level}", ConvBlock(taken, block.between, dilation))
        for level in range(block.height - 1, 0, -1):
            given = block.given if level == 1 else block.between
            self.add_module(f"rebnconv{level}d", ConvBlock(2 * block.between, given, dilations[level - 1]))

    def forward(self, features: Tensor) -> Tensor:
        """``(batch, taken, h, w)`` to ``(batch, given, h, w)``."""
        start: Tensor = self.rebnconvin(features)
        found = start
        kept: list[Tensor] = []
        for level in range(1, self.height):
            found = self.get_submodule(f"rebnconv{level}")(found)
            kept.append(found)
            if self.pools and level < self.height - 1:
                found = halved(found)
        found = self.get_submodule(f"rebnconv{self.height}")(found)
        for level in range(self.height - 1, 0, -1):
            found = self.get_submodule(f"rebnconv{level}d")(joined(found, kept[level - 1]))
        return found + start


class SaliencyNetwork(nn.Module):  # type: ignore[misc]
    """U2-Net of either shape: RSUs in place of a U-Net's layers, a map from each of the six depths."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.depth = len(shape.encoder)
        for number, block in enumerate(shape.encoder, start=1):
            self.add_module(f"stage{number}", ResidualUBlock(block))
        for number, block in zip(range(self.depth - 1, 0, -1), shape.decoder, strict=True):
            self.add_module(f"stage{number}d", ResidualUBlock(block))
        depths = [*reversed(shape.decoder), shape.encoder[-1]]
        for number, block in enumerate(depths, start=1):
            self.add_module(f"side{number}", nn.Conv2d(block.given, 1, 3, padding=1))
        self.outconv = nn.Conv2d(self.depth, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """See the module."""
        kept: list[Tensor] = []
        found = image
        for number in range(1, self.depth + 1):
            found = self.get_submodule(f"stage{number}")(halved(found) if kept else found)
            kept.append(found)
        depths = [found]
        for number in range(self.depth - 1, 0, -1):
            found = self.get_submodule(f"stage{number}d")(joined(found, kept[number - 1]))
            depths.insert(0, found)
        maps = [self.get_submodule(f"side{number}")(depth) for number, depth in enumerate(depths, start=1)]
        fused: Tensor = self.outconv(torch.cat([enlarged(one, maps[0]) for one in maps], dim=1))
        return fused.sigmoid()


def halved(features: Tensor) -> Tensor:
    """Max pooling to half the size, rounded up."""
    return functional.max_pool2d(features, 2, stride=2, ceil_mode=True)


def enlarged(features: Tensor, like: Tensor) -> Tensor:
    """Bilinear, to the height and width of ``like``."""
    size: Sequence[int] = like.shape[2:]
    if features.shape[2:] == size:
        return features
    return functional.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)


def joined(lower: Tensor, upper: Tensor) -> Tensor:
    """Both, the lower one enlarged, as the channels of one."""
    return torch.cat([enlarged(lower, upper), upper], dim=1)
