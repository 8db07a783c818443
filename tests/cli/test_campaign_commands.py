"""``pixelprobe campaign``: the real commands on a real stack, with campaigns of a few queries."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pixelprobe.inputs.images import load_image, save_png
from tests.cli.conftest import CAT, DOG, SAMPLES, Cli, assert_one_line_error
from tests.unit.client import cifar10_files

SPEC = """
name = "NAME"
targets = ["allconv_cifar10"]

[data]
kind = "folder"
folder = "images"
count = 3

[search]
population = 20
generations = 1

[[attacks]]
name = "regions"
regions = ["whole", "foreground", "background", "control"]

[[attacks]]
name = "targeted"
count = 1
goals = ["untargeted", "all"]
pixels = [3]
budget = 15
"""

ENDLESS = """
name = "NAME"
targets = ["allconv_cifar10"]
[data]
kind = "folder"
folder = "images"
count = 1
[search]
generations = 100000
early_stop = false
"""


@pytest.fixture
def images(cli: Cli) -> Path:
    """Four images in folders of their classes, one that is damaged and one that is there twice."""
    folder = cli.cwd / "images"
    for path in (CAT, DOG, SAMPLES / "06_frog_000006.png", SAMPLES / "08_ship_000225.png"):
        name = path.name.split("_")[1]
        (folder / name).mkdir(parents=True)
        shutil.copy(path, folder / name / path.name)
    return folder


def write(cli: Cli, name: str, text: str = SPEC) -> Path:
    path = cli.cwd / f"{name}.toml"
    path.write_text(text.replace("NAME", name))
    return path


def queries(states: list[dict[str, Any]]) -> list[int]:
    return [state["queries_sent"] for state in states]


def test_a_run_from_plan_to_export(cli: Cli, images: Path) -> None:
    spec = write(cli, "mine")
    plan = cli.json("campaign", "plan", spec, "--rate", 100)
    assert [group["attacks"] for group in plan["groups"]] == [12, 11]
    assert plan["attacks"] == 23
    assert plan["expected_seconds"] == plan["expected_queries"] / 100
    assert not [state for state in cli.json("campaign", "list") if state["run"].startswith("mine@")]

    started = cli("campaign", "run", spec, "--json")
    assert started.returncode == 0, started.stderr
    shown = json.loads(started.stdout)
    assert [state["display_name"].partition("/")[2] for state in shown] == ["regions", "targeted"]
    assert {state["state"] for state in shown} == {"succeeded"}
    assert [state["attacks_finished"] for state in shown] == [12, 11]
    assert sum(queries(shown)) <= plan["most_queries"]
    assert shown[0]["spec"]["regions"] == ["whole", "foreground", "background", "control"]
    assert shown[0]["spec"]["search"]["population"] == 20
    assert shown[1]["outcomes"]["not_applicable"] == 1  # the class that the image is of
    (run,) = {state["run"] for state in shown}

    again = cli("campaign", "run", spec, "--json")
    assert again.returncode == 0
    assert "already succeeded" in again.stderr
    assert json.loads(again.stdout) == shown
    listed = [state for state in cli.json("campaign", "list") if state["run"] == run]
    assert [state["name"] for state in listed] == [state["name"] for state in shown][::-1]
    assert queries(listed) == queries(shown)[::-1]
    assert cli.json("campaign", "show", "mine/targeted") == shown[1:]
    table = cli("campaign", "show", run).stdout
    for word in ("succeeded", "12 of 12 finished", "control", "targeted at 10 classes", "20 x 1 generations"):
        assert word in table
    assert run in cli("campaign", "list").stdout

    for suffix in ("csv", "json", "parquet"):
        assert "23 attacks in" in cli("campaign", "export", "mine", "--out", f"rows.{suffix}").stderr
    rows = json.loads((cli.cwd / "rows.json").read_text())
    assert pq.read_table(cli.cwd / "rows.parquet").to_pylist() == rows
    with (cli.cwd / "rows.csv").open(newline="") as file:
        assert [row["attack"] for row in csv.DictReader(file)] == [row["attack"] for row in rows]
    names = {path.relative_to(images).as_posix() for path in images.rglob("*.png")}
    assert len({row["image"] for row in rows}) == 3
    for row in rows:
        assert row["image"] in names
        folder_class = row["image"].partition("/")[0]
        if row["outcome"] != "not_applicable":
            assert row["clean_label"] == folder_class
        assert row["image_class"] == {"cat": 3, "dog": 5, "frog": 6, "ship": 8}[folder_class]
        assert row["queries_sent"] <= (15 if row["campaign_name"].endswith("targeted") else 41)
    areas = {(row["image"], row["region"]): row["region_area_fraction"] for row in rows if row["pixels"] == 1}
    for image in {row["image"] for row in rows}:
        assert areas[image, "control"] == areas[image, "foreground"]


def test_data_from_elsewhere_with_images_that_cannot_be_used(cli: Cli, images: Path) -> None:
    moved = images.rename(cli.cwd / "elsewhere")
    (moved / "cat" / "cut.png").write_bytes(CAT.read_bytes()[:-500])
    shutil.copy(DOG, moved / "dog" / "twin.png")
    text = SPEC.replace("count = 3\n", "").replace("budget = 15", "budget = 2")
    done = cli("campaign", "run", write(cli, "moved", text), "--data", moved, "--detach", "--json")
    assert done.returncode == 0, done.stderr
    assert "1 image cannot be read and is left out" in done.stderr
    assert "cut.png: damaged or cut short" in done.stderr
    assert "1 image left out as copies of others: dog/" in done.stderr
    assert [state["attacks_total"] for state in json.loads(done.stdout)] == [16, 11]
    watched = cli.json("campaign", "watch", "moved")
    assert {state["state"] for state in watched} == {"succeeded"}
    assert watched[0]["spec"]["images"] == 4


def test_a_plan_sends_queries_only_when_asked(cli: Cli, images: Path) -> None:
    spec = write(cli, "planned")
    before = cli.json("campaign", "list")
    done = cli("campaign", "plan", spec)
    assert done.returncode == 0, done.stderr
    assert "23 attacks, about " in done.stdout
    assert "queries/s (assumed; --measure N measures it, --rate gives it)" in done.stdout
    assert cli.json("campaign", "list") == before
    done = cli("campaign", "plan", spec, "--measure", 500)
    assert done.returncode == 0, done.stderr
    assert "queries/s (measured just now)" in done.stdout
    assert cli.json("campaign", "list") == before
    done = cli("campaign", "plan", spec, "--measure", 500, "--rate", 100)
    assert (done.returncode, done.stderr.splitlines()) == (
        2,
        ["Error: --rate and --measure exclude each other"],
    )


def test_cancelled_and_resumed(cli: Cli, images: Path) -> None:
    spec = write(cli, "endless", ENDLESS)
    (started,) = cli.json("campaign", "run", spec, "--detach")
    assert started["attacks_total"] == 1
    (cancelled,) = cli.json("campaign", "cancel", "endless")
    assert (cancelled["state"], cancelled["name"]) == ("cancelled", started["name"])
    assert cli.json("campaign", "watch", "endless", code=1)[0]["outcomes"]["cancelled"] == 1
    (resumed,) = cli.json("campaign", "resume", started["name"])
    assert resumed["state"] == "running"
    cli.json("campaign", "cancel", "endless")
    again = cli("campaign", "run", spec, "--detach")
    assert "resumed" in again.stderr
    cli.json("campaign", "cancel", "endless")


@pytest.mark.parametrize("command", ["run", "watch"])
def test_ctrl_c_ends_the_watching_only(cli: Cli, images: Path, command: str) -> None:
    name = f"lasting-{command}"
    spec = write(cli, name, ENDLESS)
    if command == "watch":
        cli.json("campaign", "run", spec, "--detach")
    arguments = ["campaign", command, spec if command == "run" else name]
    with cli.start(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not sent(cli, name):
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "The campaign continues" in err
    (state,) = cli.json("campaign", "show", name)
    assert state["state"] == "running"
    cli.json("campaign", "cancel", name)


def sent(cli: Cli, name: str) -> int:
    return sum(queries([s for s in cli.json("campaign", "list") if s["run"].startswith(f"{name}@")]))


def test_finished_runs_cannot_be_resumed(cli: Cli, images: Path) -> None:
    text = SPEC.partition("[[attacks]]")[0].replace("count = 3", "count = 1") + "early_stop = false\n"
    done = cli.json("campaign", "run", write(cli, "over", text.replace("generations = 1", "generations = 2")))
    assert [state["state"] for state in done] == ["succeeded"]
    assert_one_line_error(
        cli("campaign", "resume", "over"), 1, "over has finished; there is nothing to resume"
    )
    assert cli.json("campaign", "cancel", "over")[0]["state"] == "succeeded"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("pixels", "pixel"), "bad.toml: attacks[1].pixel: unknown key; did you mean pixels?"),
        (('"control"', '"sky"'), 'bad.toml: attacks[0].regions[3]: expected one of whole, foreground, back'),
        (("allconv_cifar10", "nobody"), "unknown target 'nobody'; known targets: allconv_cifar10, "),
        (("count = 3", "count = 9"), "bad.toml: data.count: expected at most 4, the images in "),
        (('folder = "images"', ""), "bad.toml: data.folder: missing; expected the data's folder, or"),
        (('"all"', '"cow"'), "attacks.targeted.goals: 'cow' is no class of allconv_cifar10; it knows"),
        (('kind = "folder"', 'kind = "cifar10"'), "no CIFAR-10 in it; expected *test*.parquet with"),
    ],
)  # fmt: skip
def test_bad_specs_get_one_line_and_nothing_is_started(
    quick: Cli, images: Path, changes: tuple[str, str], told: str
) -> None:
    spec = write(quick, "bad", SPEC.replace(*changes))
    assert_one_line_error(quick("campaign", "run", spec.name), 2, told)
    assert not [state for state in quick.json("campaign", "list") if state["run"].startswith("bad@")]


def test_images_of_another_size_or_class(quick: Cli, images: Path) -> None:
    spec = write(quick, "odd")
    (images / "cat").rename(images / "cow")
    assert_one_line_error(quick("campaign", "run", spec), 2, "'cow' is no class of allconv_cifar10")
    (images / "cow").rename(images / "cat")
    big = load_image(CAT).pixels.repeat(2, axis=0)
    for path in images.rglob("*.png"):
        save_png(path, big)
    assert_one_line_error(
        quick("campaign", "run", spec), 2, "is 32 x 64 pixels, but allconv_cifar10 takes 32 x 32"
    )


@pytest.mark.parametrize("command", ["show", "watch", "cancel", "resume"])
def test_unknown_names_are_bad_input(quick: Cli, command: str) -> None:
    done = quick("campaign", command, "nothing")
    assert_one_line_error(
        done, 2, "you have no campaign or run called 'nothing'; `pixelprobe campaign list` shows names"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("run", "nowhere"),
            "nowhere: no such file; shipped specs go by name: figure6, figure6-imagenet, table2, "
            "table2-quick, table3, table3-quick",
        ),
        (("plan", "table2", "--rate", "0"), "Invalid value for '--rate'"),
        (
            ("export", "x", "--out", "rows.xls"),
            "--format: say which, as 'rows.xls' ends in none of .csv, .json",
        ),
        (("export", "x", "--out", ".", "--format", "csv"), "Invalid value for '--out': . is a folder"),
        (("export", "x"), "Missing option '--out'"),
        (("list", "--limit", "0"), "Invalid value for '--limit'"),
        (("run", "table2"), "table2.toml: data.folder: missing; expected the data's folder, or --data DIR"),
    ],
)
def test_what_is_wrong_before_any_server_is_asked(
    offline: Cli, arguments: tuple[str, ...], told: str
) -> None:
    assert_one_line_error(offline("campaign", *arguments), 2, told)
    assert not list(offline.cwd.iterdir())


@pytest.mark.parametrize("command", [("list",), ("show", "x"), ("export", "x", "--out", "x.csv")])
def test_a_server_that_is_not_running(offline: Cli, command: tuple[str, ...]) -> None:
    assert_one_line_error(offline("campaign", *command), 1, "start the local stack with `pixelprobe up`")


def test_a_plan_without_a_server_says_what_it_assumes(offline: Cli) -> None:
    cells = [cifar10_files.png(image) for image in cifar10_files.sample_images(500)]
    labels = [place % 10 for place in range(500)]
    cifar10_files.write_parquet(offline.cwd / "data" / "test.parquet", cells, labels)
    done = offline("campaign", "plan", "table2", "--data", "data")
    assert done.returncode == 0, done.stderr
    assert "The orchestrator does not answer: targets are not checked." in done.stderr
    assert "500 images, 148,500 attacks" in done.stdout
    assert "At 700 queries/s (assumed; --measure N measures it, --rate gives it)" in done.stdout
