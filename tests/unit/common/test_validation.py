"""One line for whatever is invalid in a settings file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field

from pixelprobe_services.common.toml import FileError
from pixelprobe_services.common.validation import (
    DISTINCT,
    FileModel,
    Flag,
    Number,
    Text,
    Whole,
    check,
    expected,
)


class Side(StrEnum):
    LEFT = "left"
    RIGHT = "right"


class Cifar(FileModel):
    kind: Literal["cifar"]
    split: Literal["test", "train"] = "test"


class Folder(FileModel):
    kind: Literal["folder"]
    recursive: Flag = False


class Group(FileModel):
    name: Text
    count: Annotated[Whole, Field(ge=1, le=5)] | None = None


def check_even(value: int) -> int:
    if value % 2:
        raise expected("an even number", value)
    return value


class Settings(FileModel):
    name: Annotated[Text, Field(description="letters and digits")]
    sides: Annotated[tuple[Side, ...], DISTINCT] = (Side.LEFT,)
    pixels: Annotated[tuple[Annotated[Whole, Field(ge=1, le=64)], ...], DISTINCT] = (1,)
    rate: Annotated[Number, Field(ge=0, le=1)] = 0.5
    seconds: Annotated[Number, Field(gt=0, allow_inf_nan=False)] = 1.0
    most: Annotated[Whole, Field(ge=1)] = 1
    even: Annotated[Whole, AfterValidator(check_even)] = 0
    flag: Flag = False
    data: Annotated[Cifar | Folder, Field(discriminator="kind")]
    attacks: tuple[Group, ...] = ()
    clients: dict[str, Group] = Field(default_factory=dict)
    digest: Annotated[str, Field(pattern="^[0-9a-f]{4}$", description="four hex digits", repr=False)] = "0000"


GOOD: dict[str, Any] = {"name": "x", "data": {"kind": "cifar"}}


def test_a_valid_file_becomes_a_value() -> None:
    settings = check(Settings, {**GOOD, "rate": 1, "sides": ["right"], "attacks": [{"name": "a"}]}, Path("f"))
    assert (settings.rate, settings.sides, settings.attacks[0].name) == (1.0, (Side.RIGHT,), "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "name: expected letters and digits, got 3"),
        ({"sides": ["left", "up"]}, 'sides[1]: expected one of left, right, got "up"'),
        ({"sides": ["left", "left"]}, 'sides[1]: expected each value once, got "left"'),
        ({"sides": []}, "sides: expected a list of some of left, right, got []"),
        ({"sides": "left"}, 'sides: expected a list of some of left, right, got "left"'),
        ({"pixels": [1, 65]}, "pixels[1]: expected a whole number from 1 to 64, got 65"),
        ({"pixels": ["3"]}, 'pixels[0]: expected a whole number from 1 to 64, got "3"'),
        ({"pixels": 3}, "pixels: expected a list of whole numbers from 1 to 64, got 3"),
        ({"rate": 2}, "rate: expected a number from 0 to 1, got 2"),
        ({"rate": float("nan")}, "rate: expected a number from 0 to 1, got nan"),
        ({"rate": True}, "rate: expected a number from 0 to 1, got true"),
        ({"seconds": 0}, "seconds: expected a number above 0, got 0"),
        ({"seconds": float("inf")}, "seconds: expected a number above 0, got inf"),
        ({"most": 0}, "most: expected a whole number, at least 1, got 0"),
        ({"most": 1.0}, "most: expected a whole number, at least 1, got 1.0"),
        ({"even": 3}, "even: expected an even number, got 3"),
        ({"flag": 1}, "flag: expected true or false, got 1"),
        ({"data": 3}, "data: expected a table, [data], got 3"),
        ({"data": {}}, "data.kind: missing; expected one of cifar, folder"),
        ({"data": {"kind": "mnist"}}, 'data.kind: expected one of cifar, folder, got "mnist"'),
        ({"data": {"kind": "cifar", "split": 1}}, "data.split: expected one of test, train, got 1"),
        (
            {"data": {"kind": "folder", "recursiv": True}},
            "data.recursiv: unknown key; did you mean recursive?",
        ),
        ({"data": {"kind": "folder", "split": 1}}, "data.split: unknown key; expected kind, recursive"),
        ({"attacks": 3}, "attacks: expected tables, each [[attacks]], got 3"),
        ({"attacks": [{}]}, "attacks[0].name: missing; expected a text"),
        ({"attacks": [{"name": " "}]}, 'attacks[0].name: expected a text, got " "'),
        (
            {"attacks": [{"name": "a", "count": 6}]},
            "attacks[0].count: expected a whole number from 1 to 5, got 6",
        ),
        ({"clients": 3}, "clients: expected a table, [clients], got 3"),
        ({"clients": {"a": 3}}, "clients.a: expected a table, [clients.a], got 3"),
        ({"clients": {"a b": {"name": 1}}}, "clients.'a b'.name: expected a text, got 1"),
        ({"clients": {"a": {"zzz": 1}}}, "clients.a.zzz: unknown key; expected count, name"),
        ({"digest": "hunter2"}, "digest: expected four hex digits"),
        ({"na\x1bme": 1}, "'na\\x1bme': unknown key; did you mean name?"),
        ({"name": "\x1b" * 3, "rate": "\x1b[2J"}, 'rate: expected a number from 0 to 1, got "\\x1b[2J"'),
        ({"rate": "x" * 1000}, f'rate: expected a number from 0 to 1, got "{"x" * 59}...'),
    ],
)
def test_the_line_names_the_key_and_what_was_expected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FileError) as caught:
        check(Settings, {**GOOD, **change}, Path("f.toml"))
    assert str(caught.value) == f"f.toml: {message}"


def test_a_misspelt_key_goes_before_the_one_that_is_missing_for_it() -> None:
    with pytest.raises(FileError, match=r"f: nmae: unknown key; did you mean name\?"):
        check(Settings, {"nmae": "x", "data": {"kind": "cifar"}}, Path("f"))
