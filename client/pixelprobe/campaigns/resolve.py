"""From a spec, images and targets to what the server takes: one campaign for each group of attacks.

A run is all campaigns of one spec. Each is called ``NAME@TAG/GROUP`` (``NAME@TAG`` where there is one group):
NAME is the spec's, TAG the first digits of a hash over everything that the campaigns ask for, images
included. So the same spec on the same images names the same campaigns, and the server, which is told the
hash as request id, makes each only once: running a spec again takes it up where it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pixelprobe.campaigns.spec_values import ALL_CLASSES, UNTARGETED, AttackGroup, Spec, SpecError
from pixelprobe.convert import spec_digest
from pixelprobe.inputs.planned import PlanError, choose_class, choose_targets
from pixelprobe.inputs.sizing import describe_sizing
from pixelprobe.model import CampaignImage, CampaignSpec, Goal, InvalidSpecError, MaskSettings, Target

TAG_DIGITS = 8


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


def targets_of(spec: Spec, known: Sequence[Target]) -> list[Target]:
    """All targets that the spec names, in order.

    Raises:
        PlanError: an unknown name, or targets whose images differ in size.
        TargetNotAvailableError: one of them cannot be attacked now.
    """
    names = dict.fromkeys(name for group in spec.groups for name in group.targets)
    return choose_targets([*names], known)


def group_spec(
    spec: Spec, group: AttackGroup, images: Sequence[CampaignImage], targets: Sequence[Target]
) -> CampaignSpec:
    """The campaign of one group.

    Args:
        spec: the group's.
        group: one of its groups.
        images: all images that were picked, in order.
        targets: at least those of the group.

    Raises:
        PlanError: a goal is no class of a target, or targets number it differently.
        SpecError: the group stands for too many attacks.
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
    """The campaigns of a spec on uploaded images.

    Raises:
        PlanError: as :func:`group_spec`.
    """
    specs = [group_spec(spec, group, images, targets) for group in spec.groups]
    # How images were prepared is told to people; what tells runs apart is the images themselves.
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
