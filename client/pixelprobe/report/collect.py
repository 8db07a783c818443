"""Reads campaigns from the server: specs, every finished attack, and the few images that are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.planned import PlanError
from pixelprobe.model import Campaign, Outcome, Target
from pixelprobe.report.material import Gallery, GalleryImage, Material, ReportedCampaign, Shot
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.reference import classes_by_name
from pixelprobe.report.rows import AttackRow, attack_row
from pixelprobe.results.records import result_of
from pixelprobe_services.common.errors import ServiceError

Key = tuple[str, str, str, int]
"""An untargeted attack: the image's digest, target, region and pixels."""


@dataclass
class _Attacks:
    """What is kept of finished attacks while they are read."""

    rows: list[AttackRow] = field(default_factory=list)
    full: list[AttackRow] = field(default_factory=list)
    """Those of campaigns without early stop."""
    names: dict[Key, str] = field(default_factory=dict)


def collect(
    client: PixelprobeClient,
    campaigns: Sequence[Campaign],
    *,
    targets: Sequence[str] = (),
    on_attack: Callable[[int], None] = lambda _: None,
) -> Material:
    """Read everything that a report on these campaigns needs.

    Args:
        client: where they are.
        campaigns: one or several, which are taken together.
        targets: leave all others out; by default none.
        on_attack: called with the number of attacks read so far.

    Raises:
        PlanError: the targets know different numbers of classes, or none of ``targets`` was attacked.
        ServiceError: the server does not know them.
    """
    reported = [ReportedCampaign(each, client.get_campaign_spec(each.name)) for each in campaigns]
    # The first attack of a kind counts. One without early stop went on after its success, so what it ends
    # with is not what the tables are about; its history is what Fig. 6 is about.
    reported.sort(key=lambda each: not each.spec.search.early_stop)
    attacked = list(dict.fromkeys(name for each in reported for name in each.spec.targets))
    unknown = [name for name in targets if name not in attacked]
    if unknown:
        raise PlanError(f"--target: {unknown[0]!r} was not attacked; {', '.join(attacked)} were")
    chosen = [name for name in attacked if name in targets or not targets]
    attacks = _Attacks()
    reported = [_read(client, each, chosen, attacks, on_attack) for each in reported]
    known = {target.name: target for target in client.list_targets() if target.name in chosen}
    evaluation = Evaluation(attacks.rows)
    classes, notes = count_classes(chosen, known, attacks.rows)
    return Material(
        campaigns=tuple(reported),
        evaluation=evaluation,
        fitness=Evaluation(attacks.full) if attacks.full else evaluation,
        classes=classes,
        labels={name: target.labels for name, target in known.items() if target.labels},
        gallery=_gallery(client, evaluation, attacks.names),
        weights={name: target.weights_sha256 for name, target in known.items() if target.weights_sha256},
        orchestrator_version=client.orchestrator_version(),
        notes=tuple(notes),
    )


def count_classes(
    targets: Sequence[str], known: Mapping[str, Target], rows: Iterable[AttackRow]
) -> tuple[int, list[str]]:
    """How many classes all targets know, and what to say about it.

    A target that is not available now is taken to know as many as the others, as its name says, or as attacks
    have named.

    Raises:
        PlanError: they know different numbers.
    """
    known_classes = {name: known[name].classes for name in targets if name in known and known[name].classes}
    notes = []
    named: dict[str, int] = {}
    for row in rows:
        if row.target not in known_classes:
            indices = [score.class_index for score in (*row.clean_top, *row.best_top)]
            indices += [index for index in (row.label, row.target_class) if index is not None]
            least = named.get(row.target) or classes_by_name(row.target)
            named[row.target] = max([least, *(index + 1 for index in indices)])
    most = max([*known_classes.values(), *named.values()], default=1)
    for name in named:
        known_classes[name] = most
        notes.append(f"{name} is not available now; it is taken to know {most} classes")
    if len(set(known_classes.values())) > 1:
        numbers = ", ".join(f"{name} {classes}" for name, classes in known_classes.items())
        raise PlanError(
            f"a report is about one set of classes, but there are {numbers}; choose with --target"
        )
    return most, notes


