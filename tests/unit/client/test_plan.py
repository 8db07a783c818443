"""Mistakes that are found before anything is sent, each told in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelprobe.inputs.datasets.imagenet_classes import imagenet_classes
from pixelprobe.inputs.images import ImageError, InputImage, save_png
from pixelprobe.inputs.planned import (
    PlanError,
    PlannedImage,
    TargetNotAvailableError,
    check_sides,
    choose_class,
    choose_targets,
    fit_to_target,
    load_images,
    per_image,
    with_images,
)
from pixelprobe.inputs.sizing import Sizing, resize_image, resize_mask
from pixelprobe.model import Target
from tests.unit.client.values import OTHER, SPEC, TARGET

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def planned(pixels: np.ndarray = PIXELS, mask: np.ndarray | None = None) -> PlannedImage:
    return PlannedImage(InputImage(Path("a.png"), pixels), mask=mask)


def test_items_are_none_one_for_all_or_one_each() -> None:
    assert per_image([], 3, "--mask") == [None, None, None]
    assert per_image([7], 3, "--mask") == [7, 7, 7]
    assert per_image([1, 2, 3], 3, "--mask") == [1, 2, 3]
    with pytest.raises(PlanError, match="--mask: given 2 times for 3 images; once for all, or once each"):
        per_image([1, 2], 3, "--mask")


def test_a_mask_must_have_its_images_size(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", PIXELS)
    save_png(tmp_path / "m.png", np.ones((8, 6), dtype=np.bool_))
    with pytest.raises(PlanError, match=r"m\.png: the mask is 6 x 8 pixels, but .*a\.png is 8 x 6"):
        load_images([tmp_path / "a.png"], [tmp_path / "m.png"])


def test_images_come_with_their_masks(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", PIXELS)
    save_png(tmp_path / "b.png", PIXELS[::-1])
    save_png(tmp_path / "m.png", PIXELS[:, :, 0] > 99)
    loaded = load_images([tmp_path / "a.png", tmp_path / "b.png"], [tmp_path / "m.png"])
    assert [item.display_name for item in loaded] == ["a", "b"]
    for item in loaded:
        assert item.mask is not None
        np.testing.assert_array_equal(item.mask, PIXELS[:, :, 0] > 99)


def test_targets_are_found_once_each_in_the_order_asked() -> None:
    found = choose_targets(["other", "net", "other"], [TARGET, OTHER])
    assert [target.name for target in found] == ["other", "net"]


def test_an_unknown_target_is_told_with_the_known_ones() -> None:
    with pytest.raises(PlanError, match="unknown target 'nett'; known targets: net, other"):
        choose_targets(["nett"], [OTHER, TARGET])
    with pytest.raises(PlanError, match="known targets: none"):
        choose_targets(["nett"], [])


def test_a_target_that_is_down_is_told_with_the_reason() -> None:
    down = Target("net", False, "connection refused", 0, 0, 0, (), False)
    with pytest.raises(TargetNotAvailableError, match="net is not available: connection refused"):
        choose_targets(["net"], [down])


def test_targets_of_different_sizes_are_refused() -> None:
    with pytest.raises(PlanError, match="net takes 8 x 6 pixels and big 224 x 224; attack them separately"):
        choose_targets(["net", "big"], [TARGET, Target("big", True, "", 224, 224, 1000, (), False)])


@pytest.mark.parametrize(("text", "index"), [("0", 0), ("2", 2), ("dog", 1), ("FROG", 2)])
def test_classes_go_by_index_or_label(text: str, index: int) -> None:
    assert choose_class(text, [TARGET], "--label") == index


CRANES = replace(TARGET, labels=("crane", "cat", "crane"))


def test_a_label_of_several_classes_asks_for_the_index() -> None:
    with pytest.raises(PlanError, match=r"--label: 'crane' is class 0 and 2 of net; give the index"):
        choose_class("crane", [CRANES], "--label")
    with pytest.raises(PlanError, match=r"'Crane' is class 0 and 2 of net"):
        choose_class("Crane", [CRANES], "--label")
    assert choose_class("2", [CRANES], "--label") == 2
    assert choose_class("cat", [CRANES], "--label") == 1
    assert [CRANES.label(index) for index in range(4)] == ["crane (0)", "cat", "crane (2)", None]


def test_a_label_that_differs_by_case_alone_goes_by_its_exact_case() -> None:
    cardigans = replace(TARGET, labels=("Cardigan", "cat", "cardigan"))
    assert choose_class("Cardigan", [cardigans], "--label") == 0
    assert choose_class("cardigan", [cardigans], "--label") == 2
    with pytest.raises(PlanError, match=r"'CARDIGAN' is class 0 and 2 of net; give the index"):
        choose_class("CARDIGAN", [cardigans], "--label")


def test_of_many_classes_those_that_look_alike_are_told() -> None:
    many = replace(TARGET, classes=1000, labels=tuple(known.name for known in imagenet_classes()))
    with pytest.raises(PlanError, match=r"it knows 0 to 999, among them (.*, )?goldfish"):
        choose_class("Goldfisch", [many], "--target-class")
    with pytest.raises(PlanError, match=r"it knows 0 to 999$"):
        choose_class("1000", [many], "--target-class")


@pytest.mark.parametrize("text", ["3", "-1", "cow", "", "1.5", "²"])
def test_an_unknown_class_is_told_with_the_known_ones(text: str) -> None:
    with pytest.raises(PlanError, match=r"--label: .* is no class of net; it knows cat, dog, Frog"):
        choose_class(text, [TARGET], "--label")


def test_classes_without_labels_go_by_index_only() -> None:
    plain = replace(TARGET, labels=())
    assert choose_class("2", [plain], "--label") == 2
    with pytest.raises(PlanError, match="it knows 0 to 2"):
        choose_class("cat", [plain], "--label")


def test_targets_that_number_a_class_differently_are_refused() -> None:
    with pytest.raises(PlanError, match="'cat' is class 0 of net, 1 of other"):
        choose_class("cat", [TARGET, OTHER], "--target-class")
    assert choose_class("frog", [TARGET, OTHER], "--target-class") == 2


def test_another_size_offers_to_resize() -> None:
    wrong = planned(PIXELS[:4, :4])
    with pytest.raises(PlanError, match=r"a\.png is 4 x 4 pixels, but net takes 8 x 6; add --resize"):
        fit_to_target(wrong, TARGET, resize=False)


def test_resizing_says_so_and_takes_the_mask_along() -> None:
    big = np.repeat(np.repeat(PIXELS, 2, axis=0), 2, axis=1)
    mask = PIXELS[:, :, 0] > 99
    fitted = fit_to_target(
        planned(big, np.repeat(np.repeat(mask, 2, axis=0), 2, axis=1)), TARGET, resize=True
    )
    np.testing.assert_array_equal(fitted.image.pixels, PIXELS)
    assert fitted.mask is not None
    np.testing.assert_array_equal(fitted.mask, mask)
    assert fitted.image.notes == ("cropped and resampled from 16 x 12 to 8 x 6",)


@pytest.mark.parametrize(
    ("how", "note"),
    [
        (Sizing.STRETCH, "stretched from 31 x 20 to 8 x 6"),
        (Sizing.SHORT_SIDE, "resampled and cropped (short-side-256) from 31 x 20 to 8 x 6"),
    ],
)
def test_every_way_to_resize_takes_the_mask_along_the_same_way(how: Sizing, note: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    mask = pixels[..., 0] > 99
    fitted = fit_to_target(planned(pixels, mask), TARGET, resize=True, how=how)
    np.testing.assert_array_equal(fitted.image.pixels, resize_image(pixels, 8, 6, how))
    assert fitted.mask is not None
    np.testing.assert_array_equal(fitted.mask, resize_mask(mask, 8, 6, how))
    assert fitted.image.notes == (note,)


def test_a_image_too_narrow_to_be_resized_is_told_by_its_name() -> None:
    strip = planned(np.zeros((1, 5_000_000, 3), np.uint8))
    with pytest.raises(ImageError, match=r"^a\.png: 5000000 x 1 pixels are too narrow for short-side-256"):
        fit_to_target(strip, TARGET, resize=True, how=Sizing.SHORT_SIDE)


def test_a_image_of_the_right_size_is_left_alone() -> None:
    right = planned()
    assert fit_to_target(right, TARGET, resize=True) is right


def test_images_that_no_message_holds_are_refused() -> None:
    with pytest.raises(PlanError, match="at most 4096 a side"):
        check_sides(InputImage(Path("a.png"), np.zeros((1, 4097, 3), np.uint8)))


def test_the_spec_names_each_image() -> None:
    spec = with_images(SPEC, [replace(planned(), label=2)], ["f" * 64])
    assert (spec.images[0].digest, spec.images[0].display_name, spec.images[0].label) == ("f" * 64, "a", 2)
