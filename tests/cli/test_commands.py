"""``targets``, ``segment`` and ``demo`` through the real commands."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.images import load_mask
from pixelprobe_services.common.errors import UnavailableError
from tests.cli.conftest import CAT, DOG, ROOT, Cli, is_address

TARGETS = ["allconv_cifar10", "nin_cifar10", "vgg16_cifar10"]


def test_targets_are_listed(cli: Cli) -> None:
    targets = {target["name"]: target for target in cli.json("targets", "list")}
    for name in TARGETS:
        assert targets[name]["available"]
        assert (targets[name]["width"], targets[name]["height"], targets[name]["classes"]) == (32, 32, 10)
        assert targets[name]["labels"][3] == "cat"
        assert targets[name]["sparse_queries"]
        card = json.loads(
            (ROOT / "deploy" / "pixelprobe_deploy" / "modelzoo" / "weights" / f"{name}.json").read_text()
        )
        assert targets[name]["weights_sha256"] == card["sha256"]
    table = cli("targets", "list").stdout
    assert all(name in table for name in TARGETS)


def test_a_target_is_checked(cli: Cli) -> None:
    check = cli.json("targets", "check", "allconv_cifar10")
    assert check["good"]
    assert {one["name"]: one["good"] for one in check["findings"]} == {
        **dict.fromkeys(("answers", "layout", "scores", "deterministic", "batch"), True),
        "latency": None,
    }
    assert check["queries_sent"] == 5 + 400
    assert len(check["top"]) == 5
    assert check["proposed_table"] == ""
    printed = cli("targets", "check", "allconv_cifar10").stdout
    assert "input 'image' UINT8 [-1, 32, 32, 3]" in printed
    assert "good  scores: a distribution over all classes" in printed


def test_segment_writes_masks_that_attack_takes(cli: Cli) -> None:
    records = cli.json("segment", CAT, DOG, "--out", "masks")
    assert [record["image"] for record in records] == [str(CAT), str(DOG)]
    for record in records:
        mask = load_mask(cli.cwd / record["mask_path"])
        assert mask.shape == (32, 32)
        assert record["area_fraction"] == pytest.approx(mask.mean())
        assert record["segmenter"] == "grabcut"
        with Image.open(cli.cwd / record["overlay_path"]) as overlay:
            assert overlay.size == (448, 448)
    masks = [argument for record in records for argument in ("--mask", record["mask_path"])]
    attacks = cli.json(
        "attack", CAT, DOG, "--target", "nin_cifar10", "--region", "foreground", "--budget", 20, *masks
    )
    for attack, record in zip(attacks, records, strict=True):
        np.testing.assert_array_equal(
            load_mask(cli.cwd / attack["mask_path"]), load_mask(cli.cwd / record["mask_path"])
        )


def test_a_rectangle_and_strokes_steer_the_mask(cli: Cli) -> None:
    hints = ("--rectangle", "4,4,28,28", "--foreground-stroke", "16,16 18,20", "--background-stroke", "6,6")
    (record,) = cli.json("segment", DOG, *hints, "--iterations", 2)
    mask = load_mask(cli.cwd / record["mask_path"])
    assert mask[16, 16]
    assert mask[20, 18]
    assert not mask[6, 6]
    outside = np.ones((32, 32), np.bool_)
    outside[4:28, 4:28] = False
    assert not mask[outside].any()


def test_the_demo_uses_the_running_stack_and_leaves_it_running(
    local_stack_home: Path, tmp_path: Path
) -> None:
    cli = at_home(tmp_path, local_stack_home)
    done = cli("demo", "--budget", 20, "--out", "demo")
    assert done.returncode == 0, done.stderr
    assert all(is_address(line) or " of 216 attacks · " in line for line in done.stderr.splitlines())
    for word in ("whole", "foreground", "background", "median queries to success", "contact_sheet.png"):
        assert word in done.stdout
    records = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert len(records) == 216
    assert all(record["queries_sent"] <= 20 for record in records)
    assert {record["outcome"] for record in records} <= {"success", "budget_exhausted", "not_applicable"}
    with Image.open(tmp_path / "demo" / "contact_sheet.png") as sheet:
        assert sheet.width > 11 * 128
        assert sheet.height > 12 * 128
    assert cli("targets", "list").returncode == 0


def test_a_demo_that_is_interrupted_stops_the_stack_that_it_started(
    tmp_path: Path, triton_venv: Path
) -> None:
    home = tmp_path / "home"
    cli = at_home(tmp_path, home, PIXELPROBE_TRITON_VENV=str(triton_venv))
    with cli.start(["demo", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        queries = 0
        deadline = time.monotonic() + 120
        while not queries and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.5)
            queries = queries_sent(home)
        stack = json.loads((home / "stack.json").read_text())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert queries
    records = json.loads(out)
    assert "cancelled" in {record["outcome"] for record in records}
    assert not (home / "stack.json").exists()
    for name in ("triton", "segmentation", "orchestrator"):
        assert not runs(stack[name]["pid"]), f"{name} still runs"


def at_home(cwd: Path, home: Path, **env: str) -> Cli:
    """No addresses: the stack is found, or started, in ``home``."""
    nothing = {"PIXELPROBE_ORCHESTRATOR": "", "PIXELPROBE_SEGMENTATION": ""}
    return Cli(cwd, {**nothing, "PIXELPROBE_HOME": str(home), **env})


def queries_sent(home: Path) -> int:
    """By all campaigns of the stack in ``home``; 0 while it does not answer."""
    try:
        address = json.loads((home / "stack.json").read_text())["orchestrator"]["grpc"]
        with PixelprobeClient(Addresses(orchestrator=address)) as client:
            return sum(campaign.queries_sent for campaign in client.list_campaigns())
    except (OSError, KeyError, UnavailableError):
        return 0


def runs(pid: int) -> bool:
    """It is there, and not merely waiting for a lazy init to collect it."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