def _read(
    client: PixelprobeClient,
    reported: ReportedCampaign,
    targets: Sequence[str],
    attacks: _Attacks,
    on_attack: Callable[[int], None],
) -> ReportedCampaign:
    spec, cancelled = reported.spec, 0
    for attack in client.list_results(reported.campaign.name):
        cancelled += result_of(attack).outcome is Outcome.CANCELLED
        if attack.target not in targets:
            continue
        row = attack_row(attack, spec.images[attack.image_index], spec.search.generations)
        attacks.rows.append(row)
        if not spec.search.early_stop:
            attacks.full.append(row)
        if row.attacked and row.target_class is None:
            attacks.names.setdefault((row.image_digest, row.target, row.region, row.pixels), attack.name)
        on_attack(len(attacks.rows))
    return replace(reported, cancelled=cancelled)


def _gallery(client: PixelprobeClient, evaluation: Evaluation, names: Mapping[Key, str]) -> Gallery:
    choice = choose_images(evaluation)
    if choice is None:
        return Gallery(missing="No untargeted attack succeeded, so there is nothing to show.")
    rows = {
        (row.image_digest, row.target, row.region): row
        for row in evaluation.rows
        if row.target_class is None and row.pixels == choice.pixels
    }
    try:
        images = tuple(
            _image(client, digest, choice.pixels, choice.regions, evaluation.models, rows, names)
            for digest in choice.digests
        )
    except ServiceError as error:
        return Gallery(missing=f"The server did not hand out the images: {error}.")
    return Gallery(images, choice.pixels)


def _image(
    client: PixelprobeClient,
    digest: str,
    pixels: int,
    regions: Sequence[str],
    models: Sequence[str],
    rows: Mapping[tuple[str, str, str], AttackRow],
    names: Mapping[Key, str],
) -> GalleryImage:
    mask, shots = None, []
    name, label = digest[:12], None
    for model in models:
        for region in regions:
            row = rows.get((digest, model, region))
            if row is None:
                shots.append(Shot(model, region, pixels, None))
                continue
            name, label = row.image_name, row.label
            before = row.clean_top[0] if row.clean_top else None
            if not row.succeeded:
                shots.append(Shot(model, region, pixels, row.outcome, before))
                continue
            result = result_of(client.get_attack(names[(digest, model, region, pixels)]))
            mask = result.mask if mask is None else mask
            shots.append(Shot(model, region, pixels, row.outcome, before, row.best_top[0], result.edits))
    return GalleryImage(name, digest, label, client.get_image(digest), mask, tuple(shots))


GALLERY_IMAGES = 8
PAPER_REGIONS = ("foreground", "background")


@dataclass(frozen=True)
class Choice:
    """What to show.

    Attributes:
        pixels: of every attack shown.
        regions: of the columns.
        digests: of the images, the one that fell most often first.
    """

    pixels: int
    regions: Sequence[str]
    digests: Sequence[str]


def choose_images(evaluation: Evaluation, limit: int = GALLERY_IMAGES) -> Choice | None:
    """Images for the gallery; None where no untargeted attack succeeded.

    Attacks with the fewest pixels that ever succeeded are shown, in foreground and background as in Fig. 1,
    or in whatever region there is. Images that fell in more regions and for more models come first;
    a second image of a class comes after the first of every other. Depends on nothing but the attacks.
    """
    regions = [region for region in PAPER_REGIONS if region in evaluation.regions] or evaluation.regions[:1]
    for pixels in evaluation.pixel_counts:
        fallen: dict[str, list[AttackRow]] = {}
        for model in evaluation.models:
            for region in regions:
                for row in evaluation.untargeted(model, region, pixels):
                    if row.succeeded:
                        fallen.setdefault(row.image_digest, []).append(row)
        if fallen:
            return Choice(pixels, regions, _varied(fallen)[:limit])
    return None


def _varied(fallen: dict[str, list[AttackRow]]) -> list[str]:
    """Digests by how many regions and attacks fell; of one class each first, then the second of each, ..."""
    ranked = sorted(fallen, key=lambda digest: (*_rank(fallen[digest]), digest))
    seen: dict[int | None, int] = {}
    rounds = []
    for place, digest in enumerate(ranked):
        kind = fallen[digest][0].clean_class
        seen[kind] = seen.get(kind, 0) + 1
        rounds.append((seen[kind], place, digest))
    return [digest for _, _, digest in sorted(rounds)]


def _rank(rows: Sequence[AttackRow]) -> tuple[int, int]:
    return -len({row.region for row in rows}), -len(rows)
