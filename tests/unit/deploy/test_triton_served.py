"""Which models a stack serves: those that ship, and what is in zoo folders; and its targets file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from pixelprobe_deploy.local import parts
from pixelprobe_deploy.local.state import StateFolder
from pixelprobe_deploy.modelzoo.catalogue import WeightsError
from pixelprobe_deploy.triton.__main__ import main
from pixelprobe_deploy.triton.served import find_served, triton_names
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


def test_a_later_zoos_models_take_the_place_of_an_earlier_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for zoo in (first, second):
        add_classifier(zoo, "tiny_imagenet")
    add_classifier(first, "other_imagenet")
    earlier, later = add_u2net(first), add_u2net(second)

    served = find_served(first, second, tmp_path / "absent")

    paths = {source.name: source.onnx for source in served.sources()}
    assert list(paths) == [*SHIPPED, "other_imagenet", "tiny_imagenet", "u2net"]
    assert paths["tiny_imagenet"].parent == second
    assert (find_served(first).sources()[-1].onnx, paths["u2net"]) == (earlier, later)


def test_a_file_alone_has_no_labels_for_targets(tmp_path: Path) -> None:
    model = add_classifier(tmp_path, "tiny_imagenet")
    folder, targets = str(tmp_path / "models"), (str(tmp_path / "targets.toml"), "triton:8001")
    done = CliRunner().invoke(main, ["build", folder, "--onnx", f"tiny={model}", "--targets", *targets])
    assert done.exit_code == 2
    assert "has no labels" in done.stderr


def test_a_targets_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    targets = (str(tmp_path / "absent" / "targets.toml"), "triton:8001")
    done = CliRunner().invoke(main, ["build", str(tmp_path / "models"), "--targets", *targets])
    assert done.exit_code == 1
    assert done.stderr == f"Error: cannot write {targets[0]}: No such file or directory\n"


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
