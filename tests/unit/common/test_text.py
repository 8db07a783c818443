"""Text from others is harmless in a terminal, in a file name and in a spreadsheet."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelprobe_services.common.text import MAX_NAME_BYTES, csv_cell, file_name, terminal_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain · ünïcode 猫", "plain · ünïcode 猫"),
        ("\x1b]52;c;aGk=\x07", r"\x1b]52;c;aGk=\x07"),
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("a\u2066b\u2069", r"a\u2066b\u2069"),
        ("two\nlines\r\nand\ttab\u2028", "two lines  and tab "),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("👩‍🚀", "👩‍🚀"),
    ],
)
def test_a_terminal_gets_nothing_to_act_on(text: str, shown: str) -> None:
    assert terminal_text(text) == shown


def test_lines_are_kept_where_they_are_wanted() -> None:
    assert terminal_text("one\ntwo\x1b[2J\r", keep_lines=True) == "one\ntwo\\x1b[2J "


@given(st.text(st.characters()))
def test_no_text_at_all_brings_a_control_character_through(text: str) -> None:
    shown = terminal_text(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("vgg16_cifar10", "vgg16_cifar10"),
        ("v1.2-b", "v1.2-b"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/abs", "_abs"),
        ("a\x00b\nc", "a_b_c"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (".hidden", "hidden"),
        ("caf\udce9", "caf_"),
        ("C:\\x", "C__x"),
    ],
)
def test_a_file_name_stays_in_its_folder(text: str, name: str) -> None:
    assert file_name(text) == name


def test_long_names_are_cut_and_stay_apart() -> None:
    first, second = file_name("ü" * 300 + "a"), file_name("ü" * 300 + "b")
    assert first != second
    assert max(len(first.encode()), len(second.encode())) <= MAX_NAME_BYTES


@given(st.text(st.characters()))
def test_every_text_gives_one_component_of_a_path(text: str) -> None:
    name = file_name(text)
    assert name
    assert not name.startswith(".")
    assert not set(name) & set("/\\\0")
    assert len(name.encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_formula_is_text_in_a_spreadsheet(start: str) -> None:
    assert str(csv_cell(f"{start}cmd|' /C calc'!A0")).startswith("'")


@pytest.mark.parametrize("value", [None, -1, 2.5, True])
def test_numbers_stay_numbers(value: object) -> None:
    assert csv_cell(value) is value


def test_ordinary_text_is_not_touched() -> None:
    assert csv_cell("tabby cat, 1 = 1\nsecond line") == "tabby cat, 1 = 1\nsecond line"
    assert csv_cell("a\x1b[2J") == r"a\x1b[2J"
