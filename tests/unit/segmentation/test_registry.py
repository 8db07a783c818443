"""Which segmenter runs."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from pixelprobe_services.common.errors import FailedPreconditionError, InvalidArgumentError
from pixelprobe_services.segmentation.base import (
    Cut,
    GrabCutOptions,
    Options,
    Pixels,
    SalientOptions,
    Segmenter,
)
from pixelprobe_services.segmentation.grabcut import GrabCut
from pixelprobe_services.segmentation.registry import Registry, UnconfiguredSalient

SMALL = np.zeros((64, 64, 3), np.uint8)
LARGE = np.zeros((64, 65, 3), np.uint8)


class Salient(Segmenter):
    """U2-Net, working."""

    id = "u2net"
    description = "d"
    interactive = False
    options = SalientOptions

    def unavailable_reason(self) -> str:
        return ""

    def segment(self, image: Pixels, options: Options | None, stop: threading.Event) -> Cut:
        return Cut(np.zeros(image.shape[:2], np.bool_))


WITHOUT = Registry([GrabCut(), UnconfiguredSalient()])
WITH = Registry([GrabCut(), Salient()])


@pytest.mark.parametrize("name", ["", "auto"])
@pytest.mark.parametrize(
    ("registry", "image", "options", "expected"),
    [
        (WITHOUT, SMALL, None, "grabcut"),
        (WITHOUT, LARGE, None, "grabcut"),
        (WITH, SMALL, None, "grabcut"),
        (WITH, LARGE, None, "u2net"),
        (WITH, LARGE, GrabCutOptions(), "grabcut"),
        (WITH, SMALL, SalientOptions(), "u2net"),
    ],
)
def test_auto_goes_by_options_then_by_size_and_availability(
    name: str, registry: Registry, image: Pixels, options: Options | None, expected: str
) -> None:
    assert registry.choose(name, image, options).segmenter.id == expected


@pytest.mark.parametrize(
    ("registry", "image", "options", "told"),
    [
        (WITH, SMALL, None, "auto: at most 64 pixels a side"),
        (WITH, LARGE, None, "auto: more than 64 pixels a side"),
        (WITHOUT, LARGE, None, "auto: u2net is not available: no Triton address is configured for U2-Net"),
        (WITH, LARGE, GrabCutOptions(), "auto: the options given are its own"),
    ],
)
def test_auto_says_why(registry: Registry, image: Pixels, options: Options | None, told: str) -> None:
    assert registry.choose("", image, options).reason == told
    assert registry.choose("grabcut", image, None).reason == ""


@pytest.mark.parametrize(("name", "image"), [("grabcut", LARGE), ("u2net", SMALL)])
def test_a_name_is_followed_whatever_the_size(name: str, image: Pixels) -> None:
    assert WITH.choose(name, image, None).segmenter.id == name


def test_an_unknown_name_is_refused_with_what_there_is() -> None:
    with pytest.raises(InvalidArgumentError, match="'sam' is none of auto, grabcut, u2net") as caught:
        WITH.choose("sam", SMALL, None)
    assert caught.value.field == "segmenter"


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [("grabcut", SalientOptions(), "salient"), ("u2net", GrabCutOptions(), "grabcut")],
)
def test_options_of_another_segmenter_are_refused(name: str, options: Options, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        WITH.choose(name, SMALL, options)
    assert caught.value.field == field


@pytest.mark.parametrize(("name", "options"), [("u2net", None), ("auto", SalientOptions())])
def test_what_cannot_run_says_why(name: str, options: Options | None) -> None:
    with pytest.raises(FailedPreconditionError, match="no Triton address") as caught:
        WITHOUT.choose(name, LARGE, options)
    assert caught.value.reason == "SEGMENTER_UNAVAILABLE"


def test_asked_directly_it_refuses_as_well() -> None:
    with pytest.raises(FailedPreconditionError, match="no Triton address"):
        UnconfiguredSalient().segment(SMALL, None, threading.Event())


def test_the_list_tells_what_can_be_used() -> None:
    listed = {each.id: each for each in WITHOUT.list()}
    assert list(listed) == ["auto", "grabcut", "u2net"]
    assert listed["grabcut"].interactive
    assert not listed["u2net"].interactive
    assert [bool(each.unavailable_reason) for each in listed.values()] == [False, False, True]
