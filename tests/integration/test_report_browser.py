"""The report in a real browser: nothing complains, nothing is fetched, everything is seen, at any width."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pixelprobe.report.write import write_report
from tests.browser import Page, browser_page
from tests.unit.report.reports import NOW, photographs, usual_material

CONTRAST = """
(() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const luminance = (text) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = channels(text).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const low = new Set();
  for (const element of document.body.querySelectorAll("*")) {
    const written = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!written || ["SCRIPT", "STYLE"].includes(element.tagName)) continue;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return [...low];
})()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(usual_material(), tmp_path_factory.mktemp("report"), NOW)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with browser_page(tmp_path) as opened:
        yield opened


async def test_it_is_whole_at_desktop_and_phone_width(page: Page, report: Path) -> None:
    for width in (1280, 390):
        await page.open(report.as_uri(), width)
        sizes = await page.run("[...document.images].map((i) => [i.complete, i.naturalWidth, i.clientWidth])")
        assert len(sizes) == 12 + 2  # charts, and the gallery's
        assert all(complete and natural > 0 and shown > 50 for complete, natural, shown in sizes)
        assert await page.run("document.documentElement.scrollWidth") <= width
        wide = await page.run(
            "[...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll') && "
            f"e.getBoundingClientRect().right > {width} && getComputedStyle(e).position !== 'absolute')"
            ".map((e) => e.outerHTML.slice(0, 80))"
        )
        assert wide == []
    images = await page.run("getComputedStyle(document.querySelector('.shot img')).imageRendering")
    assert images == "pixelated"
    assert page.complaints == []
    assert {url.partition(":")[0] for url in page.requests} == {"file", "data"}
    assert [url for url in page.requests if url.startswith("file")] == [report.as_uri()] * 2


async def test_photographs_are_shown_large_at_desktop_and_phone_width(
    page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    report = write_report(photographs(), tmp_path_factory.mktemp("photographs"), NOW)
    for width, least in ((1280, 224), (390, 150)):
        await page.open(report.as_uri(), width)
        shown = await page.run("[...document.querySelectorAll('.shot img')].map((i) => i.clientWidth)")
        assert len(shown) == 2 * 3
        assert all(least <= side <= 224 for side in shown)
        assert await page.run("document.documentElement.scrollWidth") <= width
        beyond = await page.run(
            "[...document.querySelectorAll('.frame figcaption span')]"
            ".filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.textContent)"
        )
        assert beyond == []  # long names of classes wrap
    images = await page.run("getComputedStyle(document.querySelector('.shot img')).imageRendering")
    assert images == "auto"
    assert page.complaints == []


async def test_headings_sort_and_tables_stand_without_script(page: Page, report: Path) -> None:
    await page.open(report.as_uri(), 1280)
    values = (
        "[...document.querySelectorAll('#left-out table.sortable')[0].tBodies[0].rows]"
        ".map((row) => Number(row.cells[2].dataset.sort))"
    )
    click = (
        "document.querySelectorAll('#left-out table.sortable')[0].querySelectorAll('th button')[2].click()"
    )
    before = await page.run(values)
    assert len(set(before)) > 1
    await page.run(click)
    assert await page.run(values) == sorted(before)
    await page.run(click)
    assert await page.run(values) == sorted(before, reverse=True)
    assert await page.run("document.querySelectorAll('th[aria-sort=descending]').length") == 1
    unknown_last = (
        "(() => { const t = [...document.querySelectorAll('#regions table.sortable')][0];"
        "t.querySelectorAll('th button')[2].click();"
        "return [...t.tBodies[0].rows].map((r) => r.cells[2].dataset.sort); })()"
    )
    told = await page.run(unknown_last)
    assert told == sorted(told, key=lambda value: (not value, float(value or 0)))

    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    await page.open(report.as_uri(), 390)
    assert await page.run("document.querySelectorAll('th button').length") == 0
    assert await page.run("document.querySelectorAll('main table td').length") > 100
    assert page.complaints == []


async def test_letters_can_be_told_from_their_ground(page: Page, report: Path) -> None:
    for scheme in ("light", "dark"):
        await page.call(
            "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        await page.open(report.as_uri(), 1280)
        assert await page.run(CONTRAST) == []


async def test_it_prints(page: Page, report: Path) -> None:
    await page.open(report.as_uri(), 1280)
    printed = base64.b64decode((await page.call("Page.printToPDF", preferCSSPageSize=True))["data"])
    assert printed.startswith(b"%PDF")
    assert 5 <= printed.count(b"/Type /Page\n") <= 30
