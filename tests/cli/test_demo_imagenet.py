"""``pixelprobe demo --imagenet`` on stand-ins of its two models: cheap ones under their names."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from pixelprobe_services.segmentation.salient import MODEL_SIDE
from tests.benchmarks import wire
from tests.cli.conftest import Cli, assert_one_line_error
from tests.cli.test_commands import at_home
from tests.unit.deploy.tiny import tiny_saliency_model, write_model

CLASSIFIER = "efficientnet_lite0_imagenet"


def test_from_a_stopped_stack_to_a_contact_sheet_and_back(tmp_path: Path, triton_venv: Path) -> None:
    home = tmp_path / "home"
    model = wire.large_model()
    model.graph.name = CLASSIFIER
    wire.add_model(home / "zoo", model)
    write_model(home / "zoo" / "u2net.onnx", tiny_saliency_model(MODEL_SIDE, MODEL_SIDE))
    cli = at_home(tmp_path, home, PIXELPROBE_TRITON_VENV=str(triton_venv))

    done = cli("demo", "--imagenet", "--budget", 20, "--out", "demo")

    assert done.returncode == 0, done.stderr
    assert "cropped and resampled from 320 x 320 to 224 x 224" in done.stderr
    assert "contact_sheet.png" in done.stdout
    records = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert len(records) == 3 * 3 * 2
    assert {record["target"] for record in records} == {CLASSIFIER}
    assert {record["outcome"] for record in records} <= {"success", "budget_exhausted", "not_applicable"}
    assert any(record["mask_area_fraction"] for record in records), "no mask by U2-Net's stand-in"
    with Image.open(tmp_path / "demo" / "contact_sheet.png") as sheet:
        assert sheet.width > 5 * 224
    assert not (home / "stack.json").exists()


def test_without_the_models_extra_it_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "without" / "onnxruntime").mkdir(parents=True)
    missing = "raise ModuleNotFoundError('no onnxruntime', name='onnxruntime')"
    (tmp_path / "without" / "onnxruntime" / "__init__.py").write_text(missing)
    path = str(tmp_path / "without")

    done = at_home(tmp_path, tmp_path / "home", PYTHONPATH=path)("demo", "--imagenet")

    assert_one_line_error(done, 1, "onnxruntime is not installed: install the `models` extra")
    assert not (tmp_path / "home" / "stack.json").exists()


def test_elsewhere_without_the_models_it_says_what_to_run(cli: Cli) -> None:
    remedy = (
        f"run `python -m pixelprobe_deploy.modelzoo imagenet {CLASSIFIER} --missing`, then `pixelprobe up`"
    )
    assert_one_line_error(cli("demo", "--imagenet"), 1, remedy)
