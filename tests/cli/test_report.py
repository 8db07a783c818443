"""``pixelprobe report`` on the real stack: from a campaign to a page, and what bad input gets."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.images import load_image
from pixelprobe.model import CampaignImage, CampaignSpec, Region, SearchSettings
from pixelprobe_services.common.errors import NotFoundError
from tests.cli.conftest import CAT, DOG, Cli, assert_one_line_error
from tests.unit.report.reports import read


@pytest.fixture(scope="module")
def campaign(local_stack: dict[str, Any]) -> str:
    """The name of a small finished campaign."""
    addresses = Addresses(local_stack["orchestrator"]["grpc"], local_stack["segmentation"]["grpc"])
    with PixelprobeClient(addresses) as client:
        images = [load_image(path).pixels for path in (CAT, DOG)]
        digests = client.upload_images(images)
        assert [np.array_equal(client.get_image(d), p) for d, p in zip(digests, images, strict=True)] == [
            True
        ] * 2
        with pytest.raises(NotFoundError):
            client.get_image("0" * 64)
        spec = CampaignSpec(
            images=tuple(
                CampaignImage(digest, name) for digest, name in zip(digests, ("a cat", "a dog"), strict=True)
            ),
            targets=("allconv_cifar10",),
            regions=tuple(Region),
            pixel_counts=(1, 5),
            search=SearchSettings(population=20, generations=2),
            display_name="two <b>images</b>",
        )
        name = client.create_campaign(spec).name
        for _ in client.watch_campaign(name):
            pass
    return name


def test_a_campaign_becomes_a_page_with_tables_and_figures(cli: Cli, campaign: str) -> None:
    accuracy = cli.cwd / "accuracy.json"
    accuracy.write_text(json.dumps({"allconv_cifar10": {"correct": 8556, "total": 10000}}))
    told = cli.json("report", campaign, "--out", "r", "--accuracy", accuracy)
    assert told == {"page": "r/report.html", "campaigns": [campaign], "attacks": 16}
    page = read((cli.cwd / "r" / "report.html").read_text(encoding="utf-8"))
    assert page.one("h1").text == "two <b>images</b>".replace("/", "/\u200b")
    assert "85.6" in page.one("section", id="accuracy").text
    assert "20 candidates a generation (paper: 400)" in page.one("section", id="short").text
    assert campaign in page.one("section", id="provenance").text
    provenance = json.loads((cli.cwd / "r" / "provenance.json").read_text())
    assert provenance["campaigns"][0]["queries_sent"] > 16
    assert (cli.cwd / "r" / "figures" / "success_1px.svg").exists()
    assert (cli.cwd / "r" / "tables" / "table_2.csv").read_text().count("allconv_cifar10") == 4 * 2 * 5


def test_without_json_it_says_what_to_open(cli: Cli, campaign: str) -> None:
    done = cli(
        "report", campaign.removeprefix("campaigns/"), campaign, "--out", "r", "--target", "allconv_cifar10"
    )
    assert (done.returncode, done.stdout) == (0, "Open r/report.html\n")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nobody",), 2, "you have no campaign or run called 'nobody'"),
        (("CAMPAIGN", "--target", "net"), 2, "--target: 'net' was not attacked; allconv_cifar10 were"),
        (("CAMPAIGN", "--accuracy", "gone.json"), 2, "gone.json: No such file"),
        (("CAMPAIGN", "--provenance", __file__), 2, "test_report.py: not JSON"),
        (("CAMPAIGN", "--out", __file__), 2, "is not a folder"),
    ],
)
def test_bad_input_gets_one_line(
    quick: Cli, campaign: str, arguments: tuple[str, ...], code: int, told: str
) -> None:
    done = quick("report", *(campaign if argument == "CAMPAIGN" else argument for argument in arguments))
    assert_one_line_error(done, code, told)


def test_without_a_server_it_says_how_to_start_one(offline: Cli) -> None:
    assert_one_line_error(offline("report", "campaigns/a"), 1, "start the local stack with `pixelprobe up`")


def test_other_commands_never_load_what_only_reports_need(offline: Cli) -> None:
    heavy = {"matplotlib", "statsmodels", "jinja2"}
    code = f"import sys, pixelprobe.cli.root; print({heavy} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=offline.environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
