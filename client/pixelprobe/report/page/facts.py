"""Where the numbers come from: campaigns, searches, models and versions, for readers and as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pixelprobe.convert import spec_digest
from pixelprobe.model import CampaignSpec, CampaignState, Goal, SearchSettings
from pixelprobe.report.material import Material, ModelFacts, ReportedCampaign
from pixelprobe.report.numbers import Numbers
from pixelprobe.report.reference import dataset_of
from pixelprobe.results.captions import count, describe_trouble

PACKAGES = ("pixelprobe", "numpy", "scipy", "statsmodels", "matplotlib", "jinja2", "pillow")
NOT_KNOWN = "not known: neither the server nor a file given with --accuracy or --provenance says it"

Facts = list[tuple[str, str]]
"""Names and what they are, for a list on the page."""


def versions(orchestrator: str) -> dict[str, str]:
    """Of the orchestrator that handed out the results, of this program, and of what computes its numbers."""
    found = {"orchestrator": orchestrator or "not known", "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def campaign_facts(reported: ReportedCampaign) -> Facts:
    """One campaign, for reading."""
    campaign, spec = reported.campaign, reported.spec
    return [
        ("name", campaign.name),
        ("state", campaign.state.value + (f": {campaign.state_reason}" if campaign.state_reason else "")),
        ("created", moment(campaign.create_time)),
        ("ended", moment(campaign.end_time)),
        ("attacks", f"{campaign.attacks_finished:,} of {campaign.attacks_total:,} finished"),
        ("queries sent", f"{campaign.queries_sent:,}, retries included"),
        (
            "queries answered",
            f"{campaign.queries_answered:,}"
            + (f"; {trouble}" if (trouble := describe_trouble(campaign)) else "; none timed out or rejected"),
        ),
        (
            "queries skipped",
            f"{campaign.queries_skipped:,} with no edit in the region: the clean image's scores",
        ),
        ("queries repeated", f"{campaign.queries_repeated:,} equal to an earlier one: answered from memory"),
        *spec_facts(spec),
    ]


def spec_facts(spec: CampaignSpec) -> Facts:
    """What was asked for, for reading."""
    search = spec.search
    labelled = sum(image.label is not None for image in spec.images)
    masked = sum(image.mask is not None for image in spec.images)
    goals = sum(goal.target_class is not None for goal in spec.goals)
    return [
        ("seed", str(spec.seed)),
        (
            "images",
            f"{len(spec.images):,}, {labelled:,} with their true class, {masked:,} with a mask of their own",
        ),
        ("images' size", spec.image_preparation or "not known"),
        ("targets", ", ".join(spec.targets)),
        ("regions", ", ".join(region.value for region in spec.regions)),
        ("pixels", ", ".join(map(str, spec.pixel_counts))),
        (
            "goals",
            " and ".join(
                ["untargeted"] * (Goal() in spec.goals)
                + [count(goals, "target class", "target classes")] * (goals > 0)
            ),
        ),
        (
            "search",
            f"{search.strategy.value}, {search.population:,} candidates, {search.generations:,} generations, "
            f"F from [{search.mutation_low:g}, {search.mutation_high:g}), CR {search.crossover_rate:g}, "
            f"{search.region_mode.value}, {'early stop' if search.early_stop else 'no early stop'}",
        ),
        ("budget", "none" if spec.budget is None else f"{spec.budget:,} queries an attack"),
        (
            "masks",
            f"{spec.masks.segmenter or 'the method that the service chooses'}; those that need review are "
            f"{'used' if spec.masks.accept_unreviewed else 'left out'}",
        ),
        (
            "misread images",
            "attacked" if spec.attack_misclassified else "left out, where the true class is known",
        ),
        ("spec's SHA-256", spec_digest(spec)),
    ]


def model_facts(material: Material) -> list[tuple[str, str, str]]:
    """(model, SHA-256, clean accuracy) of every model."""
    notes = []
    for model in material.evaluation.models:
        facts = material.models.get(model, ModelFacts())
        accuracy = facts.accuracy
        notes.append(
            (
                model,
                facts.sha256 or material.weights.get(model) or NOT_KNOWN,
                f"{100 * accuracy.correct / accuracy.total:.2f}% of {accuracy.total:,}"
                if accuracy
                else NOT_KNOWN,
            )
        )
    return notes


def added_facts(provenance: Mapping[str, Any]) -> Facts:
    """What the person who made the report adds, but for the models' hashes, which have their place."""
    return [
        (str(name), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in provenance.items()
        if name != "models"
    ]


def moment(time: datetime | None) -> str:
    """A time in UTC."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC" if time else "not known"


def as_json(material: Material, made: datetime) -> dict[str, Any]:
    """All of it for programs, every image's digest included."""
    return {
        "made": made.isoformat(),
        "versions": versions(material.orchestrator_version),
        "campaigns": [_campaign_json(each) for each in material.campaigns],
        "attacks": dict(Counter(row.outcome.value for row in material.evaluation.rows)),
        "attacks_repeated": material.evaluation.repeated,
        "classes": material.classes,
        "models": {model: asdict(facts) for model, facts in material.models.items()},
        "weights_sha256": dict(material.weights),
        "notes": list(material.notes),
        "added": dict(material.provenance),
    }


def _campaign_json(reported: ReportedCampaign) -> dict[str, Any]:
    campaign, spec = asdict(reported.campaign), reported.spec
    for name in ("create_time", "end_time"):
        campaign[name] = campaign[name].isoformat() if campaign[name] else None
    images = [
        {
            "digest": image.digest,
            "name": image.display_name,
            "label": image.label,
            "mask": image.mask is not None,
        }
        for image in spec.images
    ]
    described = {
        "targets": spec.targets,
        "regions": spec.regions,
        "pixel_counts": spec.pixel_counts,
        "goals": [goal.target_class for goal in spec.goals],
        "search": asdict(spec.search),
        "budget": spec.budget,
        "seed": spec.seed,
        "display_name": spec.display_name,
        "segmenter": spec.masks.segmenter,
        "accept_unreviewed": spec.masks.accept_unreviewed,
        "attack_misclassified": spec.attack_misclassified,
        "image_preparation": spec.image_preparation,
        "images": images,
    }
    return {**campaign, "spec_sha256": spec_digest(spec), "spec": described}


FEW_IMAGES = 100
"""Under so many images a rate's interval is wider than twenty points at its worst."""

_PAPER = SearchSettings()


def cautions(material: Material, numbers: Numbers) -> list[str]:
    """Everything to be careful about, the weightiest first; no two the same."""
    found: dict[str, None] = {}
    for campaign in material.campaigns:
        found.update(dict.fromkeys(_campaign(campaign)))
    for model in material.evaluation.models:
        facts = material.models.get(model)
        if facts and facts.note:
            found[f"{model}: {facts.note}."] = None
    found.update(dict.fromkeys(_images(numbers, dataset_of(material.classes).images)))
    found.update(dict.fromkeys(_searches(material.campaigns)))
    found.update(dict.fromkeys(_kept(material)))
    found.update(dict.fromkeys(f"{note[:1].upper()}{note[1:]}." for note in material.notes))
    return list(found)


def _campaign(reported: ReportedCampaign) -> Iterator[str]:
    campaign, spec = reported.campaign, reported.spec
    name = campaign.display_name or campaign.name
    if campaign.state is not CampaignState.SUCCEEDED:
        notes = f" ({campaign.state_reason})" if campaign.state_reason else ""
        yield (
            f"{name} is {campaign.state.value}{notes}: {campaign.attacks_finished - reported.cancelled:,} of "
            f"{campaign.attacks_total:,} attacks have finished, and only they are in here."
        )
    if spec.masks.accept_unreviewed:
        yield f"{name} used masks that a person should have looked at first."
    if spec.attack_misclassified:
        yield f"{name} also attacked images that the model gets wrong without any change."
    elif any(image.label is None for image in spec.images):
        yield (
            f"{name} has images without a true class, so images that the model gets wrong without any "
            "change cannot be distinguished from the others."
        )


def _images(numbers: Numbers, papers: int) -> Iterator[str]:
    sizes = [row.n for row in numbers.table_2 if row.metric == "untargeted1_success_percent" and row.n]
    if sizes and min(sizes) < FEW_IMAGES:
        notes = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
        yield f"Each rate is from few images ({notes}; the paper had {papers}): look at the intervals."


def _searches(campaigns: Sequence[ReportedCampaign]) -> Iterator[str]:
    for search in dict.fromkeys(reported.spec.search for reported in campaigns):
        names = ", ".join(_names(each for each in campaigns if each.spec.search == search))
        differs = [
            f"{count(search.population, 'candidate')} a generation (paper: {_PAPER.population})"
            if search.population != _PAPER.population
            else "",
            f"{count(search.generations, 'generation')} (paper: {_PAPER.generations})"
            if search.generations != _PAPER.generations
            else "",
            f"{search.strategy.value} (paper: {_PAPER.strategy.value})"
            if search.strategy is not _PAPER.strategy
            else "",
            "edits moved into the region (paper: undone outside it)"
            if search.region_mode is not _PAPER.region_mode
            else "",
        ]
        notes = [words for words in differs if words]
        if notes:
            yield f"{names} searched with {'; '.join(notes)}."
    budgets = {reported.spec.budget for reported in campaigns if reported.spec.budget is not None}
    if budgets:
        told_budgets = ", ".join(f"{budget:,}" for budget in sorted(budgets))
        yield f"Attacks were cut off after {told_budgets} queries each; the paper set no such limit."
    if len({reported.spec.seed for reported in campaigns}) > 1:
        yield "The campaigns have different seeds."


def _names(campaigns: Iterator[ReportedCampaign]) -> list[str]:
    return [each.campaign.display_name or each.campaign.name for each in campaigns]


def _kept(material: Material) -> Iterator[str]:
    full = {id(row) for row in material.fitness.rows}
    if any(not each.spec.search.early_stop for each in material.campaigns):
        late = sum(row.succeeded and id(row) in full for row in material.evaluation.rows)
        if late:
            yield (
                f"{count(late, 'success', 'successes')} searched on to the end; their confidences are of "
                "the best candidate found, not of the first that met the goal."
            )
    repeated = material.evaluation.repeated
    if repeated:
        yield f"{count(repeated, 'attack')} came up again in a later campaign; the first that ran counts."
