"""Where GrabCut starts from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pixelprobe_services.segmentation.base import GrabCutOptions, Rectangle, Stroke
from pixelprobe_services.segmentation.seeding import UNDRAWN, draw, seeds


def test_automatic_seeds_are_those_of_the_findings() -> None:
    classes = seeds(128, 128, GrabCutOptions(), 4.0)
    shares = {kind: (classes == kind).mean() for kind in range(4)}
    edge = np.ones((128, 128), np.bool_)
    edge[4:-4, 4:-4] = False
    np.testing.assert_array_equal(classes == cv2.GC_BGD, edge)
    ellipse = np.pi * 0.42 * 0.36
    core = np.pi * 0.18 * 0.10
    assert abs(shares[cv2.GC_FGD] - core) < 0.005
    assert abs(shares[cv2.GC_PR_FGD] - (ellipse - core)) < 0.005
    assert classes[64, 64] == cv2.GC_FGD
    assert classes[10, 10] == cv2.GC_PR_BGD


def test_all_outside_a_rectangle_is_background() -> None:
    classes = seeds(128, 128, GrabCutOptions(rectangle=Rectangle(2, 4, 20, 30)), 4.0)
    outside = np.ones((128, 128), np.bool_)
    outside[16:120, 8:80] = False
    np.testing.assert_array_equal(classes == cv2.GC_BGD, outside)
    assert classes[68, 44] == cv2.GC_FGD
    assert classes[16, 8] == cv2.GC_PR_BGD


def test_a_rectangle_of_the_whole_image_leaves_its_corners_probably_background() -> None:
    classes = seeds(128, 128, GrabCutOptions(rectangle=Rectangle(0, 0, 32, 32)), 4.0)
    assert not (classes == cv2.GC_BGD).any()
    assert classes[0, 0] == cv2.GC_PR_BGD


def test_the_smallest_rectangle_survives_reduction() -> None:
    options = GrabCutOptions(rectangle=Rectangle(4095, 4095, 4096, 4096))
    classes = seeds(256, 256, options, 1 / 16)
    assert (classes != cv2.GC_BGD).sum() == 1


def test_a_persons_foreground_replaces_the_core_and_background_does_not() -> None:
    background = GrabCutOptions(strokes=(Stroke(False, ((2, 2),)),))
    foreground = GrabCutOptions(strokes=(Stroke(True, ((2, 2),)),))
    assert seeds(128, 128, background, 4.0)[64, 64] == cv2.GC_FGD
    assert seeds(128, 128, foreground, 4.0)[64, 64] == cv2.GC_PR_FGD


def test_strokes_override_border_and_rectangle() -> None:
    strokes = (Stroke(True, ((0, 0), (31, 0))), Stroke(False, ((16, 16),), width=3))
    classes = seeds(32, 32, GrabCutOptions(rectangle=Rectangle(8, 8, 24, 24), strokes=strokes), 1.0)
    assert (classes[0] == cv2.GC_FGD).all()
    assert classes[16, 16] == cv2.GC_BGD


def test_a_single_point_is_a_dot_and_a_line_covers_its_pixels() -> None:
    dot = draw((Stroke(True, ((5, 7),)),), 16, 16)
    assert np.argwhere(dot != UNDRAWN).tolist() == [[7, 5]]
    line = draw((Stroke(False, ((2, 3), (6, 3))),), 16, 16)
    assert np.argwhere(line == cv2.GC_BGD).tolist() == [[3, x] for x in range(2, 7)]


@pytest.mark.parametrize("width", [1, 3, 5, 9, 17, 63])
def test_width_is_a_diameter(width: int) -> None:
    drawn = draw((Stroke(True, ((50, 50),), width=width),), 101, 101) != UNDRAWN
    assert drawn[50].sum() == width
    assert drawn[:, 50].sum() == width
    line = draw((Stroke(True, ((20, 50), (80, 50)), width=width),), 101, 101) != UNDRAWN
    assert line[:, 50].sum() == width


def test_strokes_grow_with_the_working_image() -> None:
    drawn = draw((Stroke(True, ((5, 7),)),), 64, 64, scale=4.0) != UNDRAWN
    rows, columns = np.nonzero(drawn)
    assert (columns >= 20).all()
    assert (columns < 24 + 1).all()
    assert (rows >= 28).all()
    assert (rows < 32 + 1).all()
    assert drawn.sum() >= 9
