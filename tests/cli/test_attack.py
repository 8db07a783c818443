"""``pixelprobe attack``: what it reports holds when checked from outside."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.images import load_image, load_mask, save_png
from pixelprobe.model import CampaignState
from tests.cli.conftest import CAT, DOG, Cli, cli_for, is_address

KEYS = {
    "image", "target", "region", "pixels", "goal", "target_class", "outcome", "reason", "clean_class",
    "clean_probability", "adversarial_class", "adversarial_probability", "edits", "queries_sent",
    "queries_skipped", "queries_repeated", "generations", "adversarial_path", "mask_path",
    "mask_area_fraction", "seed", "clean_label", "adversarial_label", "target_label", "image_preparation",
    "queries_answered", "queries_timed_out", "queries_rejected", "retries", "clean_held", "success_held",
}  # fmt: skip

SMALL = ("--population", 60, "--generations", 4)


def probabilities(stack: dict[str, Any], model: str, pixels: np.ndarray) -> np.ndarray:
    """Ask Triton itself."""
    with triton.InferenceServerClient(stack["triton"]["grpc"]) as server:
        image = triton.InferInput("image", [1, *pixels.shape], "UINT8")
        image.set_data_from_numpy(pixels[None])
        answer = server.infer(model, [image], client_timeout=60).as_numpy("probabilities")
    assert answer is not None
    return np.asarray(answer[0])


@dataclass(frozen=True)
class Done:
    folder: Path
    records: list[dict[str, Any]]


@pytest.fixture(scope="module")
def done(local_stack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("attack")
    regions = ("--region", "whole", "--region", "foreground", "--region", "background")
    arguments = ("attack", CAT, DOG, "--target", "allconv_cifar10", *regions, "--pixels", 3, *SMALL)
    return Done(folder, cli_for(local_stack, folder).json(*arguments, "--out", "got"))


def test_every_number_and_image_holds_from_outside(local_stack: dict[str, Any], done: Done) -> None:
    records = done.records
    assert len(records) == 6
    assert [record["region"] for record in records] == ["whole", "foreground", "background"] * 2
    for record in records:
        assert set(record) == KEYS
        clean = load_image(Path(record["image"])).pixels
        clean_scores = probabilities(local_stack, record["target"], clean)
        assert record["clean_class"] == clean_scores.argmax()
        assert record["clean_probability"] == pytest.approx(clean_scores.max(), abs=1e-5)

        best = clean.copy()
        for x, y, red, green, blue in record["edits"]:
            best[y, x] = (red, green, blue)
        scores = probabilities(local_stack, record["target"], best)
        assert record["adversarial_class"] == scores.argmax()
        assert record["adversarial_probability"] == pytest.approx(scores.max(), abs=1e-5)

        changed = (best != clean).any(axis=2)
        assert 0 < changed.sum() == len(record["edits"]) <= 3
        if record["region"] == "whole":
            assert record["mask_path"] is None
            assert record["mask_area_fraction"] is None
        else:
            mask = load_mask(done.folder / record["mask_path"])
            assert record["mask_area_fraction"] == pytest.approx(mask.mean())
            assert (mask if record["region"] == "foreground" else ~mask)[changed].all()
        if record["outcome"] == "success":
            assert record["adversarial_class"] != record["clean_class"]
            saved = load_image(done.folder / record["adversarial_path"]).pixels
            np.testing.assert_array_equal(saved, best)
        else:
            assert record["outcome"] == "failure"
            assert record["adversarial_path"] is None
    assert any(record["outcome"] == "success" for record in records)


def test_the_folder_holds_what_is_promised(done: Done) -> None:
    assert json.loads((done.folder / "got" / "results.json").read_text()) == done.records
    for image in (CAT, DOG):
        folder = done.folder / "got" / image.stem
        np.testing.assert_array_equal(load_image(folder / "clean.png").pixels, load_image(image).pixels)
        assert (folder / "mask_overlay.png").exists()
    for record in done.records:
        if record["outcome"] == "success":
            path = done.folder / record["adversarial_path"]
            assert path.with_name(f"{path.stem}_enlarged.png").exists()


def test_the_same_seed_gives_the_same_results_alone_or_among_others(cli: Cli, done: Done) -> None:
    alone = cli.json(
        "attack", DOG, "--target", "allconv_cifar10", "--region", "background", "--pixels", 3, *SMALL,
        "--out", "alone",
    )  # fmt: skip
    (among,) = [r for r in done.records if r["image"] == str(DOG) and r["region"] == "background"]
    paths = {"adversarial_path", "mask_path"}
    assert {k: v for k, v in alone[0].items() if k not in paths} == {
        k: v for k, v in among.items() if k not in paths
    }


def test_people_get_a_table_and_no_progress_in_a_pipe(cli: Cli) -> None:
    piped = cli("attack", CAT, "--target", "allconv_cifar10", *SMALL)
    assert piped.returncode == 0
    assert all(is_address(line) or " of 1 attack · " in line for line in piped.stderr.splitlines())
    assert "03_cat_000024" in piped.stdout
    assert "untargeted" in piped.stdout
    assert (cli.cwd / "out" / "attack" / "results.json").exists()


def test_progress_is_live_on_a_terminal(cli: Cli) -> None:
    ours, theirs = pty.openpty()
    arguments = ("attack", DOG, "--target", "vgg16_cifar10", "--no-early-stop", "--population", 60)
    with cli.start([*arguments, "--generations", 12], stdout=subprocess.DEVNULL, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
        assert process.wait(60) == 0
    os.close(ours)
    for word in (b"attacks", b"generation", b"best 0.", b"queries", b"/s"):
        assert word in shown


def test_a_targeted_attack_by_label(cli: Cli) -> None:
    (record,) = cli.json(
        "attack", CAT, "--target", "allconv_cifar10", "--target-class", "Frog", "--pixels", 5, *SMALL
    )
    assert (record["goal"], record["target_class"]) == ("targeted", 6)
    assert (record["outcome"] == "success") == (record["adversarial_class"] == 6)


def test_the_budget_is_a_hard_limit(cli: Cli) -> None:
    (record,) = cli.json("attack", DOG, "--target", "allconv_cifar10", "--budget", 25)
    assert record["outcome"] in ("budget_exhausted", "success")
    assert record["queries_sent"] <= 25


def test_an_empty_mask_is_not_applicable(cli: Cli) -> None:
    save_png(cli.cwd / "empty.png", np.zeros((32, 32), np.bool_))
    arguments = ("--mask", "empty.png", "--region", "foreground", "--region", "background", *SMALL)
    foreground, background = cli.json("attack", CAT, "--target", "allconv_cifar10", *arguments)
    assert foreground["outcome"] == "not_applicable"
    assert foreground["reason"]
    assert foreground["mask_area_fraction"] == 0
    assert (background["outcome"], background["reason"]) == (
        "not_applicable", "the background is the whole image",
    )  # fmt: skip


def test_a_image_that_the_target_misreads_is_left_out_if_its_label_is_told(cli: Cli) -> None:
    arguments = ("attack", CAT, "--target", "allconv_cifar10", "--label", "ship", "--budget", 20)
    (left_out,) = cli.json(*arguments)
    assert left_out["outcome"] == "not_applicable"
    (attacked,) = cli.json(*arguments, "--attack-misclassified")
    assert attacked["outcome"] in ("success", "budget_exhausted")


@pytest.mark.parametrize(
    ("options", "note", "stated"),
    [
        (("--resize",), "cropped and resampled", "the largest centred crop"),
        (("--resize-how", "stretch"), "stretched", "stretched to that"),
    ],
)
def test_resizing_is_said_and_what_was_attacked_is_saved(
    cli: Cli, options: tuple[str, ...], note: str, stated: str
) -> None:
    pixels = load_image(CAT).pixels
    save_png(cli.cwd / "big.png", np.repeat(np.repeat(pixels, 2, axis=0), 2, axis=1))
    resized = cli("attack", "big.png", "--target", "allconv_cifar10", *options, "--budget", 20, "--json")
    assert resized.returncode == 0
    assert f"big.png: {note} from 64 x 64 to 32 x 32" in resized.stderr
    (record,) = json.loads(resized.stdout)
    assert stated in record["image_preparation"]
    saved = load_image(cli.cwd / "out" / "attack" / "big" / "clean.png").pixels
    assert saved.shape == pixels.shape
    if note != "stretched":  # which blurs over the edges of pixels
        np.testing.assert_array_equal(saved, pixels)


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_on_the_server_and_shows_what_there_is(
    cli: Cli, local_stack: dict[str, Any], kill: signal.Signals
) -> None:
    arguments = ("attack", DOG, "--target", "vgg16_cifar10", "--no-early-stop", "--generations", 100_000)
    addresses = Addresses(orchestrator=local_stack["orchestrator"]["grpc"])
    with PixelprobeClient(addresses) as client:
        before = {campaign.name for campaign in client.list_campaigns()}
        with cli.start([*arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 60
            running: list[str] = []
            while not running and time.monotonic() < deadline:
                time.sleep(0.2)
                running = [
                    campaign.name
                    for campaign in client.list_campaigns()
                    if campaign.name not in before and campaign.queries_sent > 0
                ]
            process.send_signal(kill)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        (record,) = json.loads(out)
        assert record["outcome"] == "cancelled"
        assert record["queries_sent"] > 0
        assert client.get_campaign(running[0]).state is CampaignState.CANCELLED
