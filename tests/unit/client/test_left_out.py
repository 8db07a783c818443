"""No image is left out in silence: links, hidden files, names that are not UTF-8, masks of nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pixelprobe.campaigns.images import class_labels
from pixelprobe.cli.root import cli
from pixelprobe.cli.segment_folder import Segmented, add_to_record, read_record
from pixelprobe.inputs.datasets.base import in_seeds_order
from pixelprobe.inputs.datasets.cifar10 import cifar10_entries
from pixelprobe.inputs.datasets.folder import folder_entries
from pixelprobe.inputs.datasets.imagenet import imagenet_entries
from pixelprobe.inputs.images import load_image, read_mask, save_png
from pixelprobe.inputs.planned import PlanError, PlannedImage, load_images
from pixelprobe.masks import Segmentation
from pixelprobe_services.common.errors import UnavailableError
from tests.unit.client.cifar10_files import sample_images
from tests.unit.client.imagenet_files import write_jpeg
from tests.unit.client.test_spec_classes import IMAGENET, MINE, NAMES, OLD_NAMES, all_of_imagenet

PIXELS = sample_images(1)[0]


def test_linked_class_folders_are_entered(tmp_path: Path) -> None:
    save_png(tmp_path / "elsewhere/cats/a.png", PIXELS)
    data = tmp_path / "data"
    save_png(data / "dog/b.png", PIXELS)
    (data / "cat").symlink_to(tmp_path / "elsewhere/cats")
    (data / "cat2").symlink_to(tmp_path / "elsewhere/cats")
    skipped: list[str] = []
    entries = folder_entries(data, class_folders=True, on_skipped=skipped.append)
    assert [(entry.name, entry.class_name) for entry in entries] == [
        ("cat/a.png", "cat"), ("cat2/a.png", "cat2"), ("dog/b.png", "dog"),
    ]  # fmt: skip
    assert skipped == []


def test_a_circle_of_links_is_entered_once_and_reported(tmp_path: Path) -> None:
    save_png(tmp_path / "cat/a.png", PIXELS)
    (tmp_path / "cat/up").symlink_to(tmp_path)
    (tmp_path / "cat/self").symlink_to(tmp_path / "cat")
    skipped: list[str] = []
    entries = folder_entries(tmp_path, class_folders=True, on_skipped=skipped.append)
    assert [entry.name for entry in entries] == ["cat/a.png"]
    assert sorted(skipped) == [
        f"{tmp_path}/cat/self: a link to a folder that it lies in; not entered again",
        f"{tmp_path}/cat/up: a link to a folder that it lies in; not entered again",
    ]


def test_a_broken_link_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (entry,) = folder_entries(tmp_path, class_folders=False)
    with pytest.raises(ValueError, match=r"gone\.png: no such file"):
        entry.load()


def test_what_a_folder_leaves_out_is_counted(tmp_path: Path) -> None:
    for name in ("a.png", ".b.png", ".thumbs/c.png"):
        save_png(tmp_path / name, PIXELS)
    for name in ("x.heic", "y.HEIC", "README"):
        (tmp_path / name).write_text("not an image")
    skipped: list[str] = []
    assert len(folder_entries(tmp_path, class_folders=False, on_skipped=skipped.append)) == 1
    assert skipped == [
        f"{tmp_path}: hidden images, or images in hidden folders, are left out: 2",
        f"{tmp_path}: files that are no images by their suffix are left out: 2 .heic, 1 no suffix",
    ]


def test_imagenet_follows_links_and_counts_what_is_beside_its_folders(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "store/n01440764/a.JPEG", 1)
    write_jpeg(tmp_path / "data/val/n01443537/b.JPEG", 2)
    write_jpeg(tmp_path / "data/val/other/c.JPEG", 3)
    (tmp_path / "data/val/n01440764").symlink_to(tmp_path / "store/n01440764")
    skipped: list[str] = []
    entries = imagenet_entries(tmp_path / "data", "val", skipped.append)
    assert [entry.name for entry in entries] == ["n01440764/a.JPEG", "n01443537/b.JPEG"]
    root = tmp_path / "data/val"
    assert skipped == [f"{root}: images outside of folders by WordNet id are left out: 1 in other"]


def test_parquet_files_behind_a_link_are_found(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/test-0.parquet").write_bytes(b"no parquet")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/linked").symlink_to(tmp_path / "store")
    with pytest.raises(PlanError, match=r"linked/test-0\.parquet"):
        cifar10_entries(tmp_path / "data", "test")


def not_utf8(folder: Path) -> Path:
    """An image whose name, and whose folder's, is Latin-1."""
    place = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9"))
    save_png(place / os.fsdecode(b"na\xefve.png"), PIXELS)
    return next(place.iterdir())


def test_a_name_that_is_not_utf8_can_be_sent_and_ordered(tmp_path: Path) -> None:
    path = not_utf8(tmp_path)
    (entry,) = in_seeds_order(folder_entries(tmp_path, class_folders=True), 1)
    assert (entry.name, entry.class_name) == (r"caf\xe9/na\xefve.png", r"caf\xe9")
    np.testing.assert_array_equal(entry.load().pixels, PIXELS)
    assert PlannedImage(load_image(path)).display_name == r"na\xefve"


