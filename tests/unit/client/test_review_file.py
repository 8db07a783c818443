"""The review file: what is written is what is read, and what is off names file and key."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelprobe.campaigns.spec_file import SpecError
from pixelprobe.cli.review_file import SIDE, Decision, Entry, Verdict, read_review, review_sheet, review_text
from pixelprobe.cli.segment_folder import Segmented, add_to_record, read_record
from pixelprobe.inputs.planned import PlanError
from pixelprobe.masks import GrabCutOptions, Rectangle, Stroke

GOOD = Segmented("/p/cat.png", "00", 40, 30, "u2net", "", 0.25, False, "")
ODD = replace(GOOD, needs_review=True, area_fraction=0.0, review_reason="no foreground\nwas found")
IMAGES = {"cat": GOOD, 'a "b".c\\d\x7fä𝄞': ODD}
IDS = dict.fromkeys(IMAGES, "1234")


def write(folder: Path, body: str, name: str = "cat") -> Path:
    path = folder / "review.toml"
    path.write_text(f'[images.{name}]\nmask = "1234"\n{body}\n')
    return path


def read(folder: Path, body: str) -> Decision:
    return read_review(write(folder, body), {"cat": GOOD})["cat"]


def test_what_is_written_is_read_and_only_what_is_odd_waits_for_a_person(tmp_path: Path) -> None:
    path = tmp_path / "review.toml"
    path.write_text(review_text(IMAGES, IDS, "review.png"), encoding="utf-8")
    decisions = read_review(path, IMAGES)
    assert list(decisions) == list(IMAGES)
    assert [each.verdict for each in decisions.values()] == [Verdict.ACCEPT, Verdict.UNDECIDED]
    assert {each.mask_id for each in decisions.values()} == {"1234"}
    assert "# 40 x 30 pixels, u2net, 0% foreground; to look at: no foreground was found\n" in path.read_text(
        encoding="utf-8"
    ).replace("0.0%", "0%")


def test_the_examples_in_the_header_can_be_used_as_they_stand(tmp_path: Path) -> None:
    header = review_text({}, {}, "review.png")
    lines = [line[1:].strip() for line in header.splitlines() if line.startswith("#       ")]
    assert set(tomllib.loads("\n".join(lines))) == {
        "rectangle",
        "foreground_strokes",
        "background_strokes",
        "stroke_width",
        "iterations",
    }


def test_everything_drawn_arrives(tmp_path: Path) -> None:
    decision = read(
        tmp_path,
        'verdict = "redo"\nrectangle = "0,0,40,30"\nforeground_strokes = ["1,2 39,29", "5,5"]\n'
        'background_strokes = ["0,0"]\nstroke_width = 3\niterations = 2',
    )
    strokes = (
        Stroke(True, ((1, 2), (39, 29)), 3),
        Stroke(True, ((5, 5),), 3),
        Stroke(False, ((0, 0),), 3),
    )
    hints = GrabCutOptions(Rectangle(0, 0, 40, 30), strokes, 2)
    assert decision == Decision(Verdict.REDO, "1234", hints)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "images.cat.verdict: missing; expected one of accept, reject, redo, undecided"),
        (
            'verdict = "good"',
            'images.cat.verdict: expected one of accept, reject, redo, undecided, got "good"',
        ),
        ('verdict = "redo"', "images.cat.verdict: expected a rectangle or strokes along with it"),
        ('verdict = "accept"\nrectangle = "0,0,4,4"', 'images.cat.verdict: expected "redo" where'),
        ('verdict = "redo"\nrectangle = "0,0,41,4"', "images.cat.rectangle: expected one inside 40 x 30"),
        ('verdict = "redo"\nrectangle = "4,0,4,4"', "images.cat.rectangle: expected L,T,R,B"),
        ('verdict = "redo"\nrectangle = [1, 2]', "images.cat.rectangle: expected L,T,R,B"),
        (
            'verdict = "redo"\nforeground_strokes = ["1,1", "1,30"]',
            "images.cat.foreground_strokes[1]: expected points inside 40 x 30 pixels",
        ),
        (
            'verdict = "redo"\nbackground_strokes = ["1;1"]',
            "images.cat.background_strokes[0]: expected X,Y",
        ),
        ('verdict = "redo"\nforeground_strokes = "1,1"', "images.cat.foreground_strokes: expected a list"),
        (
            'verdict = "redo"\niterations = 51',
            "images.cat.iterations: expected a whole number from 1 to 50",
        ),
        ('verdict = "redo"\nstroke_width = 0', "images.cat.stroke_width: expected a whole number from 1"),
        (
            'verdict = "accept"\nrectangel = "1"',
            "images.cat.rectangel: unknown key; did you mean rectangle?",
        ),
        ('verdict = "accept"\n[images.cta]', "images.cta: unknown key; did you mean cat?"),
        ('verdict = "accept"\n[extra]', "extra: unknown key"),
        ("verdict = accept", "is not TOML"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, body: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, body)
    assert str(caught.value).startswith(f"{tmp_path / 'review.toml'}: {told}")
    assert "\n" not in str(caught.value)


def test_a_image_without_a_verdict_is_missed(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"images\.dog\.verdict: missing"):
        read_review(write(tmp_path, 'verdict = "accept"'), {"cat": GOOD, "dog": GOOD})


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"review.toml: No such file"):
        read_review(tmp_path / "review.toml", {"cat": GOOD})
    (tmp_path / "review.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="not UTF-8"):
        read_review(tmp_path / "review.toml", {"cat": GOOD})


def test_the_record_grows_and_a_name_that_comes_again_is_replaced(tmp_path: Path) -> None:
    assert read_record(tmp_path) == {}
    add_to_record(tmp_path, {"cat": GOOD})
    add_to_record(tmp_path, {"dog": ODD, "cat": ODD})
    assert read_record(tmp_path) == {"cat": ODD, "dog": ODD}
    assert [path.name for path in tmp_path.iterdir()] == ["segment.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1, "images": {"a": {}}}', '{"version": 2}'])
def test_a_damaged_record_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "segment.json").write_text(text)
    with pytest.raises(PlanError, match=r"segment.json: .* segment the images again$"):
        read_record(tmp_path)


def test_the_sheet_shows_every_image_at_its_size_or_reduced() -> None:
    red = np.full((300, 600, 3), (250, 0, 0), np.uint8)
    small = np.full((32, 32, 3), (0, 0, 250), np.uint8)
    half = np.zeros((300, 600), np.bool_)
    half[:, :300] = True
    entries = [Entry(red, half, "red", "d"), Entry(small, None, "blue", "no", True)] + [
        Entry(small, np.ones((32, 32), np.bool_), f"{number}", "d") for number in range(5)
    ]
    sheet = review_sheet("title", "subtitle", entries)
    pixels = np.asarray(sheet)
    assert sheet.width > 3 * 2 * SIDE
    assert sheet.height > 3 * SIDE
    shown = (pixels == (250, 0, 0)).all(axis=2).sum()
    # The image whole, and half of it beside, but for the border.
    assert shown == pytest.approx(1.5 * SIDE * SIDE / 2, rel=0.02)
    blue = (pixels == (0, 0, 250)).all(axis=2).sum()
    assert blue == 11 * SIDE * SIDE
