"""What readers must know before they believe a number: all that makes it less than it seems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pixelprobe.model import CampaignState, SearchOptions
from pixelprobe.report.dataset import dataset_of
from pixelprobe.report.material import Material, ReportedCampaign
from pixelprobe.report.numbers import Numbers
from pixelprobe.results.captions import count

FEW_IMAGES = 100
"""Under so many images a rate's interval is wider than twenty points at its worst."""

_PAPER = SearchOptions()


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
        told = f" ({campaign.state_reason})" if campaign.state_reason else ""
        yield (
            f"{name} is {campaign.state.value}{told}: {campaign.attacks_finished - reported.cancelled:,} of "
            f"{campaign.attacks_total:,} attacks have finished, and only they are in here."
        )
    if spec.accept_unreviewed:
        yield f"{name} used masks that a person should have looked at first."
    if spec.attack_misclassified:
        yield f"{name} also attacked images that the model gets wrong without any change."
    elif any(image.label is None for image in spec.images):
        yield (
            f"{name} has images without a true class, so images that the model gets wrong without any "
            "change cannot be told from the others."
        )


def _images(numbers: Numbers, papers: int) -> Iterator[str]:
    sizes = [row.n for row in numbers.table_2 if row.metric == "untargeted1_success_percent" and row.n]
    if sizes and min(sizes) < FEW_IMAGES:
        told = f"{min(sizes):,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
        yield f"Each rate is from few images ({told}; the paper had {papers}): look at the intervals."


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
        told = [words for words in differs if words]
        if told:
            yield f"{names} searched with {'; '.join(told)}."
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
