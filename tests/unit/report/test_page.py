"""The page as HTML: complete, equal to the tables, safe against names, and of use to screen readers."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from pixelprobe.model import CampaignImage, Outcome
from pixelprobe.report.material import Gallery, ModelFacts
from pixelprobe.report.page.tables import MEANINGS
from pixelprobe.report.rows import AttackRow
from pixelprobe.report.tables import TableRow
from tests.unit.report.made import made
from tests.unit.report.reports import (
    LITE,
    MODEL,
    Element,
    cells_of,
    gallery_image,
    material,
    numbers_of,
    page_of,
    photographs,
    read,
    reported,
    usual_material,
    usual_page,
)

SECTIONS = (
    "short", "success", "gallery", "table-2", "table-3", "regions", "size", "generations", "classes",
    "budget", "accuracy", "left-out", "provenance",
)  # fmt: skip
HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'{{ 7*7 }}$\\frac{&amp;"


@pytest.fixture(scope="module")
def page() -> Element:
    return read(usual_page())


def test_every_section_is_there_and_linked(page: Element) -> None:
    assert tuple(section.attributes["id"] for section in page.all("section")) == SECTIONS
    links = [a.attributes["href"] for a in page.one("nav").all("a")]
    assert links == [f"#{name}" for name in SECTIONS]
    for section in page.all("section"):
        assert section.all("table", "img") or section.all("p")


def test_what_is_empty_says_why(page: Element) -> None:
    reasons = [p.text for p in page.all("p") if p.attributes.get("class") == "empty"]
    assert [reason.partition(". ")[2] for reason in reasons] == [
        "Table III is about ImageNet's 1000 classes; these models know 10."
    ]


def test_a_report_without_attacks_says_so_in_every_section() -> None:
    page = read(page_of(material([], models={}, gallery=Gallery(missing="Nothing to show."))))
    without = {"short", "provenance"}
    for section in page.all("section"):
        if section.attributes["id"] not in without:
            assert "empty" in [e.attributes.get("class") for e in section.all("p")], section.attributes
            assert not section.all("table", "img")


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        *((MEANINGS[metric], "table_2") for metric in list(MEANINGS)[:5]),
        ("Table IV: mean generations to success, untargeted; the start population counts as one", "table_4"),
        ("Successes within 5 generations, untargeted, %", "soon"),
        ("How much less often a region falls than the whole image, %", "drops"),
        ("Images of a test set classified correctly, %", "table_1"),
    ],
)
def test_numbers_on_the_page_are_the_tables(page: Element, caption: str, name: str) -> None:
    rows: list[TableRow] = getattr(numbers_of(usual_material()), name)
    expected = {_place(row): row for row in rows if name != "table_2" or MEANINGS[row.metric] == caption}
    shown = _shown(page, caption)
    assert {place for place, row in expected.items() if row.ours is not None} <= {
        place for place, _, _ in shown
    }
    for place, whose, cell in shown:
        row = expected.get(place)
        value = None if row is None else row.ours if whose == "ours" else row.paper
        if row is None or value is None:
            assert cell.own_text == "–"
            continue
        # The paper's drops are rounded on the page.
        tolerance = 1e-7 if whose == "ours" else 0.0051
        assert float(cell.attributes["data-sort"]) == pytest.approx(value, abs=tolerance)
        digits = len(cell.own_text.partition(".")[2])
        assert cell.own_text == _written(value, digits)
        if whose == "ours":
            assert f"n {row.n:,}" in cell.text
            assert (
                row.low is None or f"{_written(row.low, digits)} to {_written(row.high, digits)}" in cell.text
            )
        else:
            told = {True: ["inside our interval"], False: ["outside our interval"], None: []}[row.inside]
            assert [e.text for e in cell.all("span") if e.attributes.get("class") == "unseen"] == told


def _written(value: float | None, digits: int) -> str:
    assert value is not None
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def _place(row: TableRow) -> tuple[str, str]:
    """What a line's heading says, and the region above the column."""
    model = row.model or "mean of the models"
    pixels = "" if row.pixels is None else "one pixel" if row.pixels == 1 else f"{row.pixels} pixels"
    words = [MEANINGS[row.metric], model] if row.table == "drop" else [model]
    return " ".join([*words, pixels]).strip(), row.region


