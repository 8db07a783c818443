"""ImageNet in the layouts that people have it in, and the table of its classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelprobe.inputs.datasets import parquet
from pixelprobe.inputs.datasets.base import DatasetError
from pixelprobe.inputs.datasets.imagenet import imagenet_entries
from pixelprobe.inputs.datasets.imagenet_classes import WORDNET_ID, by_wordnet_id, imagenet_classes
from pixelprobe.inputs.images import ImageError
from tests.unit.client.imagenet_files import (
    CRANE_BIRD,
    CRANE_MACHINE,
    GOLDFISH,
    TENCH,
    jpeg,
    photograph,
    write_jpeg,
    write_parquet,
)


def test_the_table_has_a_thousand_classes_in_the_order_of_their_ids() -> None:
    classes = imagenet_classes()
    assert [known.index for known in classes] == list(range(1000))
    ids = [known.wordnet_id for known in classes]
    assert ids == sorted(set(ids))
    assert all(WORDNET_ID.fullmatch(wordnet_id) for wordnet_id in ids)
    assert len({known.name for known in classes}) == 1000
    assert by_wordnet_id()[TENCH].name == "tench"
    assert (classes[-1].wordnet_id, classes[-1].name) == ("n15075141", "toilet tissue")
    assert classes[285].name == "Egyptian cat"


def test_every_class_goes_by_its_id_and_shares_a_name_with_wordnet() -> None:
    for known in imagenet_classes():
        assert known.wordnet_id in known.also_called
        lemmas = " ".join(known.also_called).casefold()
        assert known.name.split()[0].casefold() in lemmas
    assert "Tinca tinca" in imagenet_classes()[0].also_called
    assert "crane" in imagenet_classes()[134].also_called


@pytest.mark.parametrize("inside", ["", "val", "validation"])
def test_folders_by_wordnet_id(tmp_path: Path, inside: str) -> None:
    root = tmp_path / inside
    write_jpeg(root / TENCH / "ILSVRC2012_val_00000293.JPEG", 10)
    write_jpeg(root / CRANE_MACHINE / "b.jpeg", 20)
    write_jpeg(root / CRANE_BIRD / "c.JPEG", 30)
    write_jpeg(root / "loose.jpeg", 40)
    write_jpeg(root / "not a class" / "d.jpeg", 50)
    (tmp_path / "meta.bin").write_bytes(b"torchvision's, a pickle")
    (root / TENCH / "notes.txt").write_text("no image")
    entries = imagenet_entries(tmp_path, "val")
    assert [(entry.name, entry.class_name, entry.class_index) for entry in entries] == [
        (f"{TENCH}/ILSVRC2012_val_00000293.JPEG", "tench", 0),
        (f"{CRANE_BIRD}/c.JPEG", "crane bird", 134),
        (f"{CRANE_MACHINE}/b.jpeg", "crane", 517),
    ]
    np.testing.assert_array_equal(entries[1].load().pixels, photograph(30))


def test_a_split_is_its_own_folder(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "val" / TENCH / "a.JPEG", 10)
    write_jpeg(tmp_path / "train" / GOLDFISH / "b.JPEG", 20)
    assert [entry.name for entry in imagenet_entries(tmp_path, "val")] == [f"{TENCH}/a.JPEG"]
    assert [entry.class_name for entry in imagenet_entries(tmp_path, "train")] == ["goldfish"]


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("rows", [None, 2])
def test_the_hubs_parquet_files(tmp_path: Path, flat: bool, rows: int | None) -> None:
    cells = [jpeg(photograph(value)) for value in (10, 20, 30, 40, 50)]
    data = tmp_path / "data"
    write_parquet(data / "validation-00000-of-00002.parquet", cells[:3], [0, 999, 134], flat=flat, rows=rows)
    write_parquet(data / "validation-00001-of-00002.parquet", cells[3:], [517, 0], flat=flat, rows=rows)
    write_parquet(data / "train-00000-of-00001.parquet", cells[:1], [1], flat=flat)
    entries = imagenet_entries(tmp_path, "val")
    assert [entry.name for entry in entries] == [f"val-0000{place}" for place in range(5)]
    assert [entry.class_index for entry in entries] == [0, 999, 134, 517, 0]
    assert [entry.class_name for entry in entries][:3] == ["tench", "toilet tissue", "crane bird"]
    for entry, value in reversed([*zip(entries, (10, 20, 30, 40, 50), strict=True)]):
        np.testing.assert_array_equal(entry.load().pixels, photograph(value))
    assert [entry.class_name for entry in imagenet_entries(tmp_path, "train")] == ["goldfish"]


def test_file_names_in_parquet_are_the_images_names_if_all_differ(tmp_path: Path) -> None:
    cells = [jpeg(photograph(10)), jpeg(photograph(20))]
    for paths, names in (
        (["deep/a.JPEG", "b.JPEG"], ["a.JPEG", "b.JPEG"]),
        (["a.JPEG", "deep/a.JPEG"], ["val-00000", "val-00001"]),
        (["a.JPEG", None], ["val-00000", "val-00001"]),
        (["a.JPEG", ""], ["val-00000", "val-00001"]),
    ):
        write_parquet(tmp_path / "val.parquet", cells, [0, 1], paths=[*paths])
        entries = imagenet_entries(tmp_path, "val")
        assert [entry.name for entry in entries] == names
        np.testing.assert_array_equal(entries[1].load().pixels, photograph(20))


def test_row_groups_are_let_go_of_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [10, 20, 30, 40, 50, 60]
    write_parquet(tmp_path / "val.parquet", [jpeg(photograph(v)) for v in values], [0] * 6, rows=2)
    read: list[int] = []
    real = parquet._read

    def counted(file: Path, column: str, group: int) -> object:
        read.append(group)
        return real(file, column, group)

    monkeypatch.setattr(parquet, "_read", counted)

    def groups_read() -> list[int]:
        read.clear()
        entries = imagenet_entries(tmp_path, "val")
        for place in (0, 5, 1, 4, 2, 0):
            np.testing.assert_array_equal(entries[place].load().pixels, photograph(values[place]))
        return list(read)

    assert groups_read() == [0, 2, 1]
    monkeypatch.setattr(parquet, "HELD_BYTES", 0)
    assert groups_read() == [0, 2, 0, 2, 1, 0]


def test_images_of_any_kind_are_decoded_with_care(tmp_path: Path) -> None:
    pixels = photograph(200)
    cells = [jpeg(pixels, "CMYK"), jpeg(pixels, "L"), jpeg(pixels)[:-200], b"no image", None]
    write_parquet(tmp_path / "val.parquet", cells, [0, 1, 2, 3, 4])
    entries = imagenet_entries(tmp_path, "val")
    assert "converted from CMYK to RGB" in entries[0].load().notes
    np.testing.assert_allclose(entries[0].load().pixels.astype(int), pixels, atol=3)
    assert "converted from grey to RGB" in entries[1].load().notes
    told = ("damaged or cut short", "not an image in a format known here", "the cell holds no image")
    for entry, reason in zip(entries[2:], told, strict=True):
        with pytest.raises(ImageError, match=f"^{entry.name}: {reason}"):
            entry.load()


def test_a_file_that_goes_away_is_a_image_that_cannot_be_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "val.parquet", [jpeg(photograph(1))], [0])
    (entry,) = imagenet_entries(tmp_path, "val")
    (tmp_path / "val.parquet").unlink()
    with pytest.raises(ImageError, match=r"val-00000: .*No such file"):
        entry.load()


@pytest.mark.parametrize("label", [-1, 1000, None])
def test_labels_out_of_range_name_the_row(tmp_path: Path, label: int | None) -> None:
    write_parquet(tmp_path / "val.parquet", [b"", b""], [0, label])
    with pytest.raises(
        DatasetError, match=rf"val.parquet: row 1: expected a label from 0 to 999, got {label}"
    ):
        imagenet_entries(tmp_path, "val")


def test_a_folder_without_imagenet_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        imagenet_entries(tmp_path / "missing", "val")
    (tmp_path / "tench").mkdir()
    with pytest.raises(
        DatasetError,
        match=r"expected folders by WordNet id such as n01440764, in val or not, or \*val\*.parq",
    ):
        imagenet_entries(tmp_path, "val")
    (tmp_path / "val.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DatasetError, match=r"val.parquet: "):
        imagenet_entries(tmp_path, "val")
    with pytest.raises(DatasetError, match=r"val.parquet: not a folder"):
        imagenet_entries(tmp_path / "val.parquet", "val")


def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    from tests.unit.client.cifar10_files import write_parquet as write_other

    write_other(tmp_path / "val.parquet", [b""], [0], "img")
    with pytest.raises(DatasetError, match=r"expected the columns image.bytes and label, got img, label"):
        imagenet_entries(tmp_path, "val")


def test_folders_of_other_wordnet_ids_are_refused(tmp_path: Path) -> None:
    write_jpeg(tmp_path / TENCH / "a.JPEG", 10)
    for place in range(7):
        write_jpeg(tmp_path / f"n0000000{place}" / "b.JPEG", 20)
    with pytest.raises(DatasetError) as caught:
        imagenet_entries(tmp_path, "val")
    some = ", ".join(f"n0000000{place}" for place in range(5))
    assert str(caught.value) == f"{tmp_path}: not among ImageNet's 1000 classes: {some}, ..."


def test_class_folders_without_images_are_told(tmp_path: Path) -> None:
    (tmp_path / TENCH).mkdir()
    with pytest.raises(DatasetError, match="no images"):
        imagenet_entries(tmp_path, "val")
    write_jpeg(tmp_path / "loose.jpeg", 40)
    with pytest.raises(DatasetError, match="no images in its folders by WordNet id"):
        imagenet_entries(tmp_path, "val")