def test_a_name_that_is_not_utf8_is_found_again_in_the_record(tmp_path: Path) -> None:
    path = not_utf8(tmp_path)
    made = Segmented(str(path), "00", 32, 32, "grabcut", "", 0.5, needs_review=False, review_reason="ü")
    add_to_record(tmp_path, {r"na\xefve": made})
    assert read_record(tmp_path) == {r"na\xefve": made}
    assert "ü" in (tmp_path / "segment.json").read_text(encoding="utf-8")


def mask_file(path: Path, values: np.ndarray, palette: list[int] | None = None) -> Path:
    image = Image.fromarray(values.astype(np.uint8), "L")
    if palette is not None:
        image = Image.fromarray(values.astype(np.uint8), "P")
        image.putpalette(palette)
    image.save(path)
    return path


SQUARE = np.zeros((6, 8), np.uint8)
SQUARE[1:4, 2:6] = 1


@pytest.mark.parametrize(
    ("values", "palette", "warning"),
    [
        (SQUARE, None, "values 0 to 1: a label map?"),
        (SQUARE, [0, 0, 0, 128, 0, 0], "a palette image: values 0 to 38: a label map?"),
        (SQUARE * 0, None, "all black: nothing is foreground"),
        (SQUARE * 0 + 255, None, "nothing is 127 or below: all of the image is foreground"),
        (SQUARE * 255, None, ""),
    ],
)
def test_a_mask_that_is_hardly_meant_is_warned_about(
    tmp_path: Path, values: np.ndarray, palette: list[int] | None, warning: str
) -> None:
    read = read_mask(mask_file(tmp_path / "m.png", values, palette))
    assert len(read.warnings) == bool(warning)
    assert all(text.startswith(warning) for text in read.warnings)
    np.testing.assert_array_equal(read.mask, values > 127)


def test_a_cut_outs_alpha_is_its_mask(tmp_path: Path) -> None:
    pixels = np.zeros((6, 8, 4), np.uint8)  # black all over: colours would give an empty mask
    pixels[:, :, 3] = SQUARE * 255
    Image.fromarray(pixels).save(tmp_path / "cut.png")
    save_png(tmp_path / "a.png", np.zeros((6, 8, 3), np.uint8))
    (planned,) = load_images([tmp_path / "a.png"], [tmp_path / "cut.png"])
    assert planned.mask is not None
    np.testing.assert_array_equal(planned.mask, SQUARE == 1)
    assert planned.mask_notes == (
        f"{tmp_path}/cut.png: has transparent pixels: its alpha channel is the mask, "
        "its colours are not used",
    )
    assert planned.mask_warnings == ()


def test_an_opaque_alpha_channel_leaves_the_colours_as_the_mask(tmp_path: Path) -> None:
    pixels = np.full((6, 8, 4), 255, np.uint8)
    pixels[:, :, :3] = (SQUARE * 255)[:, :, None]
    Image.fromarray(pixels).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png").mask, SQUARE == 1)


def test_1001_classes_without_labels_are_refused_with_the_usual_cause() -> None:
    nameless = replace(IMAGENET, classes=1001, labels=())
    with pytest.raises(PlanError, match=r"1001 classes and no labels.*class 0 is usually 'background'"):
        class_labels(MINE, all_of_imagenet(), [nameless])
    with pytest.raises(PlanError, match=r"has 999 classes and no labels.*labels_file"):
        class_labels(MINE, all_of_imagenet(), [replace(nameless, classes=999)])


@pytest.mark.parametrize("names", [NAMES, OLD_NAMES])
def test_1001_named_classes_are_matched_one_higher(names: tuple[str, ...]) -> None:
    background = replace(IMAGENET, classes=1001, labels=("background", *names))
    numbers = class_labels(MINE, all_of_imagenet(), [background])
    assert [number - (index or 0) for (_, index), number in numbers.items()] == [1] * 1000


class OneMask:
    """A client whose service makes one mask and is then away."""

    made = 0

    def __enter__(self) -> OneMask:
        return self

    def __exit__(self, *_: object) -> None: ...

    def segment(self, pixels: np.ndarray, *_: object, **__: object) -> Segmentation:
        if self.made:
            raise UnavailableError("the service went away")
        self.made += 1
        return Segmentation(
            pixels[:, :, 0] > 99, 0.5, needs_review=False, review_reason="", segmenter="grabcut"
        )


def test_a_service_that_goes_away_leaves_no_mask_without_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pixelprobe.cli.segment.open_client", lambda **_: OneMask())
    names = [tmp_path / f"{name}.png" for name in "ab"]
    for path in names:
        save_png(path, PIXELS)
    result = CliRunner().invoke(cli, ["segment", *map(str, names), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert list(read_record(tmp_path / "out")) == ["a"]
    assert (tmp_path / "out" / "a_mask.png").exists()
