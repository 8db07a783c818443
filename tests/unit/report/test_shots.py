from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
from PIL import Image

from pixelprobe.model import ClassScore, Edit, Outcome
from pixelprobe.report.material import Gallery, Shot
from pixelprobe.report.page.shots import gallery_strips, outline, png_uri, rings
from pixelprobe.report.write import gallery_sheet
from tests.unit.report.made import made
from tests.unit.report.reports import MODEL, gallery_image, material


def test_an_outline_goes_around_the_foreground() -> None:
    mask = np.zeros((3, 4), dtype=np.bool_)
    mask[1, 2] = True
    steps = set(re.findall(r"M\d+ \d+[hv]1", outline(mask)))
    assert steps == {"M2 1h1", "M2 2h1", "M2 1v1", "M3 1v1"}


def test_an_outline_runs_along_the_images_edge_too() -> None:
    assert len(re.findall(r"M", outline(np.ones((2, 3), dtype=np.bool_)))) == 2 * (2 + 3)


def test_images_keep_their_pixels() -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    kind, _, content = png_uri(pixels).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert np.array_equal(np.array(image), pixels)


def test_rings_are_around_the_pixels_middle_and_grow_with_the_image() -> None:
    (small,), (large,) = rings([Edit(3, 2, 0, 0, 0)], 32, 32), rings([Edit(3, 2, 0, 0, 0)], 224, 224)
    assert (small.x, small.y) == (3.5, 2.5)
    assert 0.8 < small.radius < 2
    assert large.radius > 5


def test_what_did_not_fall_says_how_it_ended() -> None:
    shots = tuple(
        Shot(MODEL, "foreground", 1, outcome) for outcome in (None, *Outcome) if outcome != Outcome.SUCCESS
    )
    (strip,) = gallery_strips(material([], gallery=Gallery((replace(gallery_image(), shots=shots),))))
    told = [frame.captions[0] for frame in strip.groups[0].frames]
    assert told == ["not attacked", "not fooled", "left out", "not fooled", "cancelled", "error"]


def test_two_successes_are_compared() -> None:
    fooled = gallery_image().shots[0]
    both = [replace(fooled, after=ClassScore(index, 0.5)) for index in (5, 5, 7)]
    for shots, remark in ((both[:1], ""), (both[:2], "the same class"), (both[1:], "different classes")):
        of = material([], gallery=Gallery((replace(gallery_image(), shots=tuple(shots)),)))
        assert gallery_strips(of)[0].groups[0].remark == remark


def test_the_sheet_has_a_row_a_image() -> None:
    one = material([made()], gallery=Gallery((gallery_image(),)))
    two = material(
        [made()], gallery=Gallery((gallery_image(), replace(gallery_image(), mask=None, label=None)))
    )
    assert gallery_sheet(two).height > gallery_sheet(one).height
