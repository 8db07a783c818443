"""Which images the gallery shows: those that fell most often, of as many different classes as there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.rows import AttackRow

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
