"""What `attack` leaves on disk, and what it says when the disk is full."""

from __future__ import annotations

import io
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click
import numpy as np
import pytest
from rich.console import Console

from pixelprobe.api import PixelprobeClient
from pixelprobe.cli.attack_images import Finished, attack_images
from pixelprobe.inputs.images import InputImage
from pixelprobe.inputs.planned import PlannedImage
from pixelprobe.model import Attack, Campaign, CampaignSpec, CampaignState, Outcome
from tests.unit.client.values import NAME, SPEC, TARGET, make_attack, make_result

PIXELS = np.random.default_rng(5).integers(0, 256, (60, 80, 3), dtype=np.uint8)
IMAGES = [PlannedImage(InputImage(Path("a.png"), PIXELS), mask_warnings=("m.png: all black",))] * 2


class Client:
    """A campaign that has ended already."""

    def __init__(self, *attacks: Attack, state: CampaignState = CampaignState.SUCCEEDED) -> None:
        self.attacks = attacks
        self.campaign = Campaign(NAME, "", state, "", len(attacks), len(attacks), 84, 0, 0)

    def upload_images(self, images: list[np.ndarray]) -> list[str]:
        return [f"{number:064x}" for number in range(len(images))]

    def create_campaign(self, _spec: CampaignSpec, _request_id: str) -> Campaign:
        return self.campaign

    def watch_campaign(self, _name: str) -> Iterator[object]:
        return iter(())

    def get_campaign(self, _name: str) -> Campaign:
        return self.campaign

    def list_results(self, _name: str) -> Iterator[Attack]:
        return iter(self.attacks)


def run(out: Path, client: Client) -> tuple[Finished, str]:
    written = io.StringIO()
    console = Console(file=written, width=150)
    finished = attack_images(cast(PixelprobeClient, client), IMAGES, [TARGET], SPEC, out, console)
    return finished, written.getvalue()


def test_results_are_written_and_old_images_removed(tmp_path: Path) -> None:
    _, first = run(tmp_path, Client(make_attack(make_result())))
    assert first == "m.png: all black\n"  # once, not for each image
    assert json.loads((tmp_path / "results.json").read_text())[0]["outcome"] == "success"
    finished, second = run(tmp_path, Client(make_attack(make_result(Outcome.FAILURE))))
    assert f"2 images of an earlier run removed from {tmp_path}" in second
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["clean.png"]
    assert (finished.exit_code, finished.problem) == (0, "")


def test_a_full_disk_names_the_file_and_the_campaign_that_holds_the_results(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(click.ClickException) as caught:
            run(tmp_path, Client(make_attack(make_result())))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    message = caught.value.format_message()
    assert message.startswith(f"{tmp_path}/a/clean.png: File too large; ")
    assert "`pixelprobe campaign export c1 --out FILE`" in message


def test_cancelled_attacks_are_not_called_finished(tmp_path: Path) -> None:
    attacks = [
        make_attack(make_result(outcome), n)
        for n, outcome in enumerate([Outcome.FAILURE] + [Outcome.CANCELLED] * 2)
    ]
    finished, _ = run(tmp_path, Client(*attacks, state=CampaignState.CANCELLED))
    interrupted = Finished(finished.campaign, finished.attacks, finished.records, interrupted=True)
    assert interrupted.exit_code == 130
    assert interrupted.problem == "interrupted: the campaign was cancelled; 1 attack had finished, 2 had not"
