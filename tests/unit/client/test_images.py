"""Image files: what is converted, what is refused, and that pixels survive exactly."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from pixelprobe.inputs.images import ImageError, decode_image, load_image, load_mask, save_png

COLOURS = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def test_rgb_png_round_trips_exactly(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.png"
    save_png(path, COLOURS)
    loaded = load_image(path)
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
    loaded = load_image(path)
    assert loaded.pixels.shape == (6, 8, 3)
    assert loaded.pixels.dtype == np.uint8
    assert note in loaded.notes[0]


def test_grey_keeps_its_values_in_all_channels(tmp_path: Path) -> None:
    grey = COLOURS[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image(tmp_path / "a.png").pixels, np.stack([grey] * 3, axis=2))


def test_sixteen_bit_grey_is_rounded(tmp_path: Path) -> None:
    values = np.array([[0, 257, 300, 65535], [128, 129, 385, 386]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    loaded = load_image(tmp_path / "a.png")
    assert loaded.pixels[:, :, 1].tolist() == [[0, 1, 1, 255], [0, 1, 1, 2]]
    assert "16-bit" in loaded.notes[0]


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by a quarter to see it upright
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=exif)
    loaded = load_image(tmp_path / "a.png")
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
        path.write_text("no image")
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
        ("text", "not an image"),
        ("empty", "not an image"),
        ("folder", "not a file"),
        ("missing", "no such file"),
        ("float", "not supported"),
    ],
)
def test_unusable_files_are_refused_in_one_line_that_names_them(
    tmp_path: Path, kind: str, message: str
) -> None:
    path = _write(tmp_path, kind)
    with pytest.raises(ImageError, match=message) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_huge_images_are_refused_by_their_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (10_000, 5_001)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("the pixels were decoded"))
    with pytest.raises(ImageError, match=r"10000 x 5001 pixels are over 50 megapixels"):
        load_image(tmp_path / "a.png")


def test_images_beyond_pillows_own_limit_are_refused_the_same_way(tmp_path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="over 50 megapixels"):
        load_image(tmp_path / "a.png")


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


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _write_png(path: Path, width: int, height: int, depth: int, colour_type: int, packed: bytes) -> None:
    """A PNG of kinds that Pillow reads and does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _write_png16(path: Path, values: np.ndarray) -> None:
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    _write_png(path, width, height, 16, {2: 4, 3: 2, 4: 6}[channels], zlib.compress(rows))


def test_sixteen_bit_colours_are_cut_and_said_to_be(tmp_path: Path) -> None:
    values = COLOURS.astype(np.uint16) * 256 + 77
    _write_png16(tmp_path / "rgb.png", values)
    loaded = load_image(tmp_path / "rgb.png")
    np.testing.assert_array_equal(loaded.pixels, COLOURS)
    assert loaded.notes == ("16-bit colours cut to 8 bits",)


def test_sixteen_bit_alpha_is_dropped_where_opaque_and_refused_where_not(tmp_path: Path) -> None:
    values = np.full((6, 8, 4), 65535, np.uint16)
    values[..., :3] = COLOURS.astype(np.uint16) * 257
    _write_png16(tmp_path / "opaque.png", values)
    loaded = load_image(tmp_path / "opaque.png")
    np.testing.assert_array_equal(loaded.pixels, COLOURS)
    assert loaded.notes == ("16-bit colours cut to 8 bits", "opaque alpha channel dropped")
    values[2, 3, 3] = 40_000
    _write_png16(tmp_path / "glass.png", values)
    with pytest.raises(ImageError, match="transparent pixels"):
        load_image(tmp_path / "glass.png")


def test_cmyk_keeps_its_colours(tmp_path: Path) -> None:
    red = np.full((16, 16, 3), (200, 30, 30), np.uint8)
    for suffix in ("jpg", "tiff"):
        path = tmp_path / f"a.{suffix}"
        Image.fromarray(red).convert("CMYK").save(path)
        np.testing.assert_allclose(load_image(path).pixels, red, atol=4)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 10))
def test_every_exif_orientation_ends_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    flat, quarter, mirrored = range(1, 5), (6, 8, 5, 7), (2, 4, 5, 7)
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = (220, 40, 40)  # one corner, to tell all eight apart
    stored = upright
    if orientation <= 8:
        turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[orientation]
        stored = np.rot90(stored, turns)
        if orientation in mirrored:
            stored = stored[:, ::-1] if orientation in flat else stored[::-1]
    assert (stored.shape[0] == 32) == (orientation in quarter)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    kept: dict[str, Any] = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    exact = kept.get(suffix, {})
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **exact)
    loaded = load_image(path)
    np.testing.assert_allclose(loaded.pixels.astype(int), upright, atol=8)
    turned = ("turned upright as its EXIF data says",)
    assert loaded.notes == (turned if 2 <= orientation <= 8 else ())


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_animations_and_several_pages_are_refused(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(COLOURS).resize((64, 48))
    image.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[image.rotate(90)])
    with pytest.raises(ImageError, match="animated or of several pages"):
        load_image(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "bmp", "tiff", "ppm"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_truncated_files_are_refused_in_one_line(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(5).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError) as caught:
        load_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def _write_bomb(path: Path) -> None:
    side = 30_000
    if path.suffix == ".png":
        packer = zlib.compressobj(9)
        rows = bytes((side // 8 + 1) * 1000)
        packed = b"".join(packer.compress(rows) for _ in range(side // 1000)) + packer.flush()
        _write_png(path, side, side, 1, 0, packed)
    elif path.suffix == ".gif":
        screen = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
        path.write_bytes(
            screen + b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x4c\x01\x00;"
        )
    elif path.suffix == ".bmp":
        info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        path.write_bytes(b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info)
    else:
        path.write_bytes(b"P6\n30000 30000\n255\n")


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "ppm"])
@pytest.mark.parametrize("load", [load_image, load_mask])
def test_a_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, load: Callable[[Path], object]
) -> None:
    path = tmp_path / f"bomb.{suffix}"
    _write_bomb(path)
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("the pixels were decoded"))
    with pytest.raises(ImageError, match=r"bomb\.[a-z]+: (30000 x 30000 pixels are )?over 50 megapixels$"):
        load(path)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_a_image_in_memory_is_decoded_as_its_file_is(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(COLOURS).convert(mode).save(path)
    from_file, from_memory = load_image(path), decode_image(path.read_bytes(), "val-00001")
    np.testing.assert_array_equal(from_memory.pixels, from_file.pixels)
    assert from_memory.notes == from_file.notes
    assert str(from_memory.path) == "val-00001"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not an image in a format"),
        (b"no image", "not an image in a format"),
        (None, "damaged or cut"),
    ],
)
def test_a_image_in_memory_that_is_none_is_told_by_its_name(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is None:
        content = _write(tmp_path, "truncated").read_bytes()
    with pytest.raises(ImageError, match=f"^val-00001: {told}"):
        decode_image(content, "val-00001")


def test_a_bomb_in_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_bomb(tmp_path / "bomb.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("the pixels were decoded"))
    with pytest.raises(ImageError, match=r"^bomb: .*over 50 megapixels$"):
        decode_image((tmp_path / "bomb.png").read_bytes(), "bomb")
