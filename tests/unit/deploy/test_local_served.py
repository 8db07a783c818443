"""Which models the local stack serves: those that ship, and what is in the zoo folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from deploy.local import parts
from deploy.local.served import find_served, triton_names
from deploy.local.state import StateFolder
from deploy.modelzoo.catalogue import WeightsError
from tests.unit.deploy.zoo import LABELS, add_classifier, add_u2net

SHIPPED = ["allconv_cifar10", "nin_cifar10", "vgg16_cifar10"]


def test_without_a_zoo_what_ships_is_served(tmp_path: Path) -> None:
    served = find_served(tmp_path / "zoo")

    served.verify()
    assert list(served.classifier_digests()) == SHIPPED
    assert served.saliency_digests() == {}


def test_the_zoo_is_in_the_home(tmp_path: Path) -> None:
    assert StateFolder(tmp_path).zoo == tmp_path / "zoo"


def test_cards_and_u2net_in_the_zoo_are_served(tmp_path: Path) -> None:
    add_classifier(tmp_path, "tiny_imagenet")
    u2net = add_u2net(tmp_path)
    served = find_served(tmp_path)

    served.verify()
    assert [model.name for model in served.classifiers] == [*SHIPPED, "tiny_imagenet"]
    assert served.classifiers[-1].labels == tuple(LABELS)
    assert served.saliency_digests() == {"u2net": hashlib.sha256(u2net.read_bytes()).hexdigest()}
    assert [source.name for source in served.sources()] == [*SHIPPED, "tiny_imagenet", "u2net"]


def test_only_classifiers_have_a_twin_for_edits() -> None:
    assert triton_names({"vgg": "ab"}, {"u2net": "cd"}) == ["vgg", "vgg_edits", "u2net"]


def test_weights_that_are_not_their_cards_name_the_remedy(tmp_path: Path) -> None:
    path = add_classifier(tmp_path, "tiny_imagenet")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"tiny_imagenet\.onnx.*deploy\.modelzoo imagenet tiny_imagenet"):
        find_served(tmp_path).verify()
    path.unlink()
    with pytest.raises(WeightsError, match=r"tiny_imagenet\.onnx.*No such file.*deploy\.modelzoo imagenet"):
        find_served(tmp_path).verify()


def test_a_damaged_card_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"mine\.json.*delete it, or build the model again"):
        find_served(tmp_path)


def test_the_segmentation_service_is_told_where_triton_is() -> None:
    ports = {"triton_http": 1, "triton_grpc": 2, "triton_metrics": 3, "segmentation": 4, "orchestrator": 5}
    assert parts.segmentation(ports).environment[parts.TRITON_VARIABLE] == "127.0.0.1:2"
