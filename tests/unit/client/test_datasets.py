"""Data sets: CIFAR-10 in its two layouts and any folder, and the order in which a seed picks."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelprobe.inputs.datasets.base import DatasetError, Entry, in_seeds_order
from pixelprobe.inputs.datasets.cifar10 import CLASSES, cifar10_entries
from pixelprobe.inputs.datasets.folder import folder_entries
from pixelprobe.inputs.datasets.pickled import read_batch
from pixelprobe.inputs.images import ImageError, InputImage, save_png
from pixelprobe.samples import load_photographs
from tests.unit.client.cifar10_files import png, sample_images, write_parquet

FIRST_OF_2022 = ["test-00546", "test-00502", "test-00070"]
SAMPLES = sorted((Path(__file__).parents[3] / "client" / "pixelprobe" / "samples").glob("*.png"))


_Pickler: Any = pickle._Pickler  # the one in Python, whose opcodes can be changed


class Python2Pickler(_Pickler):  # type: ignore[misc]
    """Writes byte strings as Python 2 did, which is how the real batches were written."""

    def save_bytes(self, obj: bytes, memo: Any = None) -> None:
        self.write(pickle.BINSTRING + len(obj).to_bytes(4, "little") + obj)
        self.memoize(obj)

    dispatch: ClassVar[dict[type, Any]] = {**_Pickler.dispatch, bytes: save_bytes}


def batch(images: np.ndarray, labels: list[Any]) -> dict[bytes, Any]:
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), 3072)
    return {b"batch_label": b"testing batch", b"labels": labels, b"data": rows, b"filenames": [b"a.png"]}


def write_batch(path: Path, content: Any, *, python2: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        pickler = Python2Pickler(file, 2) if python2 else pickle.Pickler(file, 2)
        pickler.dump(content)


@pytest.mark.parametrize("column", ["img", "img.bytes"])
def test_the_hubs_parquet_files(tmp_path: Path, column: str) -> None:
    images = sample_images(5)
    cells = [png(image) for image in images]
    write_parquet(tmp_path / "data" / "test-00000-of-00002.parquet", cells[:3], [3, 0, 9], column)
    write_parquet(tmp_path / "data" / "test-00001-of-00002.parquet", cells[3:], [1, 1], column)
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", cells[:1], [7], column)
    entries = cifar10_entries(tmp_path, "test")
    assert [entry.name for entry in entries] == [f"test-0000{place}" for place in range(5)]
    assert [entry.class_index for entry in entries] == [3, 0, 9, 1, 1]
    assert [entry.class_name for entry in entries][:3] == ["cat", "airplane", "truck"]
    for entry, image in zip(entries, images, strict=True):
        np.testing.assert_array_equal(entry.load().pixels, image)
    assert [entry.class_name for entry in cifar10_entries(tmp_path, "train")] == ["horse"]


@pytest.mark.parametrize("python2", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_torchvisions_batches(tmp_path: Path, python2: bool, inside: bool) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    images = sample_images(6)
    for number in range(5):
        one = batch(images[number : number + 1], [number])
        write_batch(folder / f"data_batch_{number + 1}", one, python2=python2)
    write_batch(folder / "test_batch", batch(images[4:], [8, 2]), python2=python2)
    given_folder = folder if inside else tmp_path
    test = cifar10_entries(given_folder, "test")
    assert [(entry.name, entry.class_name) for entry in test] == [
        ("test-00000", "ship"),
        ("test-00001", "bird"),
    ]
    np.testing.assert_array_equal(test[1].load().pixels, images[5])
    train = cifar10_entries(given_folder, "train")
    assert [entry.class_index for entry in train] == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(train[3].load().pixels, images[3])


class Forged:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (Forged(print, "owned"), "it asks for __builtin__.print"),
        ({b"data": Forged(eval, "1"), b"labels": []}, "it asks for __builtin__.eval"),
        (Forged(shutil.rmtree, "/nowhere"), "it asks for shutil.rmtree"),
        (np.float64(3), "it asks for numpy"),
        ([1, 2], "expected data, uint8 of n x 3072, and n labels"),
        ({}, "expected data, uint8"),
        (batch(sample_images(2), [1]), "and n labels"),
        ({b"data": np.zeros((2, 3072)), b"labels": [1, 2]}, "expected data, uint8"),
        ({b"data": np.zeros((2, 3071), np.uint8), b"labels": [1, 2]}, "expected data, uint8"),
        ({b"data": [0] * 3072, b"labels": [1]}, "expected data, uint8"),
    ],
)
def test_a_batch_that_is_none_is_refused_and_runs_nothing(
    tmp_path: Path, content: Any, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DatasetError) as caught:
        read_batch(path)
    assert str(caught.value).startswith(f"{path}: not a CIFAR-10 batch")
    assert told in str(caught.value)
    assert capsys.readouterr().out == ""


@given(st.binary(max_size=60), st.integers(0, 200))
def test_a_damaged_batch_is_an_error_of_one_line(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, cut: int
) -> None:
    path = tmp_path_factory.mktemp("batch") / "test_batch"
    sound = pickle.dumps(batch(sample_images(1), [1]), protocol=2)
    path.write_bytes(sound[:cut] + noise)
    with pytest.raises(DatasetError, match="not a CIFAR-10 batch"):
        read_batch(path)


def test_labels_out_of_range_name_the_row(tmp_path: Path) -> None:
    write_batch(tmp_path / "test_batch", batch(sample_images(2), [1, 10]))
    with pytest.raises(DatasetError, match=r"test_batch: row 1: expected a label from 0 to 9, got 10"):
        cifar10_entries(tmp_path, "test")
    write_parquet(tmp_path / "test.parquet", [b"", b""], [0, None])
    with pytest.raises(DatasetError, match=r"test.parquet: row 1: expected a label from 0 to 9, got None"):
        cifar10_entries(tmp_path, "test")


def test_a_image_in_parquet_that_cannot_be_decoded_is_an_error_of_its_own(tmp_path: Path) -> None:
    cells = [png(sample_images(1)[0]), b"no image", None, png(np.zeros((8, 8, 3), np.uint8))]
    write_parquet(tmp_path / "test.parquet", cells, [0, 1, 2, 3])
    entries = cifar10_entries(tmp_path, "test")
    assert entries[0].load().pixels.shape == (32, 32, 3)
    for entry, told in zip(
        entries[1:],
        ("neither PNG nor JPEG", "the cell holds no image", "8 x 8 pixels, not 32 x 32"),
        strict=True,
    ):
        with pytest.raises(ImageError, match=f"{entry.name}: .*{told}"):
            entry.load()


def test_a_folder_without_cifar10_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        cifar10_entries(tmp_path / "missing", "test")
    with pytest.raises(DatasetError, match=r"expected \*test\*.parquet with .* or cifar-10-batches-py with"):
        cifar10_entries(tmp_path, "test")
    (tmp_path / "test.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DatasetError, match=r"test.parquet: "):
        cifar10_entries(tmp_path, "test")
    pq.write_table(pa.table({"image": [1], "label": [1]}), tmp_path / "test.parquet")
    with pytest.raises(DatasetError, match=r"expected the columns img.bytes and label, got image, label"):
        cifar10_entries(tmp_path, "test")


def test_a_folder_with_class_subfolders(tmp_path: Path) -> None:
    for name in ("cat/b.png", "cat/deep/a.PNG", "dog/c.png", "loose.png", ".hidden/d.png", "cat/.e.png"):
        save_png(tmp_path / name, sample_images(1)[0])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "dog" / "folder.png").mkdir()
    entries = folder_entries(tmp_path, class_folders=True)
    assert [(entry.name, entry.class_name) for entry in entries] == [
        ("cat/b.png", "cat"), ("cat/deep/a.PNG", "cat"), ("dog/c.png", "dog"), ("loose.png", None),
    ]  # fmt: skip
    assert {entry.class_name for entry in folder_entries(tmp_path, class_folders=False)} == {None}
    np.testing.assert_array_equal(entries[0].load().pixels, sample_images(1)[0])


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    for folder, told in (
        (tmp_path, "no images"),
        (tmp_path / "x", "no such"),
        (tmp_path / "notes.txt", "not a"),
    ):
        with pytest.raises(DatasetError, match=told):
            folder_entries(folder, class_folders=True)


def entry(name: str) -> Entry:
    return Entry(name, None, None, lambda: InputImage(Path(name), sample_images(1)[0]))


NAMES = st.lists(st.text("abc/.-0123", min_size=1, max_size=8), unique=True, max_size=12)


@given(NAMES, st.integers(0, 2**64 - 1), st.randoms(use_true_random=False))
def test_the_order_is_the_seeds_alone_and_others_may_come_and_go(
    names: list[str], seed: int, random: Any
) -> None:
    ordered = [item.name for item in in_seeds_order(map(entry, names), seed)]
    assert sorted(ordered) == sorted(names)
    shuffled = random.sample(names, len(names))
    assert [item.name for item in in_seeds_order(map(entry, shuffled), seed)] == ordered
    some = [name for name in names if hash(name) % 2]
    assert [item.name for item in in_seeds_order(map(entry, some), seed)] == [n for n in ordered if n in some]


def test_a_seeds_order_never_changes_and_seeds_differ() -> None:
    """Published campaigns must pick the same images on every machine and in every version."""
    entries = [entry(f"test-{place:05d}") for place in range(1000)]
    assert [item.name for item in in_seeds_order(entries, 2022)[:3]] == FIRST_OF_2022
    orders = {tuple(item.name for item in in_seeds_order(entries, seed)[:5]) for seed in range(50)}
    assert len(orders) == 50
    half = [int(item.name[5:]) < 500 for item in in_seeds_order(entries, 1)[:400]]
    assert 160 < sum(half) < 240  # four standard deviations around the half


def test_the_samples_are_a_data_set() -> None:
    entries = folder_entries(SAMPLES[0].parent, class_folders=True)
    photographs = [f"photographs/{path.name}" for path in load_photographs()]
    assert [item.name for item in entries] == [path.name for path in SAMPLES] + photographs
    assert len(CLASSES) == 10
