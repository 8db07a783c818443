"""Run a campaign on images and write its results to disk, for ``attack`` and ``demo``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.follow import CampaignRun, run_campaign
from pixelprobe.cli.console import safe
from pixelprobe.cli.progress import CampaignProgress
from pixelprobe.cli.shell import EXIT_FAILED, EXIT_INTERRUPTED
from pixelprobe.inputs.planned import PlannedImage, with_images
from pixelprobe.model import Attack, Campaign, CampaignSpec, CampaignState, Outcome, Target
from pixelprobe.results.captions import count
from pixelprobe.results.files import write_images
from pixelprobe.results.records import AttackFiles, Record, attack_record, result_of
from pixelprobe_services.common.files import write_text

RESULTS_FILE = "results.json"


@dataclass(frozen=True)
class Finished:
    """A campaign's results, written to disk.

    Attributes:
        campaign: its last state.
        attacks: the finished attacks, in the spec's order.
        records: theirs, in the same order.
        interrupted: Ctrl-C cancelled it.
    """

    campaign: Campaign
    attacks: tuple[Attack, ...]
    records: list[Record]
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 when every attack came to its end, be it success or failure."""
        if self.interrupted:
            return EXIT_INTERRUPTED
        errors = any(result_of(attack).outcome is Outcome.ERROR for attack in self.attacks)
        return EXIT_FAILED if errors or self.campaign.state is not CampaignState.SUCCEEDED else 0

    @property
    def problem(self) -> str:
        """The reason for an exit code other than 0, in words; empty for 0."""
        if self.interrupted:
            cancelled = sum(result_of(attack).outcome is Outcome.CANCELLED for attack in self.attacks)
            finished = count(len(self.attacks) - cancelled, "attack")
            return f"interrupted: the campaign was cancelled; {finished} had finished, {cancelled} had not"
        if self.campaign.state is not CampaignState.SUCCEEDED:
            reason = self.campaign.state_reason
            return f"the campaign is {self.campaign.state.value}" + (f": {reason}" if reason else "")
        errors = sum(result_of(attack).outcome is Outcome.ERROR for attack in self.attacks)
        return f"{errors} of {len(self.attacks)} attacks ended in an error" if errors else ""


def attack_images(
    client: PixelprobeClient,
    images: Sequence[PlannedImage],
    targets: Sequence[Target],
    spec: CampaignSpec,
    out: Path,
    messages: Console,
) -> Finished:
    """Upload the images, run the campaign with live progress, and write PNGs and results.json.

    Args:
        client: where to.
        images: in the targets' size.
        targets: those of the spec.
        spec: all but its images.
        out: an existing folder.
        messages: the console for progress and notes.

    Raises:
        ServiceError: the campaign could not be started or followed.
        click.ClickException: a file cannot be written; the campaign that holds the results is named.
    """
    for planned in images:
        for note in planned.image.notes:
            messages.print(f"{safe(str(planned.image.path))}: {safe(note)}", style="dim")
    for line in dict.fromkeys(note for planned in images for note in planned.mask_notes):
        messages.print(safe(line), style="dim")
    for line in dict.fromkeys(warning for planned in images for warning in planned.mask_warnings):
        messages.print(safe(line), style="yellow")
    digests = client.upload_images([planned.image.pixels for planned in images])
    spec = with_images(spec, images, digests)

    by_name = {target.name: target for target in targets}
    with CampaignProgress(spec, messages, by_name) as progress:
        run = run_campaign(client, spec, progress, lambda: messages.print("Cancelling ...", style="yellow"))

    with _results_kept(run.campaign.name):
        files, stale = write_images(out, images, run.attacks, by_name)
        records = _records(images, run, by_name, spec, files)
        write_text(out / RESULTS_FILE, json.dumps(records, indent=2) + "\n")
    if stale:
        messages.print(
            f"{count(stale, 'image')} of an earlier run removed from {safe(str(out))}", style="dim"
        )
    return Finished(run.campaign, run.attacks, records, run.interrupted)


@contextlib.contextmanager
def _results_kept(campaign: str) -> Iterator[None]:
    """Say of a file that cannot be written which campaign still holds the results."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        name = campaign.removeprefix("campaigns/")
        raise click.ClickException(
            f"{where}{error.strerror or error}; the orchestrator still holds the results: "
            f"`pixelprobe campaign export {name} --out FILE` writes them, images come with "
            f"`pixelprobe report {name}`"
        ) from error


def _records(
    images: Sequence[PlannedImage],
    run: CampaignRun,
    by_name: Mapping[str, Target],
    spec: CampaignSpec,
    files: Sequence[AttackFiles],
) -> list[Record]:
    return [
        attack_record(
            attack,
            image=images[attack.image_index].image.path,
            target=by_name[attack.target],
            spec=spec,
            files=written,
        )
        for attack, written in zip(run.attacks, files, strict=True)
    ]
