"""Flat records of attacks with fixed keys: what ``--json`` prints and results.json holds."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TypedDict

from pixelprobe.model import Attack, CampaignSpec, Held, Outcome, Result, Target
from pixelprobe_services.common.errors import ServiceError


class Record(TypedDict):
    """An attack; classes are indices, labels their names where known, None where there is nothing to say.

    ``adversarial_*`` and ``edits`` describe the best candidate, which met the goal only where ``outcome``
    is ``success``; ``adversarial_path`` is there for successes only. ``image_preparation`` says how images
    were brought to the target's size, as far as the campaign says.
    """

    image: str
    image_preparation: str
    target: str
    region: str
    pixels: int
    goal: str
    target_class: int | None
    target_label: str | None
    outcome: str
    reason: str
    clean_class: int | None
    clean_label: str | None
    clean_probability: float | None
    adversarial_class: int | None
    adversarial_label: str | None
    adversarial_probability: float | None
    edits: list[list[int]]
    queries_sent: int
    queries_skipped: int
    queries_repeated: int
    queries_answered: int | None
    queries_timed_out: int
    queries_rejected: int
    retries: int
    clean_held: str | None
    success_held: str | None
    generations: int
    seed: int
    adversarial_path: str | None
    mask_path: str | None
    mask_area_fraction: float | None


@dataclass(frozen=True)
class AttackFiles:
    """Paths of an attack's images; None for those that it has not."""

    adversarial: Path | None = None
    enlarged: Path | None = None
    mask: Path | None = None


def attack_record(
    attack: Attack, image: Path, target: Target, spec: CampaignSpec, files: AttackFiles
) -> Record:
    """The record of a finished attack of the campaign ``spec`` on the image ``image``."""
    result = result_of(attack)
    clean = result.clean_top[0] if result.clean_top else None
    best = result.best_top[0] if result.best_top else None
    return Record(
        image=str(image),
        image_preparation=spec.image_preparation,
        target=attack.target,
        region=attack.region.value,
        pixels=attack.pixels,
        goal="untargeted" if attack.target_class is None else "targeted",
        target_class=attack.target_class,
        target_label=None if attack.target_class is None else target.label(attack.target_class),
        outcome=result.outcome.value,
        reason=result.reason,
        clean_class=clean.class_index if clean else None,
        clean_label=target.label(clean.class_index) if clean else None,
        clean_probability=clean.probability if clean else None,
        adversarial_class=best.class_index if best else None,
        adversarial_label=target.label(best.class_index) if best else None,
        adversarial_probability=best.probability if best else None,
        edits=[list(astuple(edit)) for edit in result.edits],
        queries_sent=result.queries_sent,
        queries_skipped=result.queries_skipped,
        queries_repeated=result.queries_repeated,
        queries_answered=result.queries_answered,
        queries_timed_out=result.queries_timed_out,
        queries_rejected=result.queries_rejected,
        retries=result.retries,
        clean_held=_share(result.clean_held),
        success_held=_share(result.success_held),
        generations=result.generations,
        seed=spec.seed,
        adversarial_path=str(files.adversarial) if files.adversarial else None,
        mask_path=str(files.mask) if files.mask else None,
        mask_area_fraction=float(result.mask.mean()) if result.mask is not None else None,
    )


def _share(repeats: Held | None) -> str | None:
    """As ``2 of 3``; None where nothing was asked for again."""
    return None if repeats is None else f"{repeats.held} of {repeats.asked}"


def result_of(attack: Attack) -> Result:
    """A finished attack's result; ServiceError if the server sent none."""
    if attack.result is None:
        raise ServiceError(f"the server sent {attack.name} without its result", reason="MISSING_RESULT")
    return attack.result


def is_misread(attack: Attack, label: int | None) -> bool:
    """It was left out because the target takes the clean image for another class than ``label``."""
    result = result_of(attack)
    if result.outcome is not Outcome.NOT_APPLICABLE or label is None or not result.clean_top:
        return False
    return result.clean_top[0].class_index != label


def succeeded(attack: Attack) -> bool:
    """It met its goal."""
    return result_of(attack).outcome is Outcome.SUCCESS
