"""CIFAR-10 from both layouts, and what happens when it is not there or not CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pixelprobe_deploy.modelzoo.datasets import (
    DatasetError,
    DatasetNotFoundError,
    LabelledImages,
    load_cifar10,
)
from tests.models.images import coloured_shapes, encoded, write_parquet, write_torchvision

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def data() -> LabelledImages:
    return coloured_shapes(20, seed=5)


def test_parquet_with_the_hubs_struct_column(tmp_path: Path, data: LabelledImages) -> None:
    write_parquet(data, tmp_path / "plain_text" / "train-00000-of-00001.parquet")
    found = load_cifar10(tmp_path, "train")
    assert np.array_equal(found.images, data.images)
    assert np.array_equal(found.labels, data.labels)
    assert found.images.dtype == np.uint8
    assert found.labels.dtype == np.int64
    assert found.encoding == "PNG"


def test_parquet_with_flat_columns(tmp_path: Path, data: LabelledImages) -> None:
    rows = [encoded(image, "PNG") for image in data.images]
    pq.write_table(pa.table({"img.bytes": rows, "labels": data.labels}), tmp_path / "test.parquet")
    found = load_cifar10(tmp_path, "test")
    assert np.array_equal(found.images, data.images)
    assert np.array_equal(found.labels, data.labels)


def test_parquet_in_several_files_keeps_their_order(tmp_path: Path, data: LabelledImages) -> None:
    for number, part in enumerate((slice(0, 7), slice(7, 20))):
        piece = LabelledImages(data.images[part], data.labels[part])
        write_parquet(piece, tmp_path / f"train-0000{number}-of-00002.parquet")
    found = load_cifar10(tmp_path, "train")
    assert np.array_equal(found.images, data.images)
    assert np.array_equal(found.labels, data.labels)


def test_a_lossy_copy_says_so(tmp_path: Path, data: LabelledImages) -> None:
    write_parquet(data, tmp_path / "test.parquet", encoding="JPEG")
    assert load_cifar10(tmp_path, "test").encoding == "JPEG"


def test_torchvision_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: LabelledImages) -> None:
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)  # knows the real files
    test = coloured_shapes(10, seed=6)
    write_torchvision(data, test, tmp_path)
    for split, expected in (("train", data), ("test", test)):
        found = load_cifar10(tmp_path, split)
        assert np.array_equal(found.images, expected.images)
        assert np.array_equal(found.labels, expected.labels)
        assert found.encoding == "raw"


def test_torchvision_folder_with_a_wrong_checksum(tmp_path: Path, data: LabelledImages) -> None:
    write_torchvision(data, data, tmp_path)
    with pytest.raises(DatasetError, match="corrupted"):
        load_cifar10(tmp_path, "train")


@pytest.mark.parametrize("folder", ["empty", "missing"])
def test_no_data_set(tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetNotFoundError, match=r"train.*parquet.*cifar-10-batches-py"):
        load_cifar10(tmp_path / folder, "train")


def test_not_a_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "test.parquet").write_bytes(b"PAR0 nothing of the kind")
    with pytest.raises(DatasetError, match=r"test\.parquet"):
        load_cifar10(tmp_path, "test")


def test_other_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"x"], "label": [0]}), tmp_path / "test.parquet")
    with pytest.raises(DatasetError, match=r"img\.bytes"):
        load_cifar10(tmp_path, "test")


def test_damaged_image(tmp_path: Path) -> None:
    pq.write_table(pa.table({"img.bytes": [b"no image"], "label": [0]}), tmp_path / "test.parquet")
    with pytest.raises(DatasetError, match="cannot identify image"):
        load_cifar10(tmp_path, "test")


def test_images_of_another_size(tmp_path: Path) -> None:
    large = encoded(np.zeros((48, 64, 3), dtype=np.uint8), "PNG")
    pq.write_table(pa.table({"img.bytes": [large], "label": [0]}), tmp_path / "test.parquet")
    with pytest.raises(DatasetError, match="64x48"):
        load_cifar10(tmp_path, "test")


@pytest.mark.parametrize("label", [-1, 10])
def test_labels_out_of_range(tmp_path: Path, data: LabelledImages, label: int) -> None:
    write_parquet(LabelledImages(data.images[:1], np.array([label])), tmp_path / "test.parquet")
    with pytest.raises(DatasetError, match="0 to 9"):
        load_cifar10(tmp_path, "test")
