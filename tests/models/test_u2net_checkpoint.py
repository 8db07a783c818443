"""U2-Net out of a checkpoint: our layers are the authors', and other files are one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner, Result
from onnx import numpy_helper

from pixelprobe_deploy.modelzoo.__main__ import main
from pixelprobe_deploy.modelzoo.onnx_graph import export_graph, finished
from pixelprobe_deploy.modelzoo.u2net import SIDE, write_u2net
from pixelprobe_deploy.modelzoo.u2net_checkpoint import read_network
from pixelprobe_deploy.modelzoo.u2net_network import SHAPES, ConvBlock, SaliencyNetwork
from pixelprobe_deploy.modelzoo.u2net_package import fetch_u2netp
from tests.models.photographs import photographs

pytestmark = pytest.mark.models

EXPORT_SECONDS = 900  # PyTorch's export of five hundred layers takes half a minute of a free core
SMALL = 64  # the full network takes two seconds of a core at its own size


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["u2net", *(str(argument) for argument in arguments)])


def empty(name: str) -> SaliencyNetwork:
    torch.manual_seed(6)
    network = SaliencyNetwork(SHAPES[name])
    network.eval()
    return network


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' own export of U2-Net-P, its batch norm merged into the convolutions."""
    return fetch_u2netp(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def checkpoint(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained weights of that export under the names that the authors' checkpoint gives them.

    A merged convolution goes before a batch norm that changes nothing. The export's convolutions have lost
    their names, so they are taken in the order in which ours run.
    """
    graph = onnx.load(original).graph
    weights = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    network = empty("U2-Net-P")
    ran: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, ConvBlock):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
            module.bn_s1.running_var.fill_(1 - module.bn_s1.eps)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 64, 64))
    state = network.state_dict()
    named = ("side", "outconv")
    merged = [node for node in graph.node if node.op_type == "Conv" and not node.input[1].startswith(named)]
    for name, node in zip(ran, merged, strict=True):
        state[f"{name}.conv_s1.weight"], state[f"{name}.conv_s1.bias"] = (weights[i] for i in node.input[1:])
    state |= {name: tensor for name, tensor in weights.items() if name.startswith(named)}
    path = tmp_path_factory.mktemp("checkpoint") / "u2netp.pth"
    torch.save(state, path)
    return path


def saliency(path: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["saliency"], {"image": images})
    return np.asarray(found)


@pytest.mark.timeout(EXPORT_SECONDS)
def test_trained_weights_give_the_saliency_of_the_authors_graph(
    original: Path, checkpoint: Path, tmp_path: Path
) -> None:
    done = run("--checkpoint", checkpoint, "--out", tmp_path / "zoo")
    assert done.exit_code == 0, done.output
    assert "Exporting U2-Net-P" in done.stderr
    images = photographs(SIDE)

    found = saliency(tmp_path / "zoo" / "u2net.onnx", images)
    expected = saliency(write_u2net(original, tmp_path), images)

    assert found.shape == (len(images), SIDE, SIDE)
    assert expected.max() > 0.9, "nothing stands out"
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.timeout(EXPORT_SECONDS)
def test_the_full_network_is_told_by_its_shapes_and_exported(tmp_path: Path) -> None:
    made = empty("U2-Net")
    assert sum(parameter.numel() for parameter in made.parameters()) * 4 / 1e6 == pytest.approx(176, abs=1)
    with torch.no_grad():
        for block in made.modules():  # so that random weights let the image through
            if isinstance(block, ConvBlock):
                torch.nn.init.kaiming_normal_(block.conv_s1.weight)
    torch.save(made.state_dict(), tmp_path / "u2net.pth")

    name, network = read_network(tmp_path / "u2net.pth")

    assert name == "U2-Net"
    images = torch.from_numpy(photographs(SMALL)).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        expected = network(images).numpy()
    graph = finished(export_graph(network, SMALL, "fused"))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(["fused"], {"normalised": images.numpy()})
    assert expected.std() > 1e-3, "random weights too dull to tell a wrong graph"
    assert np.abs(found - expected).max() < 1e-3


def test_a_checkpoint_without_counters_is_taken(checkpoint: Path, tmp_path: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)
    torch.save({name: t for name, t in state.items() if "num_batches" not in name}, tmp_path / "old.pth")
    name, network = read_network(tmp_path / "old.pth")
    assert name == "U2-Net-P"
    torch.testing.assert_close(network.state_dict()["outconv.weight"], state["outconv.weight"])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
def test_a_checkpoint_that_is_cut_short_is_one_line(
    checkpoint: Path, tmp_path: Path, kept: float, zipped: bool
) -> None:
    path = tmp_path / "short.pth"
    torch.save(torch.load(checkpoint, weights_only=True), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if 0 < kept < 1 else int(kept)])
    fails_in_one_line(run("--checkpoint", path, "--out", tmp_path / "zoo"), str(path), "damaged")
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize("content", [{"weight": torch.zeros(2)}, torch.zeros(3), ["weights"], {"epoch": 3}])
def test_another_networks_weights_are_one_line(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pth")
    done = run("--checkpoint", tmp_path / "other.pth", "--out", tmp_path / "zoo")
    fails_in_one_line(done, "other.pth", "another network's weights than U2-Net or U2-Net-P")


def test_another_kind_of_file_is_one_line(original: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    for path in (original, tmp_path / "text.pth"):
        fails_in_one_line(run("--checkpoint", path, "--out", tmp_path / "zoo"), str(path), "damaged")
    absent = tmp_path / "absent.pth"
    fails_in_one_line(run("--checkpoint", absent, "--out", tmp_path), str(absent), "No such file")


def fails_in_one_line(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "a traceback"
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    for word in words:
        assert word in line
