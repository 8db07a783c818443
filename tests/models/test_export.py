"""The exported file: the contract, the network's own answers, float16 storage, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from pixelprobe_deploy.modelzoo import export as exporting
from pixelprobe_deploy.modelzoo.architectures import ARCHITECTURES, fold_batch_norm
from pixelprobe_deploy.modelzoo.card import Card
from pixelprobe_deploy.modelzoo.datasets import CIFAR10_CLASSES
from pixelprobe_deploy.modelzoo.export import ExportError, export, half_precision_weights
from pixelprobe_deploy.modelzoo.train import load_checkpoint, normalise
from tests.models.conftest import SMALL_BATCH
from tests.models.images import coloured_shapes

pytestmark = pytest.mark.models

Exported = Callable[[str], tuple[Path, Card]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, checkpoint_of: Callable[[str], Path]) -> Exported:
    """Gives the exported file of an architecture and its card, made once a module."""
    folder = tmp_path_factory.mktemp("weights")
    cards: dict[str, Card] = {}

    def make(architecture: str) -> tuple[Path, Card]:
        if architecture not in cards:
            data = coloured_shapes(2 * SMALL_BATCH, seed=1)
            cards[architecture] = export(architecture, checkpoint_of(architecture), folder, data)
        return folder / cards[architecture].file, cards[architecture]

    return make


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_contract(exported: Exported, architecture: str) -> None:
    path, _ = exported(architecture)
    assert path.name == f"{architecture}_cifar10.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(path)
    (image,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape[1:]) == ("image", "tensor(uint8)", [32, 32, 3])
    assert (probabilities.name, probabilities.type) == ("probabilities", "tensor(float)")
    assert probabilities.shape[1:] == [10]
    assert isinstance(image.shape[0], str), "the batch must be free"
    for batch in (1, 3):
        (found,) = session.run(None, {"image": coloured_shapes(batch, seed=7).images})
        assert found.shape == (batch, 10)
        assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_answers_are_the_trained_networks(
    exported: Exported, checkpoint_of: Callable[[str], Path], architecture: str
) -> None:
    """Against the network as trained, batch norm and all, with float16 weights the only difference."""
    path, _ = exported(architecture)
    network = ARCHITECTURES[architecture]()
    network.load_state_dict(load_checkpoint(checkpoint_of(architecture))["network"])
    folded = half_precision_weights(fold_batch_norm(network))
    images = coloured_shapes(16, seed=8).images
    inputs = normalise(torch.from_numpy(images).permute(0, 3, 1, 2))
    with torch.inference_mode():
        rounded = folded(inputs).softmax(dim=1).numpy()
        trained = network.eval()(inputs).softmax(dim=1).numpy()
    (found,) = onnxruntime.InferenceSession(path).run(None, {"image": images})
    assert np.abs(found - rounded).max() <= 1e-5
    assert np.abs(found - trained).max() <= 5e-3
    assert np.ptp(found, axis=0).max() > 0.01, "the comparison would hold for constant answers"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_are_stored_as_float16_and_used_as_float32(exported: Exported, architecture: str) -> None:
    path, card = exported(architecture)
    graph = onnx.load(path).graph
    halves = {weight.name for weight in graph.initializer if weight.data_type == TensorProto.FLOAT16}
    stored = sum(np.prod(weight.dims) for weight in graph.initializer if weight.name in halves)
    assert stored == card.parameters
    for node in graph.node:
        if halves & set(node.input):
            assert node.op_type == "Cast"
            assert [attribute.i for attribute in node.attribute] == [TensorProto.FLOAT]
    others = {weight.name for weight in graph.initializer if weight.data_type == TensorProto.FLOAT}
    assert others == {"image_full_scale", "image_mean", "image_std"}
    assert path.stat().st_size == card.size_bytes < 2 * card.parameters + 10_000


@pytest.mark.parametrize("architecture", ["allconv", "vgg16"])
def test_same_checkpoint_gives_the_same_bytes(
    exported: Exported, checkpoint_of: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    path, card = exported(architecture)
    again = export(architecture, checkpoint_of(architecture), tmp_path)
    assert (tmp_path / again.file).read_bytes() == path.read_bytes()
    assert again.sha256 == card.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_nothing_of_the_exporting_machine_is_left(exported: Exported) -> None:
    path, _ = exported("allconv")
    content = path.read_bytes()
    for trace in (str(Path(torch.__file__).parent), "site-packages", "stack_trace", ".py"):
        assert trace.encode() not in content


def test_card_says_what_was_exported(exported: Exported) -> None:
    path, card = exported("allconv")
    fields = json.loads(path.with_suffix(".json").read_text())
    assert fields["labels"] == list(CIFAR10_CLASSES)
    assert fields["training"] == {"steps": 2, "planned_steps": 2}
    assert fields["data"] == {"name": "CIFAR-10", "split": "train", "images": 16, "encoding": "raw"}
    assert fields["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert fields["accuracy"] is None
    text = path.with_suffix(".md").read_text()
    assert card.sha256 in text
    assert "Not measured yet" in text
    assert "Provisional" not in text


def test_wrong_graph_is_not_written(
    checkpoint_of: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = half_precision_weights(fold_batch_norm(ARCHITECTURES["allconv"]()))
    content = exporting.to_onnx(stranger)
    monkeypatch.setattr(exporting, "to_onnx", lambda network: content)
    with pytest.raises(ExportError, match="differ by"):
        export("allconv", checkpoint_of("allconv"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_beyond_float16_are_refused() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight[0, 0] = 1e6
    with pytest.raises(ExportError, match=r"0\.weight.*float16"):
        half_precision_weights(network)


def test_unrounded_weights_are_refused() -> None:
    with pytest.raises(ExportError, match="round them first"):
        exporting.to_onnx(fold_batch_norm(ARCHITECTURES["allconv"]()))


def test_another_networks_checkpoint_is_refused(checkpoint_of: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="of allconv, not of nin"):
        export("nin", checkpoint_of("allconv"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_training_data_is_refused(checkpoint_of: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="not trained on a data set of 24"):
        export("allconv", checkpoint_of("allconv"), tmp_path / "out", coloured_shapes(24, seed=1))
    assert not (tmp_path / "out").exists()
