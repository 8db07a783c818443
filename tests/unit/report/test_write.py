from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from pixelprobe.report.material import Gallery
from pixelprobe.report.write import write_report
from tests.unit.report.made import failed, made
from tests.unit.report.reports import MODEL, NOW, material, photographs, read, reported


def test_everything_that_the_page_links_to_is_there(tmp_path: Path) -> None:
    rows = [made("a", target=MODEL), failed("b", target=MODEL)]
    out = tmp_path / "new" / "report"
    page = write_report(material(rows), out, NOW)
    assert page == out / "report.html"
    links = {a.attributes["href"] for a in read(page.read_text(encoding="utf-8")).all("a")}
    files = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    linked = {link for link in links if not link.startswith("#")}
    assert linked <= files
    assert {Path(file).suffix for file in files if file.startswith("figures/")} == {".png", ".svg"}
    assert len([file for file in files if file.startswith("tables/")]) == 13
    assert not re.search(r"https?://", "".join(sorted(linked)))


def test_photographs_have_their_sheet_under_their_figures_number(tmp_path: Path) -> None:
    page = write_report(photographs(), tmp_path, NOW)
    links = {a.attributes["href"] for a in read(page.read_text(encoding="utf-8")).all("a")}
    assert "figures/figure_2.png" in links
    assert [file.name for file in (tmp_path / "figures").glob("figure_[12].png")] == ["figure_2.png"]
    with Image.open(tmp_path / "figures" / "figure_2.png") as sheet:
        # Original, mask and two regions side by side, two images below each other, none made smaller.
        assert sheet.width >= 4 * 224
        assert sheet.height >= 2 * 224


def test_provenance_holds_the_spec_and_every_image(tmp_path: Path) -> None:
    of = material([made(target=MODEL)], provenance={"operator": "me"}, campaigns=(reported(seed=9),))
    write_report(of, tmp_path, NOW)
    told = json.loads((tmp_path / "provenance.json").read_text())
    (campaign,) = told["campaigns"]
    assert (campaign["queries_sent"], campaign["state"], campaign["create_time"]) == (
        1234567,
        "succeeded",
        "2026-11-22T10:47:18+00:00",
    )
    assert campaign["spec"]["seed"] == 9
    assert campaign["spec"]["search"]["population"] == 400
    assert [image["digest"] for image in campaign["spec"]["images"]] == [f"{n:064x}" for n in range(60)]
    assert len(campaign["spec_sha256"]) == 64
    assert told["attacks"] == {"success": 1}
    assert told["models"][MODEL]["sha256"] == "a" * 64
    assert told["added"] == {"operator": "me"}
    assert told["versions"]["matplotlib"]


def test_an_earlier_report_is_overwritten(tmp_path: Path) -> None:
    write_report(material([made(target=MODEL)]), tmp_path, NOW)
    page = write_report(
        material([failed(target=MODEL)], gallery=Gallery(missing="None fell.")), tmp_path, NOW
    )
    assert "None fell." in page.read_text(encoding="utf-8")
    assert not list(tmp_path.rglob("*.partial"))


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_report(material([]), tmp_path / "file", NOW)
