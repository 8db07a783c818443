"""Draw a campaign on one page: a row for each image, a column for each target and region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from pixelprobe.inputs.planned import PlannedImage
from pixelprobe.model import Attack, Outcome, Result, Target
from pixelprobe.results.captions import class_name, count, describe_class, percent
from pixelprobe.results.drawing import ARROW
from pixelprobe.results.gallery import Cell, clean_cell, contact_sheet, mask_cell, success_cell
from pixelprobe.results.records import is_misread, result_of, succeeded

LEGEND = (
    f"Red frame: fooled, by the attack with the fewest pixels and queries; rings: the changed pixels. "
    f"Grey: not fooled, or left out. a% {ARROW} b%: probability of the clean class before and after."
)


def campaign_sheet(
    title: str,
    images: Sequence[PlannedImage],
    attacks: Sequence[Attack],
    targets: Sequence[Target],
) -> Image.Image:
    """The contact sheet of a campaign's finished attacks.

    Args:
        title: the first line.
        images: what ``image_index`` counts in.
        attacks: the finished ones.
        targets: in the order of the columns.
    """
    by_name = {target.name: target for target in targets}
    regions = list(dict.fromkeys(attack.region for attack in attacks))
    groups: list[tuple[str, list[str]]] = [("image", ["clean", "mask"])]
    groups += [(target.name, [region.value for region in regions]) for target in targets]
    rows = []
    for index, planned in enumerate(images):
        own = [attack for attack in attacks if attack.image_index == index]
        row = [_clean(planned, targets, own), _mask(planned, own)]
        for target in targets:
            for region in regions:
                tried = [a for a in own if a.target == target.name and a.region is region]
                row.append(_best_cell(planned, tried, by_name))
        rows.append(row)
    wins = sum(succeeded(attack) for attack in attacks)
    subtitle = f"{count(len(images), 'image')}, {count(len(attacks), 'attack')}, "
    subtitle += count(wins, "success", "successes")
    return contact_sheet(title, subtitle, groups, rows, LEGEND)


def _clean(planned: PlannedImage, targets: Sequence[Target], attacks: Sequence[Attack]) -> Cell:
    """With its true class; where that is not known, with what the one target takes it for."""
    pixels, name = planned.image.pixels, planned.display_name
    if planned.label is not None:
        return clean_cell(pixels, class_name(targets[0], planned.label), name)
    seen = [top[0] for attack in attacks if (top := result_of(attack).clean_top)]
    return clean_cell(pixels, name, describe_class(targets[0], seen[0]) if seen and len(targets) == 1 else "")


def _mask(planned: PlannedImage, attacks: Sequence[Attack]) -> Cell:
    for attack in attacks:
        mask = result_of(attack).mask
        if mask is not None:
            return mask_cell(planned.image.pixels, mask)
    return Cell(None, "no mask")


def _best_cell(planned: PlannedImage, attacks: Sequence[Attack], targets: Mapping[str, Target]) -> Cell:
    if not attacks:
        return Cell(None)
    best = min(attacks, key=_rank)
    result, target = result_of(best), targets[best.target]
    change = _change(result)
    if result.outcome is Outcome.SUCCESS:
        detail = f"{change} · {best.pixels} px"
        headline = describe_class(target, result.best_top[0])
        return success_cell(planned.image.pixels, result.edits, headline, detail)
    if result.outcome in (Outcome.FAILURE, Outcome.BUDGET_EXHAUSTED):
        return Cell(None, "not fooled", change)
    if is_misread(best, planned.label):
        return Cell(None, "left out", f"misread as {class_name(target, result.clean_top[0].class_index)}")
    return Cell(None, result.outcome.value.replace("_", " "), result.reason)


def _rank(attack: Attack) -> tuple[int, int, float]:
    """Least is best: successes by pixels and queries, then failures by how near they came."""
    result = result_of(attack)
    if result.outcome is Outcome.SUCCESS:
        return 0, attack.pixels, result.queries_to_success
    if result.outcome in (Outcome.FAILURE, Outcome.BUDGET_EXHAUSTED):
        return 1, 0, min(result.fitness_by_generation, default=1.0)
    return 2, 0, 0.0


def _change(result: Result) -> str:
    """The clean class's probability before and after."""
    if not result.clean_top:
        return ""
    before = percent(result.clean_top[0].probability)
    if not result.best_probability_of_clean_top:
        return before
    return f"{before} {ARROW} {percent(result.best_probability_of_clean_top[0])}"
