"""Picture files: what is converted, what is refused, and that pixels survive exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from client.pictures import PictureError, load_mask, load_picture, resize_mask, resize_picture, save_png

COLOURS = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_rgb_png_round_trips_exactly(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.png"
    save_png(path, COLOURS)
    loaded = load_picture(path)
    np.testing.assert_array_equal(loaded.pixels, COLOURS)
    assert loaded.notes == ()
    assert (loaded.width, loaded.height) == (8, 6)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


def test_a_failed_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_png(tmp_path / "a.png", COLOURS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "suffix", "note"),
    [
        ("L", "png", "grey"),
        ("1", "png", "black and white"),
        ("P", "png", "palette"),
        ("RGBA", "png", "alpha"),
        ("LA", "png", "alpha"),
        ("CMYK", "jpg", "CMYK"),
        ("P", "gif", "palette"),
    ],
)
def test_convertible_modes_become_rgb_with_a_note(tmp_path: Path, mode: str, suffix: str, note: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(COLOURS).convert(mode).save(path)
    loaded = load_picture(path)
    assert loaded.pixels.shape == (6, 8, 3)
    assert loaded.pixels.dtype == np.uint8
    assert note in loaded.notes[0]


def test_grey_keeps_its_values_in_all_channels(tmp_path: Path) -> None:
    grey = COLOURS[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_picture(tmp_path / "a.png").pixels, np.stack([grey] * 3, axis=2))


def test_sixteen_bit_grey_is_rounded(tmp_path: Path) -> None:
    values = np.array([[0, 257, 300, 65535], [128, 129, 385, 386]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    loaded = load_picture(tmp_path / "a.png")
    assert loaded.pixels[:, :, 1].tolist() == [[0, 1, 1, 255], [0, 1, 1, 2]]
    assert "16-bit" in loaded.notes[0]


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by a quarter to see it upright
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    loaded = load_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(loaded.pixels, np.rot90(COLOURS, k=-1))
    assert "EXIF" in loaded.notes[0]


def _write(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.png"
    image = Image.fromarray(COLOURS)
    if kind == "transparent":
        image.putalpha(254)
        image.save(path)
    elif kind == "transparent_palette":
        palette = image.convert("P")
        palette.save(path, transparency=palette.getpixel((0, 0)))
    elif kind == "animated":
        path = path.with_suffix(".gif")
        image.save(path, save_all=True, append_images=[image.rotate(180)])
    elif kind == "truncated":
        image.resize((200, 200)).save(path)
        path.write_bytes(path.read_bytes()[:-900])
    elif kind == "text":
        path.write_text("no picture")
    elif kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "float":
        path = path.with_suffix(".tiff")
        Image.fromarray(COLOURS[:, :, 0].astype(np.float32)).save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("transparent", "transparent pixels"),
        ("transparent_palette", "transparent pixels"),
        ("animated", "animated"),
        ("truncated", "damaged or cut short"),
        ("text", "not a picture"),
        ("empty", "not a picture"),
        ("folder", "not a file"),
        ("missing", "no such file"),
        ("float", "not supported"),
    ],
)
def test_unusable_files_are_refused_in_one_line_that_names_them(
    tmp_path: Path, kind: str, message: str
) -> None:
    path = _write(tmp_path, kind)
    with pytest.raises(PictureError, match=message) as caught:
        load_picture(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_huge_pictures_are_refused_by_their_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (10_000, 5_001)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("the pixels were decoded"))
    with pytest.raises(PictureError, match=r"10000 x 5001 pixels are over 50 megapixels"):
        load_picture(tmp_path / "a.png")


def test_pictures_beyond_pillows_own_limit_are_refused_the_same_way(tmp_path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a.png")
    with pytest.raises(PictureError, match="over 50 megapixels"):
        load_picture(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_masks_are_foreground_above_127(tmp_path: Path, mode: str) -> None:
    grey = np.array([[0, 127], [128, 255]], dtype=np.uint8)
    if mode == "1":
        grey = np.array([[0, 0], [255, 255]], dtype=np.uint8)
    Image.fromarray(grey).convert(mode).save(tmp_path / "m.png")
    assert load_mask(tmp_path / "m.png").tolist() == [[False, False], [True, True]]


def test_masks_round_trip(tmp_path: Path) -> None:
    mask = np.random.default_rng(2).random((7, 9)) > 0.5
    save_png(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(load_mask(tmp_path / "m.png"), mask)


def test_shrinking_averages_areas() -> None:
    blocks = np.kron(np.array([[10, 30]]), np.ones((2, 2), dtype=int))[:, :, None]
    pixels = np.broadcast_to(blocks, (2, 4, 3)).astype(np.uint8)
    assert resize_picture(pixels, 2, 1)[:, :, 0].tolist() == [[10, 30]]


def test_resizing_crops_around_the_centre_and_keeps_proportions() -> None:
    pixels = np.zeros((4, 8, 3), dtype=np.uint8)
    pixels[:, 2:6] = 200  # only the middle square survives
    assert (resize_picture(pixels, 2, 2) == 200).all()
    assert resize_mask(pixels[:, :, 0] > 0, 2, 2).all()
    assert resize_picture(pixels, 32, 32).shape == (32, 32, 3)
