"""Cards and catalogue: what is written is read back, damage is named, and what ships is whole."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from pixelprobe_deploy.modelzoo.architectures import ARCHITECTURES
from pixelprobe_deploy.modelzoo.card import (
    Card,
    ServedAccuracy,
    Tensor,
    Training,
    TrainingData,
    read_card,
    render,
    save_card,
    with_accuracy,
)
from pixelprobe_deploy.modelzoo.catalogue import WEIGHTS, WeightsError, shipped_model, shipped_models
from pixelprobe_deploy.modelzoo.datasets import CIFAR10_CLASSES

pytestmark = pytest.mark.models

CONTENT = b"stands for the weights"
CARD = Card(
    name="nin_cifar10",
    architecture="nin",
    file="nin_cifar10.onnx",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    parameters=966_986,
    labels=list(CIFAR10_CLASSES),
    width=32,
    height=32,
    input=Tensor("image", "UINT8", ["N", 32, 32, 3], "RGB"),
    output=Tensor("probabilities", "FP32", ["N", 10], "softmax"),
    recipe={
        "epochs": 8, "batch_size": 128, "peak_learning_rate": 0.1, "weight_decay": 0.0005,
        "momentum": 0.9, "dropout": 0.1, "crop_padding": 4, "seed": 0,
    },
    training=Training(3120, 3120),
    data=TrainingData("CIFAR-10", "train", 50_000, "JPEG"),
    versions={"torch": "2.14.1"},
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / CARD.file).write_bytes(CONTENT)
    save_card(CARD, tmp_path)
    return tmp_path


def test_card_is_read_back(folder: Path) -> None:
    assert read_card("nin_cifar10", folder) == CARD
    measured = with_accuracy(CARD, ServedAccuracy(8655, 10_000, "JPEG"))
    save_card(measured, folder)
    assert read_card("nin_cifar10", folder) == measured


def test_catalogue_gives_what_a_server_needs(folder: Path) -> None:
    (model,) = shipped_models(folder)
    assert model == shipped_model("nin_cifar10", folder)
    assert (model.name, model.path) == ("nin_cifar10", folder / "nin_cifar10.onnx")
    assert (model.width, model.height, model.classes) == (32, 32, 10)
    assert model.labels == CIFAR10_CLASSES
    model.verify()


def test_missing_weights_are_named_with_a_remedy(folder: Path) -> None:
    (folder / CARD.file).unlink()
    with pytest.raises(WeightsError, match=r"nin_cifar10\.onnx.*No such file.*git checkout"):
        shipped_model("nin_cifar10", folder).verify()


def test_damaged_weights_are_named_with_a_remedy(folder: Path) -> None:
    (folder / CARD.file).write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match=r"nin_cifar10\.onnx.*sha256.*git checkout"):
        shipped_model("nin_cifar10", folder).verify()


def test_unknown_model_lists_the_known(folder: Path) -> None:
    with pytest.raises(WeightsError, match=r"alexnet.*nin_cifar10"):
        shipped_model("alexnet", folder)
    with pytest.raises(WeightsError, match=r"alexnet.*nin_cifar10"):
        read_card("alexnet", folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": 3}', "not json"])
def test_damaged_card_is_named(folder: Path, text: str) -> None:
    (folder / "nin_cifar10.json").write_text(text)
    with pytest.raises(WeightsError, match=r"nin_cifar10\.json"):
        shipped_models(folder)
    with pytest.raises(WeightsError, match=r"nin_cifar10\.json"):
        read_card("nin_cifar10", folder)


def test_card_of_another_version_is_refused(folder: Path) -> None:
    path = folder / "nin_cifar10.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "card_version": 99}))
    with pytest.raises(WeightsError, match="card_version 99"):
        read_card("nin_cifar10", folder)


def test_folder_without_cards(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no model cards"):
        shipped_models(tmp_path)


def test_card_for_people() -> None:
    text = render(with_accuracy(CARD, ServedAccuracy(8655, 10_000, "JPEG")))
    facts = (CARD.sha256, "**86.55%**", "8,655 of 10,000", "50,000 images", "lossy", "Apache-2.0", "3 cat")
    for fact in facts:
        assert fact in text
    assert "Provisional" not in text
    assert "never trained" in render(replace(CARD, training=Training(0, 3120)))
    assert "Provisional: exported after 300 of 3,120" in render(replace(CARD, training=Training(300, 3120)))
    unknown = render(replace(CARD, data=TrainingData("CIFAR-10", "train", None, None)))
    assert "number of images not recorded" in unknown


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_ships_is_whole_trained_and_measured(architecture: str) -> None:
    name = f"{architecture}_cifar10"
    shipped_model(name).verify()
    card = read_card(name, WEIGHTS)
    assert not card.provisional
    assert card.data.images == 50_000
    assert card.accuracy is not None, "measure it: python -m pixelprobe_deploy.modelzoo evaluate --write-card"
    assert card.accuracy.images == 10_000
    assert card.accuracy.rate >= 0.855
    assert (WEIGHTS / f"{name}.md").read_text() == render(card)


def test_what_ships_is_small_enough_for_a_repository() -> None:
    assert sum(model.path.stat().st_size for model in shipped_models()) < 40e6
