"""``pixelprobe attack``: search for few-pixel changes that fool a served classifier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from pixelprobe.cli.attack_images import RESULTS_FILE, Finished, attack_images
from pixelprobe.cli.attack_options import TARGETED, UNTARGETED, image_options, search_options, what_options
from pixelprobe.cli.connecting import open_client
from pixelprobe.cli.console import make_console, safe
from pixelprobe.cli.options import PATH, make_folder, orchestrator_option, output_options
from pixelprobe.cli.shell import SectionedCommand, interrupt_on_terminate
from pixelprobe.cli.tables import attack_table, reason_lines, summary_table
from pixelprobe.inputs.planned import (
    PlanError,
    PlannedImage,
    choose_class,
    choose_targets,
    fit_to_target,
    load_images,
    per_image,
)
from pixelprobe.inputs.sizing import Sizing, describe_sizing
from pixelprobe.model import (
    CampaignSpec,
    Goal,
    MaskSettings,
    Region,
    RegionMode,
    SearchSettings,
    Strategy,
    Target,
)

_NAME_CHARACTERS = 60
"""Most of an image's and a target's name in the name of a campaign."""


@click.command(cls=SectionedCommand)
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE...")
@what_options
@image_options
@search_options
@output_options("out/attack", "PNGs and results.json")
@orchestrator_option(takes_images=True)
@click.pass_context
def attack(
    ctx: click.Context,
    images: tuple[Path, ...],
    target_names: tuple[str, ...],
    regions: tuple[str, ...],
    pixels: tuple[int, ...],
    goal: str | None,
    target_classes: tuple[str, ...],
    labels: tuple[str, ...],
    attack_misclassified: bool,
    masks: tuple[Path, ...],
    accept_masks: bool,
    resize: bool,
    resize_how: str | None,
    budget: int | None,
    repeats: int | None,
    generations: int,
    population: int,
    seed: int,
    search: str,
    region_mode: str,
    no_early_stop: bool,
    out: Path,
    as_json: bool,
    orchestrator: str | None,
) -> None:
    """Search for few-pixel changes that make a classifier err.

    Every IMAGE is attacked on every --target, in every --region, with every number of --pixels and for
    every goal. The table and --json describe the best candidate found, which met the goal only where the
    outcome is success.

    A folder for each image takes clean.png, mask.png, mask_overlay.png and, for each success, the
    adversarial image and an enlarged one with the changed pixels ringed.

    Exit code: 0 when all attacks came to an end, successful or not; 1 when one ended in an error; 2 when
    the command line or a file is wrong; 130 after Ctrl-C, which cancels what is left.
    """
    _check_goal(goal, target_classes)
    planned = load_images(images, masks)
    per_image(labels, len(images), "--label")
    messages = make_console(stderr=True)
    interrupt_on_terminate()
    with open_client(orchestrator=orchestrator) as client:
        targets = choose_targets(target_names, client.list_targets())
        how = Sizing(resize_how) if resize_how else Sizing.CROP if resize else None
        planned = _prepare(planned, labels, targets, how)
        spec = CampaignSpec(
            images=(),
            targets=tuple(target.name for target in targets),
            regions=tuple(dict.fromkeys(Region(region) for region in regions)),
            pixel_counts=tuple(dict.fromkeys(pixels)),
            goals=_goals(target_classes, targets),
            search=SearchSettings(
                strategy=Strategy.of(search),
                population=population,
                generations=generations,
                region_mode=RegionMode(region_mode),
                early_stop=not no_early_stop,
            ),
            budget=budget,
            repeats=repeats,
            seed=seed,
            display_name=_campaign_name(planned, targets),
            masks=MaskSettings(accept_unreviewed=accept_masks),
            attack_misclassified=attack_misclassified,
            image_preparation=describe_sizing(how, targets[0].width, targets[0].height),
        )
        make_folder(out)
        finished = attack_images(client, planned, targets, spec, out, messages)
    if as_json:
        click.echo(json.dumps(finished.records, indent=2))
    else:
        _show(finished, planned, targets, out, make_console())
    if finished.problem:
        messages.print(f"Error: {safe(finished.problem)}")
    ctx.exit(finished.exit_code)


def _campaign_name(planned: Sequence[PlannedImage], targets: Sequence[Target]) -> str:
    """Name the campaign after its first image and target, for `campaign list`."""
    image, target = planned[0].display_name[:_NAME_CHARACTERS], targets[0].name[:_NAME_CHARACTERS]
    more_images = f" and {len(planned) - 1} more" if len(planned) > 1 else ""
    more_targets = f" and {len(targets) - 1} more" if len(targets) > 1 else ""
    return f"attack: {image}{more_images} on {target}{more_targets}"


def _check_goal(goal: str | None, target_classes: Sequence[str]) -> None:
    if goal == UNTARGETED and target_classes:
        raise PlanError("--goal untargeted and --target-class exclude each other")
    if goal == TARGETED and not target_classes:
        raise PlanError("--goal targeted needs --target-class")


def _goals(target_classes: Sequence[str], targets: Sequence[Target]) -> tuple[Goal, ...]:
    if not target_classes:
        return (Goal(),)
    classes = dict.fromkeys(choose_class(text, targets, "--target-class") for text in target_classes)
    return tuple(map(Goal, classes))


def _prepare(
    planned: Sequence[PlannedImage], labels: Sequence[str], targets: Sequence[Target], how: Sizing | None
) -> list[PlannedImage]:
    """The images in the targets' size, with their true classes."""
    classes = [choose_class(text, targets, "--label") for text in labels]
    return [
        fit_to_target(
            replace(item, label=label),
            targets[0],
            resize=how is not None,
            how=how or Sizing.CROP,
        )
        for item, label in zip(planned, per_image(classes, len(planned), "--label"), strict=True)
    ]


def _show(
    finished: Finished,
    planned: Sequence[PlannedImage],
    targets: Sequence[Target],
    out: Path,
    console: Console,
) -> None:
    names = [item.display_name for item in planned]
    if finished.attacks:
        console.print(attack_table(finished.attacks, names, {target.name: target for target in targets}))
    for line in reason_lines(finished.attacks):
        console.print(f"  {safe(line)}", style="dim")
    if len(finished.attacks) > 1:
        console.print()
        console.print(summary_table(finished.attacks, by_target=len(targets) > 1))
    console.print(f"\nImages and {RESULTS_FILE} are in {safe(str(out))}")