def _shown(page: Element, caption: str) -> list[tuple[tuple[str, str], str, Element]]:
    """(place, whose number, cell) of every number in a table."""
    (table,) = (t for t in page.all("table") if t.all("caption")[0].text == caption)
    *groups, heads = table.one("thead").all("tr")
    kinds = [cell.text for cell in heads.all("th")]
    regions = [""] * len(kinds)
    if groups:
        regions = [
            cell.text for cell in groups[0].all("td", "th") for _ in range(int(cell.attributes["colspan"]))
        ]
    return [
        ((row[0].text, region), kind, cell)
        for row in cells_of(table)
        for cell, region, kind in list(zip(row, regions, kinds, strict=True))[1:]
    ]


def test_comparisons_and_what_was_left_out_are_the_tables(page: Element) -> None:
    numbers = numbers_of(usual_material())
    for comparison in numbers.comparisons:
        caption = (
            f"{comparison.first.capitalize()} against {comparison.second}: untargeted, the same images, "
        )
        (table,) = (t for t in page.all("table") if t.all("caption")[0].text.startswith(caption))
        (row,) = cells_of(table)
        told = [cell.attributes["data-sort"] for cell in row[1:]]
        assert [int(told[0]), *map(int, told[5:8])] == [
            comparison.n, comparison.both, comparison.only_first, comparison.only_second,
        ]  # fmt: skip
        assert float(told[8]) == pytest.approx(comparison.p_value)
    left_out = page.one("section", id="left-out").all("table")[0]
    assert sum(int(row[2].attributes["data-sort"]) for row in cells_of(left_out)) == sum(
        item.attacks for item in numbers.left_out
    )


def test_nothing_is_fetched_and_nothing_but_its_own_script_may_run(page: Element) -> None:
    for element in page.all():
        assert "style" not in element.attributes
        assert not [name for name in element.attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            address = element.attributes.get(name, "#")
            assert re.match(r"#|data:|(figures|tables)/[\w.-]+$|provenance\.json$", address), address
    (style,), (script,) = page.all("style"), page.all("script")
    assert "url(" not in style.text
    assert "@import" not in style.text
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    assert "default-src 'none'" in policy
    for element in (style, script):
        content = "".join(str(child) for child in element.children)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element.tag}-src 'sha256-{digest}'" in policy


def test_names_are_text_and_nothing_else() -> None:
    rows = [
        made("a", target=HOSTILE, image_name=HOSTILE, region=region)
        for region in ("whole", "foreground", "background")
    ]
    rows += [made("b", Outcome.ERROR, target=HOSTILE, image_name=HOSTILE, reason=HOSTILE)]
    hostile = material(
        rows,
        campaigns=(reported(HOSTILE, state_reason=HOSTILE, images=(CampaignImage("0" * 64, HOSTILE),)),),
        labels={HOSTILE: (HOSTILE,) * 10},
        models={HOSTILE: ModelFacts(sha256=HOSTILE, note=HOSTILE)},
        gallery=Gallery((gallery_image(HOSTILE, HOSTILE),)),
        provenance={HOSTILE: {HOSTILE: [HOSTILE]}},
        notes=(HOSTILE,),
    )
    page = read(page_of(hostile))
    assert len(page.all("script")) == 1
    assert all(image.attributes["src"].startswith("data:image/") for image in page.all("img"))
    assert not [e for e in page.all() if any(name.startswith("on") for name in e.attributes)]
    assert page.one("title").text == " ".join(f"{HOSTILE} – pixelprobe report".split())
    for place in ("gallery", "left-out", "provenance", "short", "table-2"):
        assert HOSTILE.split(maxsplit=1)[0] in page.one("section", id=place).text.replace("\u200b", "")
    assert "49" not in page.one("section", id="gallery").text


def test_it_can_be_read_without_eyes(page: Element) -> None:
    assert page.one("html").attributes["lang"] == "en"
    assert len(page.all("h1")) == 1
    levels = [int(heading.tag[1]) for heading in page.all("h1", "h2", "h3", "h4")]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for image in page.all("img"):
        assert len(image.attributes["alt"]) > 10
        assert int(image.attributes["width"]) > 0
    for table in page.all("table"):
        assert table.all("caption")[0].text
        assert all(th.attributes.get("scope") in ("col", "row", "colgroup") for th in table.all("th"))
        assert all(row[0].tag == "th" for row in cells_of(table))
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(ids) == len(set(ids))


def test_the_gallery_rings_changed_pixels_and_says_what_happened(page: Element) -> None:
    strip = page.one("article")
    original, fooled = strip.all("img")
    assert original.attributes["alt"] == "cat 24, unchanged, of class cat"
    assert fooled.attributes["alt"] == (
        "cat 24, changed in the foreground at column 3, row 2: vgg16_cifar10 says dog 50%, before cat 75%"
    )
    assert {(c.attributes["cx"], c.attributes["cy"]) for c in strip.all("circle")} == {("3.5", "2.5")}
    assert "not fooled" in strip.text


