"""``segment review`` through the real commands: what a person decides is what is there afterwards."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelprobe.inputs.images import load_mask, save_png
from tests.cli.conftest import CAT, DOG, Cli, assert_one_line_error

SHIP = CAT.with_name("08_ship_000225.png")


def mark(path: Path, name: str, body: str) -> None:
    """Replace the verdict of one image."""
    text = path.read_text()
    changed = re.sub(rf'(\[images\."{name}"\]\n.*\nmask = .*\n)verdict = .*', rf"\g<1>{body}", text, count=1)
    assert changed != text
    path.write_text(changed)


@pytest.fixture
def masks(cli: Cli) -> Path:
    plain = cli.cwd / "plain.png"
    save_png(plain, np.full((32, 32, 3), 90, np.uint8))
    assert cli("segment", CAT, DOG, SHIP, plain, "--out", "masks").returncode == 0
    return cli.cwd / "masks"


def test_verdicts_are_taken_up_and_the_masks_that_stand_can_be_used(cli: Cli, masks: Path) -> None:
    begun = cli.json("segment", "review", "masks")
    assert [record["verdict"] for record in begun] == ["accept"] * 3 + ["undecided"]
    with Image.open(masks / "review.png") as sheet:
        assert sheet.width > 900
    mark(
        masks / "review.toml",
        DOG.stem,
        'verdict = "redo"\nrectangle = "4,4,28,28"\nbackground_strokes = ["6,6"]',
    )
    mark(masks / "review.toml", SHIP.stem, 'verdict = "reject"')

    done = {Path(each["image"]).stem: each for each in cli.json("segment", "review", "masks", "--apply")}
    assert {name: each["verdict"] for name, each in done.items()} == {
        CAT.stem: "accept",
        DOG.stem: "redo",
        SHIP.stem: "reject",
        "plain": "undecided",
    }
    assert done[SHIP.stem]["mask_path"] is None
    assert done["plain"]["mask_path"] is None
    kept = load_mask(cli.cwd / done[CAT.stem]["mask_path"])
    np.testing.assert_array_equal(kept, load_mask(masks / f"{CAT.stem}_mask.png"))
    redone = load_mask(cli.cwd / done[DOG.stem]["mask_path"])
    assert redone.any()
    assert not redone[6, 6]
    assert not redone[:4].any()
    assert done[DOG.stem]["area_fraction"] == pytest.approx(redone.mean())
    files = sorted(path.name for path in (masks / "reviewed").iterdir())
    assert files == sorted(
        [f"{stem}_{kind}.png" for stem in (CAT.stem, DOG.stem) for kind in ("mask", "overlay")]
        + ["review.json", "review.png"]
    )
    assert json.loads((masks / "reviewed" / "review.json").read_text()) == list(done.values())

    given = [argument for stem in (CAT.stem, DOG.stem) for argument in ("--mask", done[stem]["mask_path"])]
    attacks = cli.json(
        "attack", CAT, DOG, "--target", "nin_cifar10", "--region", "foreground", "--budget", 20, *given
    )
    np.testing.assert_array_equal(load_mask(cli.cwd / attacks[1]["mask_path"]), redone)

    # What is rejected later leaves nothing behind.
    mark(masks / "review.toml", CAT.stem, 'verdict = "reject"')
    assert cli("segment", "review", "masks", "--apply").returncode == 0
    assert not list((masks / "reviewed").glob(f"{CAT.stem}_*"))


def test_what_a_person_wrote_is_not_overwritten(cli: Cli, masks: Path) -> None:
    assert cli("segment", "review", "masks").returncode == 0
    mark(masks / "review.toml", CAT.stem, 'verdict = "reject"')
    written = (masks / "review.toml").read_text()
    assert_one_line_error(cli("segment", "review", "masks"), 2, "review.toml: is there already; take it up")
    assert (masks / "review.toml").read_text() == written
    assert cli("segment", "review", "masks", "--force").returncode == 0
    assert (masks / "review.toml").read_text() != written


def test_a_verdict_holds_for_the_mask_that_was_seen(cli: Cli, masks: Path) -> None:
    assert cli("segment", "review", "masks").returncode == 0
    assert cli("segment", CAT, "--rectangle", "2,2,12,12", "--out", "masks").returncode == 0
    done = cli("segment", "review", "masks", "--apply")
    assert_one_line_error(done, 2, "is not the mask that masks/review.toml was written for")
    assert not (masks / "reviewed").exists()


def test_mistakes_get_one_line(cli: Cli, offline: Cli, masks: Path) -> None:
    assert_one_line_error(cli("segment", "review", "nowhere"), 2, "nowhere: has no segment.json; make masks")
    assert_one_line_error(cli("segment", "review", "masks", "--apply"), 2, "review.toml: No such file")
    assert offline("segment", "review", "masks").returncode == 0, "looking needs no service"
    mark(masks / "review.toml", CAT.stem, 'verdict = "redo"\nrectangle = "0,0,33,9"')
    told = f"masks/review.toml: images.{CAT.stem}.rectangle: expected one inside 32 x 32 pixels"
    assert_one_line_error(cli("segment", "review", "masks", "--apply"), 2, told)
    mark(masks / "review.toml", CAT.stem, 'verdict = "accept"')
    text = (masks / "review.toml").read_text().replace('rectangle = "0,0,33,9"\n', "")
    (masks / "review.toml").write_text(text)
    save_png(masks.parent / "plain.png", np.full((32, 32, 3), 91, np.uint8))
    assert_one_line_error(
        cli("segment", "review", "masks", "--apply"), 2, "plain.png: has changed since it was segmented"
    )
    (masks.parent / "plain.png").unlink()
    assert_one_line_error(cli("segment", "review", "masks", "--apply"), 2, "plain.png: no such file")


def test_a_image_called_review_can_be_segmented(cli: Cli) -> None:
    shutil.copy(CAT, cli.cwd / "review")
    (record,) = cli.json("segment", "./review")
    assert record["image"] == "review"
    assert_one_line_error(cli("segment", "review"), 2, "Missing argument 'DIR'")


def test_both_commands_have_their_help(offline: Cli) -> None:
    above, below = offline("segment", "--help"), offline("segment", "review", "--help")
    assert "pixelprobe segment [OPTIONS] IMAGE..." in above.stdout.replace(
        "python -m pixelprobe.cli", "pixelprobe"
    )
    assert "review DIR" in above.stdout
    assert "--apply" in below.stdout
    assert "--threshold" not in below.stdout
