"""The commands as a person types them: train, export and evaluate, and one line for each mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from pixelprobe_deploy.modelzoo.__main__ import main
from pixelprobe_deploy.modelzoo.card import read_card
from pixelprobe_deploy.modelzoo.recipe import RECIPES
from tests.models.conftest import SMALL_BATCH, small_recipe
from tests.models.fake_triton import FakeTriton
from tests.models.images import coloured_shapes, write_parquet

pytestmark = pytest.mark.models

ROOT = Path(__file__).parents[2]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def fails_in_one_line(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "a traceback"
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    for word in words:
        assert word in line


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_parquet(coloured_shapes(2 * SMALL_BATCH, seed=1), tmp_path / "data" / "train.parquet")
    write_parquet(coloured_shapes(20, seed=2), tmp_path / "data" / "test.parquet")
    return tmp_path / "data"


def test_train_export_evaluate(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "allconv", small_recipe("allconv"))
    checkpoints, weights = tmp_path / "checkpoints", tmp_path / "weights"

    trained = run("train", "allconv", "--data", data, "--checkpoints", checkpoints)
    assert trained.exit_code == 0, trained.output
    assert "allconv: test accuracy" in trained.stdout

    checkpoint = checkpoints / "allconv.pt"
    exported = run("export", "allconv", "--checkpoint", checkpoint, "--out", weights, "--data", data)
    assert exported.exit_code == 0, exported.output
    card = read_card("allconv_cifar10", weights)
    assert card.sha256 in exported.stdout
    assert (card.data.images, card.data.encoding, card.accuracy) == (16, "PNG", None)

    def always_seven(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = np.zeros((len(images), 10), dtype=np.float32)
        found[:, 7] = 1
        return found

    with FakeTriton("allconv_cifar10", always_seven).serving() as address:
        folders = ("--data", data, "--weights", weights)
        arguments = ("evaluate", "allconv_cifar10", *folders, "--address", address)
        measured = run(*arguments)
        assert measured.exit_code == 0, measured.output
        assert "test accuracy 10.00% (2 of 20" in measured.stdout
        assert read_card("allconv_cifar10", weights).accuracy is None
        assert run(*arguments, "--write-card").exit_code == 0
    accuracy = read_card("allconv_cifar10", weights).accuracy
    assert accuracy is not None
    assert (accuracy.correct, accuracy.images, accuracy.encoding) == (2, 20, "PNG")
    assert "**10.00%**" in (weights / "allconv_cifar10.md").read_text()


def test_unfinished_training_is_called_provisional(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pixelprobe_deploy.modelzoo.train import train

    path = tmp_path / "allconv.pt"
    train(small_recipe("allconv"), coloured_shapes(2 * SMALL_BATCH, seed=1), path, max_steps=1)
    result = run("export", "allconv", "--checkpoint", path, "--out", tmp_path / "weights")
    assert result.exit_code == 0
    assert "Provisional: only 1 of 2 training steps" in result.stderr
    assert "Provisional" in (tmp_path / "weights" / "allconv_cifar10.md").read_text()


def test_missing_data_is_one_line(tmp_path: Path) -> None:
    fails_in_one_line(run("train", "nin", "--data", tmp_path / "nowhere"), "no CIFAR-10 in", "nowhere")
    fails_in_one_line(run("train", "nin", "--data", tmp_path), "no CIFAR-10 in")
    fails_in_one_line(run("evaluate", "nin_cifar10", "--data", tmp_path), "no CIFAR-10 in")


def test_missing_or_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "nin.pt"
    arguments = ("export", "nin", "--checkpoint", path, "--out", tmp_path / "weights")
    fails_in_one_line(run(*arguments), "nin.pt", "No such file")
    path.write_bytes(b"no checkpoint")
    fails_in_one_line(run(*arguments), "nin.pt", "damaged")
    assert not (tmp_path / "weights").exists()


def test_unknown_model_and_absent_server_are_one_line(data: Path) -> None:
    fails_in_one_line(run("evaluate", "alexnet", "--data", data), "alexnet", "allconv_cifar10")
    absent = run("evaluate", "allconv_cifar10", "--data", data, "--address", "127.0.0.1:1", "--timeout", "5")
    fails_in_one_line(absent, "127.0.0.1:1")


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [("torch", "train", "models"), ("torch", "export", "models"), ("tritonclient", "evaluate", "server")],
)
def test_missing_package_names_the_extra(tmp_path: Path, package: str, command: str, extra: str) -> None:
    arguments = {
        "train": ["train", "nin", "--data", str(tmp_path)],
        "export": ["export", "nin", "--checkpoint", str(tmp_path / "nin.pt")],
        "evaluate": ["evaluate", "nin_cifar10", "--data", str(tmp_path)],
    }[command]
    code = f"""
import sys
sys.modules[{package!r}] = None
from pixelprobe_deploy.modelzoo.__main__ import main
main({arguments!r})
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert found.returncode == 1
    (line,) = found.stderr.splitlines()
    assert line.startswith(f"Error: {package} is not installed: install the `{extra}` extra")


def test_evaluating_and_reading_the_catalogue_need_no_torch() -> None:
    code = """
import sys
import pixelprobe_deploy.modelzoo.__main__
import pixelprobe_deploy.modelzoo.catalogue
import pixelprobe_deploy.modelzoo.evaluate
assert not {"torch", "torchvision", "onnxruntime"} & set(sys.modules), "imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_help_lists_the_commands() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("train", "export", "evaluate"):
        assert command in result.stdout