def test_provenance_tells_hashes_or_that_nobody_does(page: Element) -> None:
    assert "a" * 64 in page.one("section", id="provenance").text
    untold = read(page_of(material([made(target=MODEL)], models={})))
    assert "not known: neither the server nor a file" in untold.one("section", id="provenance").text


def test_the_same_material_makes_the_same_page() -> None:
    few = material([made(target=MODEL, region=region) for region in ("whole", "foreground")])
    assert page_of(few) == page_of(few)


def test_imagenet_models_have_table_3_and_no_maps() -> None:
    rows: list[AttackRow] = [made(image, target="alexnet_imagenet") for image in "abc"]
    page = read(page_of(replace(material(rows, models={}, labels={}), classes=1000)))
    (table,) = page.one("section", id="table-3").all("table")
    assert len(cells_of(table)) > 3
    assert "11.19" in table.text  # the paper's
    assert "other networks" not in page.one("main").text
    assert "1000 classes, too many to draw" in page.one("section", id="classes").text


def test_a_model_that_the_paper_lacks_is_shown_beside_its_networks_and_not_judged() -> None:
    page = read(page_of(photographs()))
    table, *_ = page.one("section", id="table-3").all("table")
    heads = [cell.text for cell in table.one("thead").all("tr")[1].all("th")]
    assert heads == ["Metric", *["ours", "other networks"] * 3]
    (first, *_) = cells_of(table)
    assert first[0].text == f"Images fooled, % {LITE} one pixel"
    assert [cell.text for cell in (first[2], first[6])] == [
        "AlexNet 11.19 ResNet-50 3.57 VGG-16 (I) 3.81",
        "AlexNet 6.90 ResNet-50 0.95 VGG-16 (I) 1.43",
    ]
    (soon, *_) = page.one("section", id="generations").all("table")
    assert "AlexNet 7.52 ResNet-50 1.20 VGG-16 (I) 9.50" in soon.text
    short = page.one("section", id="short").text
    assert "AlexNet, ResNet-50 and VGG-16 (I) it attacked other networks" in short
    assert "lie in our" not in short
    legend = 2
    assert len([e for e in page.all("span") if "mark" in e.attributes.get("class", "").split()]) == legend


def test_what_makes_no_sense_for_imagenet_says_so_briefly() -> None:
    page = read(page_of(photographs(), drawn=True))
    table_2 = page.one("section", id="table-2")
    assert not table_2.all("table")
    assert "Table III" in table_2.one("a", href="#table-3").text
    classes = page.one("section", id="classes")
    assert not classes.all("img", "h3")
    assert "1000 classes, too many to draw; the paper too has Fig. 3 to 5 for CIFAR-10 alone" in classes.text
    success, *_ = page.one("section", id="success").all("img")
    assert f"{LITE}, whole: " in success.attributes["alt"]


def test_photographs_are_shown_as_they_are_with_the_mask_and_long_names(page: Element) -> None:
    section = read(page_of(photographs())).one("section", id="gallery")
    assert section.one("h2").text == "Images as in Fig. 2"
    assert section.one("a").attributes["href"] == "figures/figure_2.png"
    assert "enlarged to a square" not in section.text
    strip = section.all("article")[0]
    assert strip.attributes["class"] == "strip photographs"
    original, foreground, background = strip.all("figure")
    assert [e.attributes["class"] for e in original.all("path")] == ["outline-under", "outline"]
    assert foreground.one("figcaption").text == (
        "foreground convertible with the top folded down, cabriolet 33% was sports car, sport car 31%"
    )
    assert {(c.attributes["cx"], c.attributes["cy"]) for c in background.all("circle")} == {("0.5", "223.5")}
    small = page.one("section", id="gallery")
    assert small.one("h2").text == "Images as in Fig. 1"
    assert small.all("article")[0].attributes["class"] == "strip"
    assert "enlarged to a square" in small.text


def test_classes_are_called_by_their_names(page: Element) -> None:
    maps = [image for image in page.all("img") if "original class" in image.attributes["alt"]]
    assert len(maps) == 8  # four regions, untargeted and targeted
    assert all(
        " to truck" in image.attributes["alt"] or "truck to " in image.attributes["alt"] for image in maps[:1]
    )
