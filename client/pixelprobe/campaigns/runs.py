"""Runs: all campaigns of a spec, made from images and targets, started on the server and found again by name.

The campaigns of a run are called ``NAME@TAG/GROUP`` (``NAME@TAG`` where there is one group): NAME is the
spec's, TAG the first digits of a hash over everything that the campaigns ask for, images included. The hash
is also part of the request ids, so the server creates each campaign once, and running a spec again
continues it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.spec_file import ALL_CLASSES, UNTARGETED, AttackGroup, Spec, SpecError
from pixelprobe.convert import spec_digest
from pixelprobe.inputs.planned import PlanError, choose_class, choose_targets
from pixelprobe.inputs.sizing import describe_sizing
from pixelprobe.model import (
    Campaign,
    CampaignImage,
    CampaignSpec,
    CampaignState,
    Goal,
    InvalidSpecError,
    MaskSettings,
    Target,
)
from pixelprobe_services.common.errors import InvalidArgumentError, NotFoundError

TAG_DIGITS = 8
STOPPED = frozenset({CampaignState.PAUSED, CampaignState.CANCELLED})
"""States that only `resume` ends."""

_PREFIX = "campaigns/"


@dataclass(frozen=True)
class GroupCampaign:
    """A campaign of a run. ``request_id`` makes its creation repeatable."""

    group: AttackGroup
    spec: CampaignSpec
    request_id: str


@dataclass(frozen=True)
class Run:
    """All campaigns of a spec. ``label`` is ``NAME@TAG``."""

    label: str
    campaigns: tuple[GroupCampaign, ...]


@dataclass(frozen=True)
class Started:
    """A campaign of a run; ``how`` is ``created``, ``resumed``, or ``there`` if it existed and went on."""

    campaign: Campaign
    how: str


def targets_of(spec: Spec, known: Sequence[Target]) -> list[Target]:
    """Return all targets that the spec names, in order.

    Raises:
        PlanError: an unknown name, or targets whose images differ in size.
        TargetNotAvailableError: one of them is not available.
    """
    names = dict.fromkeys(name for group in spec.groups for name in group.targets)
    return choose_targets([*names], known)


def group_spec(
    spec: Spec, group: AttackGroup, images: Sequence[CampaignImage], targets: Sequence[Target]
) -> CampaignSpec:
    """Return the campaign of one group.

    Args:
        spec: the spec.
        group: one of its groups.
        images: all images that were picked, in order.
        targets: at least those of the group.

    Raises:
        PlanError: a goal is no class of a target, or targets number it differently.
        SpecError: the group has too many attacks.
    """
    where = f"{spec.path}: attacks.{group.name}" if group.name else str(spec.path)
    attacked = [target for target in targets if target.name in group.targets]
    try:
        return CampaignSpec(
            images=tuple(images[: group.count]),
            targets=group.targets,
            regions=group.regions,
            pixel_counts=group.pixels,
            goals=_goals(where, group, attacked),
            search=group.search,
            budget=group.budget,
            repeats=group.repeats,
            seed=spec.seed,
            masks=MaskSettings(spec.segmenter, accept_unreviewed=spec.accept_unreviewed),
            attack_misclassified=spec.attack_misclassified,
            image_preparation=describe_sizing(spec.data.resize, attacked[0].width, attacked[0].height),
        )
    except InvalidSpecError as error:
        raise SpecError(f"{where}: {error}") from error


def make_run(spec: Spec, images: Sequence[CampaignImage], targets: Sequence[Target]) -> Run:
    """Return the campaigns of a spec on uploaded images.

    Raises:
        PlanError: as :func:`group_spec`.
    """
    specs = [group_spec(spec, group, images, targets) for group in spec.groups]
    # How images were prepared is for people: the images themselves distinguish runs.
    asked = [spec_digest(replace(made, image_preparation="")) for made in specs]
    parts = [spec.name, *(f"{group.name} {each}" for group, each in zip(spec.groups, asked, strict=True))]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    label = f"{spec.name}@{digest[:TAG_DIGITS]}"
    campaigns = []
    for group, made in zip(spec.groups, specs, strict=True):
        display_name = f"{label}/{group.name}" if group.name else label
        request_id = f"{digest}/{group.name}"
        campaigns.append(GroupCampaign(group, replace(made, display_name=display_name), request_id))
    return Run(label, tuple(campaigns))


def start_run(client: PixelprobeClient, run: Run) -> list[Started]:
    """Create the campaigns of a run that do not exist yet, and resume those that have stopped.

    Raises:
        ServiceError: as :meth:`PixelprobeClient.create_campaign`; campaigns before the failing one run.
    """
    before = {campaign.name for campaign in client.list_campaigns(own=True)}
    started = []
    for wanted in run.campaigns:
        campaign = client.create_campaign(wanted.spec, wanted.request_id)
        how = "there" if campaign.name in before else "created"
        if campaign.state in STOPPED:
            campaign, how = client.resume_campaign(campaign.name), "resumed"
        started.append(Started(campaign, how))
    return started


def find_campaigns(client: PixelprobeClient, name: str) -> list[Campaign]:
    """Return the campaigns that a name stands for, the oldest first.

    A name is ``campaigns/ID`` or ``ID``, one campaign of any client; ``NAME@TAG``, a run;
    ``NAME@TAG/GROUP``, one of its campaigns; ``NAME`` or ``NAME/GROUP``, the same of the newest run of that
    name. Runs are the calling client's own, because display names of several clients may be equal.

    Raises:
        NotFoundError: there are none.
    """
    campaigns = _of_run(client, name)
    if campaigns:
        return campaigns
    try:
        return [client.get_campaign(name if name.startswith(_PREFIX) else f"{_PREFIX}{name}")]
    except (NotFoundError, InvalidArgumentError) as error:
        raise NotFoundError(
            f"you have no campaign or run called {name!r}; `pixelprobe campaign list` shows names, "
            "and another client's campaign goes by its id"
        ) from error


def run_label(campaign: Campaign) -> str:
    """Return ``NAME@TAG`` of the run that a campaign belongs to, or its whole name if it belongs to none."""
    label = campaign.display_name.partition("/")[0]
    return label if "@" in label else campaign.display_name


def _of_run(client: PixelprobeClient, name: str) -> list[Campaign]:
    label, _, group = name.partition("/")
    if not label or name.startswith(_PREFIX):
        return []
    found: list[Campaign] = []
    newest = ""
    for campaign in client.list_campaigns(own=True):  # newest first
        run, _, of_group = campaign.display_name.partition("/")
        if label not in (run, run.partition("@")[0]) or "@" not in run:
            continue
        newest = newest or run
        if run == newest and group in ("", of_group):
            found.append(campaign)
    return found[::-1]


def _goals(where: str, group: AttackGroup, targets: Sequence[Target]) -> tuple[Goal, ...]:
    goals: dict[Goal, None] = {}
    for goal in group.goals:
        if goal == UNTARGETED:
            goals[Goal()] = None
        elif goal == ALL_CLASSES:
            numbers = {target.classes for target in targets}
            if len(numbers) > 1:
                raise PlanError(
                    f"{where}.goals: the targets know different numbers of classes; attack them apart"
                )
            goals.update(dict.fromkeys(map(Goal, range(numbers.pop()))))
        else:
            goals[Goal(choose_class(goal, targets, f"{where}.goals"))] = None
    return tuple(goals)
