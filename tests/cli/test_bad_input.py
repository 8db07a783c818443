"""Bad input gets one clear line and its exit code, and nothing is started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelprobe.inputs.images import save_png
from tests.cli.conftest import CAT, Cli, InProcess, assert_one_line_error

TARGET = ("--target", "allconv_cifar10")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    save_png(tmp_path / "wrong.png", np.zeros((48, 40, 3), np.uint8))
    save_png(tmp_path / "mask.png", np.zeros((8, 8), np.bool_))
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(CAT.read_bytes()[:-500])
    Image.new("1", (10_000, 6_000)).save(tmp_path / "huge.png")
    Image.new("RGBA", (32, 32), (0, 0, 0, 9)).save(tmp_path / "glass.png")
    (tmp_path / "file").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((CAT, "--target", "nobody"), "unknown target 'nobody'; known targets: allconv_cifar10, "),
        ((CAT,), "Missing option '--target'"),
        (TARGET, "Missing argument 'IMAGE...'"),
        ((CAT, *TARGET, "--region", "sky"), "'sky' is not one of 'whole', 'foreground', 'background'"),
        ((CAT, *TARGET, "--target-class", "cow"), "--target-class: 'cow' is no class of allconv_cifar10; it"),
        ((CAT, *TARGET, "--target-class", "10"), "knows airplane, automobile, bird, cat"),
        ((CAT, *TARGET, "--label", "11"), "--label: '11' is no class"),
        ((CAT, *TARGET, "--goal", "targeted"), "--goal targeted needs --target-class"),
        ((CAT, *TARGET, "--goal", "untargeted", "--target-class", "1"), "exclude each other"),
        ((CAT, *TARGET, "--budget", "0"), "Invalid value for '--budget': 0"),
        ((CAT, *TARGET, "--population", "3"), "Invalid value for '--population': 3"),
        ((CAT, *TARGET, "--pixels", "0"), "Invalid value for '--pixels': 0"),
        ((CAT, *TARGET, "--generations", "0"), "Invalid value for '--generations': 0"),
        ((CAT, *TARGET, "--seed", "-1"), "Invalid value for '--seed': -1"),
        (("missing.png", *TARGET), "missing.png: no such file"),
        (("text.png", *TARGET), "text.png: not an image"),
        (("cut.png", *TARGET), "cut.png: damaged or cut short"),
        (("huge.png", *TARGET), "huge.png: 10000 x 6000 pixels are over 50 megapixels"),
        (("glass.png", *TARGET), "glass.png: has transparent pixels"),
        (
            ("wrong.png", *TARGET),
            "wrong.png is 40 x 48 pixels, but allconv_cifar10 takes 32 x 32; add --resize",
        ),
        (
            ("wrong.png", *TARGET, "--resize-how", "squash"),
            "'squash' is not one of 'crop', 'stretch', 'short-side",
        ),
        ((CAT, *TARGET, "--mask", "mask.png"), "mask.png: the mask is 8 x 8 pixels, but"),
        ((CAT, *TARGET, "--mask", "text.png"), "text.png: not an image"),
        ((CAT, *TARGET, "--out", "file"), "file is not a folder"),
        ((CAT, *TARGET, "--orchestrator", "nowhere"), "'nowhere' is not HOST:PORT"),
    ],
)
def test_attack(quick: Cli, files: Path, arguments: tuple[object, ...], told: str) -> None:
    assert_one_line_error(quick("attack", *arguments), 2, told)
    assert not (quick.cwd / "out").exists() or not list((quick.cwd / "out").rglob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("missing.png",), "missing.png: no such file"),
        ((CAT, "--method", "magic"), "unknown method 'magic'; known methods: auto, grabcut"),
        ((CAT, "--rectangle", "1,2,3"), "'1,2,3' is not L,T,R,B"),
        ((CAT, "--rectangle", "9,2,3,8"), "is empty: left must be under right"),
        ((CAT, "--rectangle", "1,1,99,9"), "grabcut.rectangle.right: 99"),
        ((CAT, "--foreground-stroke", "1,2 3"), "'1,2 3' is not X,Y X,Y ..."),
        ((CAT, "--background-stroke", ""), "is not X,Y X,Y ..."),
        ((CAT, "--iterations", "51"), "Invalid value for '--iterations': 51"),
    ],
)
def test_segment(quick: Cli, arguments: tuple[object, ...], told: str) -> None:
    assert_one_line_error(quick("segment", *arguments), 2, told)


@pytest.mark.parametrize(
    "arguments",
    [("targets", "list"), ("attack", CAT, *TARGET), ("segment", CAT), ("attack", CAT, *TARGET, "--json")],
)
def test_a_server_that_is_not_running(offline: Cli, arguments: tuple[object, ...]) -> None:
    assert_one_line_error(offline(*arguments), 1, "start the local stack with `pixelprobe up`")


def test_an_unknown_command(offline: Cli) -> None:
    assert_one_line_error(offline("bogus"), 2, "No such command 'bogus'")


def test_without_a_stack_no_address_is_assumed(tmp_path: Path) -> None:
    nowhere = {"PIXELPROBE_ORCHESTRATOR": "", "PIXELPROBE_SEGMENTATION": "", "PIXELPROBE_HOME": str(tmp_path)}
    bare = InProcess(tmp_path, nowhere)
    for arguments, option in (
        (("targets", "list"), "--orchestrator"),
        (("attack", CAT, *TARGET), "--orchestrator"),
        (("campaign", "list"), "--orchestrator"),
        (("segment", CAT), "--segmentation"),
    ):
        told = f"no local stack is running; start one with `pixelprobe up`, or name one with {option}"
        assert_one_line_error(bare(*arguments), 1, told)
