"""``pixelprobe demo``: a small real campaign on shipped pictures, from nothing to a contact sheet."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from client.addresses import ORCHESTRATOR_VARIABLE
from client.api import PixelprobeClient
from client.cli.attack_options import LARGEST_SEED
from client.cli.connecting import open_client
from client.cli.local_stack import local_stack
from client.cli.options import make_folder, orchestrator_option, output_options
from client.cli.run import RESULTS_FILE, Finished, attack_pictures
from client.cli.shell import SectionedCommand, interrupt_on_terminate, sectioned
from client.cli.tables import make_console, reason_lines, summary_table
from client.model import CampaignSpec, Region, SearchOptions
from client.pictures import load_picture, save_png
from client.plan import PlannedPicture, choose_targets, fit_to_target
from client.report.captions import count
from client.report.records import is_misread
from client.report.sheet import campaign_sheet
from client.samples import load_samples

TARGETS = ("allconv_cifar10", "nin_cifar10", "vgg16_cifar10")
PIXELS = (1, 3)
# 216 attacks: at most 86,400 queries, two to three minutes on two cores.
SEARCH = SearchOptions(population=100, generations=3)
BUDGET = 400
CONTACT_SHEET = "contact_sheet.png"


@click.command(cls=SectionedCommand)
@sectioned("Search")(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=0,
    metavar="S",
    show_default=True,
    help="Same seed, same results.",
)
@sectioned("Search")(
    "--budget",
    type=click.IntRange(min=1),
    default=BUDGET,
    metavar="N",
    show_default=True,
    help="Most queries an attack may send; there are 216 attacks.",
)
@output_options("out/demo", "the contact sheet, PNGs and results.json")
@orchestrator_option()
@click.pass_context
def demo(
    ctx: click.Context, seed: int, budget: int, out: Path, as_json: bool, orchestrator: str | None
) -> None:
    """Attack a dozen pictures on three classifiers; takes a few minutes.

    One- and three-pixel attacks on twelve CIFAR-10 test pictures, in the whole picture, the foreground and
    the background, with a small budget of queries each. Uses the local stack where it runs; else starts it,
    and stops it afterwards.
    """
    messages = make_console(stderr=True)
    interrupt_on_terminate()
    make_folder(out)
    elsewhere = orchestrator or os.environ.get(ORCHESTRATOR_VARIABLE)
    with (
        contextlib.nullcontext() if elsewhere else local_stack(),
        open_client(orchestrator=orchestrator) as client,
    ):
        finished, seconds = _attack(client, seed, budget, out, messages)
    if as_json:
        click.echo(json.dumps(finished.records, indent=2))
    else:
        _show(finished, seconds, out, make_console())
    if finished.problem:
        messages.print(f"Error: {escape(finished.problem)}")
    ctx.exit(finished.exit_code)


def _attack(
    client: PixelprobeClient, seed: int, budget: int, out: Path, messages: Console
) -> tuple[Finished, float]:
    """Run the campaign and write everything; also returns its seconds."""
    targets = choose_targets(TARGETS, client.list_targets())
    pictures: Sequence[PlannedPicture] = [
        fit_to_target(PlannedPicture(load_picture(sample.path), sample.label), targets[0], resize=False)
        for sample in load_samples()
    ]
    spec = CampaignSpec(
        images=(),
        targets=TARGETS,
        regions=(Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND),
        pixel_counts=PIXELS,
        search=SEARCH,
        budget=budget,
        seed=seed,
        display_name="pixelprobe demo",
    )
    start = time.monotonic()
    finished = attack_pictures(client, pictures, targets, spec, out, messages)
    seconds = time.monotonic() - start
    if finished.attacks:
        title = "pixelprobe demo: a few changed pixels against three classifiers"
        save_png(out / CONTACT_SHEET, campaign_sheet(title, pictures, finished.attacks, targets))
    return finished, seconds


def _show(finished: Finished, seconds: float, out: Path, console: Console) -> None:
    if finished.attacks:
        queries = finished.campaign.queries_sent
        console.print(summary_table(finished.attacks))
        console.print()
        labels = [sample.label for sample in load_samples()]
        others = [a for a in finished.attacks if not is_misread(a, labels[a.image_index])]
        misread = len(finished.attacks) - len(others)
        if misread:
            told = count(misread, "attack")
            console.print(f"{told} left out: the classifier misreads the picture before any change")
        for line in reason_lines(others):
            console.print(escape(line), style="dim")
        console.print(f"{queries:,} queries in {seconds:,.0f} s ({queries / seconds:,.0f}/s)")
        console.print(f"Look at {escape(str(out / CONTACT_SHEET))}")
    console.print(f"Pictures and {RESULTS_FILE} are in {escape(str(out))}")
