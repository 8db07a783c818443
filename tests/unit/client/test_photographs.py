"""The demo's photographs, and what is said when its two models are not served."""

from __future__ import annotations

from typing import cast

import pytest

from pixelprobe.api import PixelprobeClient
from pixelprobe.cli.demo import CLASSIFIER, IMAGENET, SEGMENTER, check_served
from pixelprobe.inputs.planned import TargetNotAvailableError
from pixelprobe.masks import Segmenter
from pixelprobe.model import Target
from pixelprobe.rpc import UnreachableError
from pixelprobe.samples import load_photographs

SERVED = Target(CLASSIFIER, True, "", 224, 224, 1000, (), True)
U2NET = Segmenter(SEGMENTER, "", True, "", False)


class Services:
    """A client that is told these targets and segmenters; None: no segmentation service answers."""

    def __init__(self, targets: list[Target], segmenters: list[Segmenter] | None) -> None:
        self.targets, self.segmenters = targets, segmenters

    def list_targets(self) -> list[Target]:
        return self.targets

    def list_segmenters(self) -> list[Segmenter]:
        if self.segmenters is None:
            raise UnreachableError("segmentation", "127.0.0.1:1")
        return self.segmenters


def check(targets: list[Target], segmenters: list[Segmenter] | None) -> None:
    check_served(cast(PixelprobeClient, Services(targets, segmenters)))


def test_photographs_are_small_free_and_in_the_targets_size() -> None:
    files = load_photographs()
    assert [path.stem for path in files] == ["cat", "coffee", "rocket"]
    assert sum(path.stat().st_size for path in files) < 300_000
    licences = (files[0].parent / "LICENSES.md").read_text()
    assert all(f"`{path.name}`" in licences for path in files)
    for planned in IMAGENET.images(SERVED):
        assert planned.image.pixels.shape == (224, 224, 3)


def test_served_models_pass() -> None:
    check([SERVED], [Segmenter("grabcut", "", True, "", True), U2NET])
    check([SERVED], None)  # it may be the orchestrator's alone


def test_a_classifier_that_is_unknown_or_away_is_named_with_the_remedy() -> None:
    remedy = (
        r"run `python -m pixelprobe_deploy\.modelzoo imagenet efficientnet_lite0_imagenet --missing`, then"
    )
    with pytest.raises(TargetNotAvailableError, match=rf"\(no such target\): {remedy}"):
        check([], [U2NET])
    away = Target(CLASSIFIER, False, "not loaded", 0, 0, 0, (), False)
    with pytest.raises(TargetNotAvailableError, match=rf"\(not loaded\): {remedy}"):
        check([away], [U2NET])


def test_u2net_that_is_away_is_named_with_the_remedy() -> None:
    away = Segmenter(SEGMENTER, "", False, "Triton does not answer", False)
    remedy = r"run `python -m pixelprobe_deploy\.modelzoo u2net --missing`, then `pixelprobe up`"
    with pytest.raises(
        TargetNotAvailableError, match=rf"u2net is not served \(Triton does not answer\): {remedy}"
    ):
        check([SERVED], [away])
