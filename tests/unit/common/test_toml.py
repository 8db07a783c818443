"""The TOML reader: hostile files end in one line, in bounded time and memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from pixelprobe_services.common.toml import MAX_BYTES, MAX_DEPTH, MAX_DOTS, FileError, read_toml


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "settings.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa = 1\n[b]\n", b"a = 1\r\n[b]\r\n"])
def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path, content: bytes) -> None:
    assert read_toml(written(tmp_path, content)) == {"a": 1, "b": {}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a." * 50_000 + "a = 1", "line 1 has more than 100 dots"),
        ("b = 1\n[" + "a." * 50_000 + "a]", "line 2 has more than 100 dots"),
        ("a = " + "[" * 100_000, f"is nested deeper than {MAX_DEPTH} levels"),
        ("a = " + "{a = " * 40_000, f"is nested deeper than {MAX_DEPTH} levels"),
        ("a = " + "[" * MAX_DEPTH + "]" * MAX_DEPTH, f"is nested deeper than {MAX_DEPTH} levels"),
        ("a = " + "9" * 100_000, "holds an integer that is too large"),
        ("a = 0x" + "f" * 100_000, "holds an integer that is too large"),
        (f"a = [[-{2**64}]]", "holds an integer that is too large"),
        ("#" * (MAX_BYTES + 1), "is larger than 256 KiB"),
        ('"' * 200_000, "is not TOML: "),
        ("a = " + '"\\' * 100_000, "is not TOML: "),
        ("a = 1979-13-40", "is not TOML: "),
        ("a = 1\0", "is not TOML: "),
    ],
)
def test_a_hostile_file_is_one_line_and_little_memory(tmp_path: Path, text: str, reason: str) -> None:
    path = written(tmp_path, text)
    tracemalloc.start()
    try:
        with pytest.raises(FileError) as caught:
            read_toml(path)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: {reason}")
    assert "\n" not in str(caught.value)


def test_the_largest_numbers_and_the_most_dots_that_are_accepted(tmp_path: Path) -> None:
    nested = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    text = f'a = {2**64 - 1}\nb = "{"." * MAX_DOTS}"\nc = {nested}\n'
    assert read_toml(written(tmp_path, text))["a"] == 2**64 - 1


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.toml: No such file"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(FileError, match="directory"):
        read_toml(tmp_path)
    with pytest.raises(FileError, match="is not UTF-8 text"):
        read_toml(written(tmp_path, b'name = "\xe9"'))
