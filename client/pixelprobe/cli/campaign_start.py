"""Prepare the campaigns of a spec: read and upload its images, or count for a plan what it would send."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from pixelprobe.addresses import ORCHESTRATOR, NoStackError
from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.cost import Cost, campaign_cost, typical
from pixelprobe.campaigns.images import Pick, load_entries
from pixelprobe.campaigns.rate import PROBE_IMAGES, measure_rate
from pixelprobe.campaigns.runs import Run, group_spec, make_run, targets_of
from pixelprobe.campaigns.spec_file import AttackGroup, DataKind, Spec
from pixelprobe.cli.console import safe
from pixelprobe.inputs.datasets import cifar10, imagenet
from pixelprobe.inputs.datasets.imagenet_classes import imagenet_classes
from pixelprobe.model import CampaignImage, CampaignSpec, Target
from pixelprobe.results.captions import count
from pixelprobe.rpc import UnreachableError

LISTED = 5
"""Most unreadable images that are named."""


@dataclass(frozen=True)
class Plan:
    """The campaigns that a spec stands for, and their cost.

    Attributes:
        images: that would be attacked.
        groups: each group with its campaign, whose images have no digests yet, and its cost.
        rate: queries a second.
        rate_origin: where that number comes from, in words.
    """

    images: int
    groups: tuple[tuple[AttackGroup, CampaignSpec, Cost], ...]
    rate: float
    rate_origin: str

    @property
    def cost(self) -> Cost:
        """Of all groups."""
        return sum((cost for _, _, cost in self.groups), Cost(0, 0, 0))


def prepare_run(client: PixelprobeClient, spec: Spec, folder: Path | None, messages: Console) -> Run:
    """Check a spec against data and targets, and upload its images; no campaign is created yet.

    Raises:
        PlanError, TargetNotAvailableError: the spec, the data or the targets are not as they should be.
        ServiceError: the upload failed.
    """
    entries = load_entries(spec, folder, lambda line: messages.print(safe(line), style="yellow"))
    targets = targets_of(spec, client.list_targets())
    pick = Pick(spec, entries, targets)
    known: list[tuple[str, int | None]] = []

    def pixels() -> Iterator[NDArray[np.uint8]]:
        for picked in pick:
            known.append((picked.name, picked.label))
            yield picked.pixels

    digests = client.upload_images(pixels())
    _print_left_out(pick, messages)
    images = [
        CampaignImage(digest, name, label) for digest, (name, label) in zip(digests, known, strict=True)
    ]
    return make_run(spec, images, targets)


def make_plan(
    client: PixelprobeClient | None,
    spec: Spec,
    folder: Path | None,
    messages: Console,
    *,
    rate: float | None = None,
    measure: int | None = None,
) -> Plan:
    """Check a spec as :func:`prepare_run` does and count its attacks and queries; nothing is started.

    Args:
        client: lists the targets; without one, or where no server answers, they are assumed.
        spec: to plan.
        folder: of the data, instead of the spec's.
        messages: the console for notes.
        rate: queries a second; None assumes or measures it.
        measure: most queries to send in order to measure the rate; None sends none.

    Raises:
        PlanError, TargetNotAvailableError: the spec, the data or the targets are not as they should be.
        ServiceError: the server failed, or does not answer and the data set's classes are not known here.
    """
    entries = load_entries(spec, folder, lambda line: messages.print(safe(line), style="yellow"))
    known, problem = _known_targets(client, spec)
    targets = targets_of(spec, known)
    if problem:
        messages.print(f"{problem}: targets are not checked.", style="yellow")
    pick = Pick(spec, entries, targets)
    picked = iter(pick)
    first = list(islice(picked, PROBE_IMAGES))
    number = len(first) + sum(1 for _ in picked)
    _print_left_out(pick, messages)
    images = [CampaignImage("")] * number
    groups = []
    for group in spec.groups:
        made = group_spec(spec, group, images, targets)
        groups.append((group, made, campaign_cost(made, typical(targets[0]))))
    if rate is not None:
        origin = "given"
    elif measure and client and not problem:
        rate, origin = _measured(client, [image.pixels for image in first], targets, measure)
    else:
        rate, origin = typical(targets[0]).rate, "assumed; --measure N measures it, --rate gives it"
    return Plan(number, tuple(groups), rate, origin)


def _known_targets(client: PixelprobeClient | None, spec: Spec) -> tuple[list[Target], str]:
    """The orchestrator's targets, or assumed ones and why."""
    if client is None:
        if spec.data.kind is DataKind.FOLDER:
            raise NoStackError(ORCHESTRATOR)
        return _assumed_targets(spec), "No local stack is running, and no orchestrator was named"
    try:
        return client.list_targets(), ""
    except UnreachableError:
        if spec.data.kind is DataKind.FOLDER:
            raise
        return _assumed_targets(spec), "The orchestrator does not answer"


def _measured(
    client: PixelprobeClient, images: Sequence[NDArray[np.uint8]], targets: Sequence[Target], most: int
) -> tuple[float, str]:
    rate = measure_rate(client, images, targets, most)
    if rate is None:
        return typical(targets[0]).rate, "assumed, as there were too few answers; --rate gives it"
    return rate, "measured just now"


def _assumed_targets(spec: Spec) -> list[Target]:
    """Targets for the spec's data set, of the names in the spec."""
    side, classes = cifar10.SIDE, [*cifar10.CLASSES]
    if spec.data.kind is DataKind.IMAGENET:
        side, classes = imagenet.SIDE, [known.name for known in imagenet_classes()]
    names = dict.fromkeys(name for group in spec.groups for name in group.targets)
    return [Target(name, True, "", side, side, len(classes), tuple(classes), True) for name in names]


def _print_left_out(pick: Pick, messages: Console) -> None:
    if pick.unreadable:
        verb = "is" if len(pick.unreadable) == 1 else "are"
        messages.print(
            f"{count(len(pick.unreadable), 'image')} cannot be read and {verb} left out:", style="yellow"
        )
        for line in pick.unreadable[:LISTED]:
            messages.print(f"  {safe(line)}", style="dim")
        if len(pick.unreadable) > LISTED:
            messages.print(f"  and {len(pick.unreadable) - LISTED} more", style="dim")
    if pick.duplicates:
        names = ", ".join(pick.duplicates[:LISTED]) + (", ..." if len(pick.duplicates) > LISTED else "")
        messages.print(
            f"{count(len(pick.duplicates), 'image')} left out as copies of others: {safe(names)}",
            style="yellow",
        )
