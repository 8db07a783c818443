"""Reports made up for tests, and a reader of their page."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np

from pixelprobe.model import (
    Campaign,
    CampaignImage,
    CampaignSpec,
    CampaignState,
    ClassScore,
    Edit,
    Outcome,
    Region,
)
from pixelprobe.report.charts import Charts, draw_charts
from pixelprobe.report.material import Gallery, GalleryImage, Material, ModelFacts, ReportedCampaign, Shot
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.numbers import Numbers, work_out
from pixelprobe.report.page.build import build_page
from pixelprobe.report.reference import load_reference
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.tables import Accuracy
from tests.unit.report.campaigns import campaign

NOW = datetime(2026, 11, 22, 10, 47, 18, tzinfo=UTC)
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MODEL = "vgg16_cifar10"
LITE = "efficientnet_lite0_imagenet"
TURNED, CORNER = Edit(120, 90, 255, 0, 0), Edit(0, 223, 0, 255, 255)
VOID = {"meta", "link", "img", "br", "path", "circle"}


def reported(display_name: str = "table2@1a2b3c4d", **changes: object) -> ReportedCampaign:
    """A finished campaign with the paper's search."""
    spec = CampaignSpec(
        images=tuple(CampaignImage(f"{n:064x}", f"{n:06d}", n % 10) for n in range(60)),
        targets=(MODEL,),
        regions=tuple(Region),
        seed=7,
        display_name=display_name,
    )
    spec = replace(spec, **{name: changes.pop(name) for name in [*changes] if hasattr(spec, name)})  # type: ignore[arg-type]
    done = Campaign(
        "campaigns/4b03b1890272", display_name, CampaignState.SUCCEEDED, "", 60, 60, 1234567, 345, 6, NOW, NOW
    )
    return ReportedCampaign(replace(done, **changes), spec)  # type: ignore[arg-type]


def gallery_image(name: str = "cat 24", target: str = MODEL) -> GalleryImage:
    """One that fell in its foreground and not in its background."""
    pixels = np.full((8, 8, 3), 90, dtype=np.uint8)
    mask = np.zeros((8, 8), dtype=np.bool_)
    mask[2:5, 3:6] = True
    before, after = ClassScore(3, 0.75), ClassScore(5, 0.5)
    shots = (
        Shot(target, "foreground", 1, Outcome.SUCCESS, before, after, (Edit(3, 2, 255, 0, 0),)),
        Shot(target, "background", 1, Outcome.FAILURE, before),
    )
    return GalleryImage(name, "d" * 64, 3, pixels, mask, shots)


def material(rows: Iterable[AttackRow], **changes: object) -> Material:
    """A report on these attacks; ``changes`` replace what else it is made of."""
    evaluation = Evaluation(rows)
    made = Material(
        campaigns=(reported(),),
        evaluation=evaluation,
        fitness=evaluation,
        classes=10,
        labels=dict.fromkeys(evaluation.models, LABELS),
        gallery=Gallery((gallery_image(),)),
        models={MODEL: ModelFacts(Accuracy(8556, 10_000), "a" * 64)},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def numbers_of(of: Material) -> Numbers:
    accuracies = {name: facts.accuracy for name, facts in of.models.items() if facts.accuracy}
    return work_out(of.evaluation, load_reference(), accuracies, of.classes, of.fitness)


def page_of(of: Material, *, drawn: bool = False) -> str:
    """The page; without charts it takes no time."""
    numbers = numbers_of(of)
    charts = draw_charts(numbers, of.classes, of.labels) if drawn else Charts([], [], [], [], [], [])
    return build_page(of, numbers, charts, NOW)


@functools.cache
def usual_material() -> Material:
    """One model in four regions, with targeted attacks; enough for every section."""
    regions = ("whole", "foreground", "background", "control")
    rows = campaign(60, models=(MODEL,), regions=regions, pixel_counts=(1,), targeted=20, generations=12)
    return material(rows)


@functools.cache
def usual_page() -> str:
    return page_of(usual_material(), drawn=True)


def photograph(name: str = "n04285008_1", target: str = LITE) -> GalleryImage:
    """One of 224 x 224 that fell in its foreground and in its background, to classes with long names."""
    row, column = np.mgrid[:224, :224]
    pixels = np.stack([row, column, (row + column) // 2], axis=2).astype(np.uint8)
    mask = (row - 112) ** 2 + (column - 112) ** 2 < 70**2
    shots = (
        Shot(
            target, "foreground", 1, Outcome.SUCCESS, ClassScore(817, 0.31), ClassScore(511, 0.33), (TURNED,)
        ),
        Shot(
            target, "background", 1, Outcome.SUCCESS, ClassScore(817, 0.31), ClassScore(717, 0.3), (CORNER,)
        ),
    )
    return GalleryImage(name, "e" * 64, 817, pixels, mask, shots)


@functools.cache
def photographs() -> Material:
    """Attacks on an ImageNet network that the paper lacks."""
    regions = ("whole", "foreground", "background")
    rows = campaign(40, models=(LITE,), regions=regions, pixel_counts=(1,), generations=8)
    labels = [f"class {index}" for index in range(1000)]
    labels[817], labels[511] = "sports car, sport car", "convertible with the top folded down, cabriolet"
    labels[717] = "pickup, pickup truck, a light open lorry with low sides"
    return material(
        rows,
        classes=1000,
        labels={LITE: tuple(labels)},
        gallery=Gallery((photograph(),) * 2),
        models={},
        campaigns=(reported("photographs", targets=(LITE,)),),
    )


class Element:
    """A tag with its attributes, text and children."""

    def __init__(self, tag: str, attributes: dict[str, str], parent: Element | None) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.children: list[Element | str] = []

    @property
    def text(self) -> str:
        """All text inside, as a reader sees it."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())

    @property
    def own_text(self) -> str:
        return " ".join("".join(child for child in self.children if isinstance(child, str)).split())

    def all(self, *tags: str) -> list[Element]:
        """Those of these tags inside, in order; of every tag where none is given."""
        found: list[Element] = []
        for child in self.children:
            if isinstance(child, Element):
                found += [child] if not tags or child.tag in tags else []
                found += child.all(*tags)
        return found

    def one(self, tag: str, **attributes: str) -> Element:
        """The only one of this tag with these attributes."""
        (found,) = (e for e in self.all(tag) if attributes.items() <= e.attributes.items())
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.open = Element("", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.open)
        self.open.children.append(element)
        if tag not in VOID:
            self.open = element

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.tag == tag, f"</{tag}> closes <{self.open.tag}>"
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.children.append(data)


def read(page: str) -> Element:
    """The page's elements; fails where tags do not match."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open is reader.root
    return reader.root


def cells_of(table: Element) -> list[list[Element]]:
    """The cells of a table's body, row by row."""
    return [row.all("th", "td") for row in table.one("tbody").all("tr")]
