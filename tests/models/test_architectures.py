"""The networks against the layer tables of their papers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixelprobe_deploy.modelzoo.architectures import ARCHITECTURES, fold_batch_norm

pytestmark = pytest.mark.models

# ("conv", channels out, kernel, stride, side of the output), (pooling, side of the output), ("linear", width)
ALLCONV = [
    ("conv", 96, 3, 1, 32), ("conv", 96, 3, 1, 32), ("conv", 96, 3, 2, 16),
    ("conv", 192, 3, 1, 16), ("conv", 192, 3, 1, 16), ("conv", 192, 3, 2, 8),
    ("conv", 192, 3, 1, 6), ("conv", 192, 1, 1, 6), ("conv", 10, 1, 1, 6), ("average", 1),
]  # fmt: skip
NIN = [
    ("conv", 192, 5, 1, 32), ("conv", 160, 1, 1, 32), ("conv", 96, 1, 1, 32), ("max", 16),
    ("conv", 192, 5, 1, 16), ("conv", 192, 1, 1, 16), ("conv", 192, 1, 1, 16), ("average", 8),
    ("conv", 192, 3, 1, 8), ("conv", 192, 1, 1, 8), ("conv", 10, 1, 1, 8), ("average", 1),
]  # fmt: skip
VGG16 = [
    ("conv", 64, 3, 1, 32), ("conv", 64, 3, 1, 32), ("max", 16),
    ("conv", 128, 3, 1, 16), ("conv", 128, 3, 1, 16), ("max", 8),
    ("conv", 256, 3, 1, 8), ("conv", 256, 3, 1, 8), ("conv", 256, 3, 1, 8), ("max", 4),
    ("conv", 512, 3, 1, 4), ("conv", 512, 3, 1, 4), ("conv", 512, 3, 1, 4), ("max", 2),
    ("conv", 512, 3, 1, 2), ("conv", 512, 3, 1, 2), ("conv", 512, 3, 1, 2), ("max", 1),
    ("linear", 512), ("linear", 10),
]  # fmt: skip


def layer_table(network: nn.Module) -> list[tuple[str | int, ...]]:
    """What the layers do to one 32x32 image, in the form of the tables above."""
    table: list[tuple[str | int, ...]] = []

    def note(layer: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            table.append(
                ("conv", layer.out_channels, layer.kernel_size[0], layer.stride[0], output.shape[-1])
            )
        elif isinstance(layer, nn.Linear):
            table.append(("linear", layer.out_features))
        elif isinstance(layer, nn.MaxPool2d):
            table.append(("max", output.shape[-1]))
        elif isinstance(layer, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            table.append(("average", output.shape[-1]))

    for layer in network.modules():
        layer.register_forward_hook(note)
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, 32, 32))
    return table


@pytest.mark.parametrize(("name", "table"), [("allconv", ALLCONV), ("nin", NIN), ("vgg16", VGG16)])
def test_layers_are_the_papers(name: str, table: list[tuple[str | int, ...]]) -> None:
    assert layer_table(ARCHITECTURES[name]()) == table


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("allconv", 1_369_738),  # about 1.4 million in the paper's table
        ("nin", 966_986),  # about 1 million in the paper
        ("vgg16", 14_714_688 + 512 * 512 + 512 + 512 * 10 + 10),  # the convolutions of configuration D
    ],
)
def test_parameter_count_as_served(name: str, parameters: int) -> None:
    folded = fold_batch_norm(ARCHITECTURES[name]())
    assert sum(parameter.numel() for parameter in folded.parameters()) == parameters


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_folding_batch_norm_keeps_the_function(name: str) -> None:
    torch.manual_seed(3)
    network = ARCHITECTURES[name](dropout=0.1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):  # statistics and scales that are not those of a fresh layer
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.2, 0.2)
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = torch.randn(4, 3, 32, 32)
    folded = fold_batch_norm(network)
    with torch.inference_mode():
        logits = network(images)
        assert torch.allclose(folded(images), logits, rtol=0, atol=1e-5)
    assert logits.shape == (4, 10)
    assert logits.std() > 1e-3, "the comparison would hold for any network that gives a constant"
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())

    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "the folded network shares weights"
