"""Pydantic models for settings files, and one line for whatever is invalid in a file.

Derive a file's model from :class:`FileModel`, write its fields with the types below, and read a file with
:func:`check`::

    class Settings(FileModel):
        name: Text
        pixels: Annotated[tuple[Annotated[Whole, Field(ge=1, le=64)], ...], DISTINCT] = (1,)

    settings = check(Settings, read_toml(path), path)

What was expected is derived from a field's type and limits; ``Field(description=...)`` overrides it, and
``Field(repr=False)`` keeps the value itself out of messages.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Strict, StringConstraints, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from pixelprobe_services.common.text import terminal_text
from pixelprobe_services.common.toml import FileError

M = TypeVar("M", bound=BaseModel)

Text = Annotated[str, StringConstraints(strict=True, pattern=r"\S")]
"""A string that is not blank."""

Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]

_SHOWN = 60
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_EXPECTED = "expected"


class FileModel(BaseModel):
    """A table of a settings file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check(model: type[M], table: Any, file: Path, *, at: str = "", context: Any = None) -> M:
    """Return a table of a file as ``model``.

    Args:
        model: what the table has to be.
        table: as :func:`~pixelprobe_services.common.toml.read_toml` returns it, or a part of that.
        file: where it comes from, for messages.
        at: key path of the part.
        context: for the model's validators.

    Raises:
        FileError: something in it is invalid; see :func:`one_line`.
    """
    try:
        return model.model_validate(table, context=context)
    except ValidationError as error:
        raise FileError(one_line(error, model, file, at)) from error


def one_line(error: ValidationError, model: type[BaseModel], file: Path, at: str = "") -> str:
    """Return "FILE: KEY: expected ..., got ..." for the first error, or "FILE: KEY: unknown key; ..."."""
    # A misspelt key explains why the right one is missing.
    details = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden")
    return f"{file}: {_message(details[0], model, at)}"


def unknown_key(at: str, key: str, known: Iterable[str]) -> str:
    """Return "KEY: unknown key; did you mean ...?", or what was expected where no known key is alike."""
    known = sorted(known)
    close = difflib.get_close_matches(key[:_SHOWN], known, 1)
    hint = f"did you mean {close[0]}?" if close else f"expected {', '.join(known)}"
    return f"{key_path(at, key)}: unknown key; {hint}"


def key_path(at: str, key: str) -> str:
    """Return the path of a key below ``at``; a key that is not a plain word is quoted."""
    shown_key = key if _BARE_KEY.fullmatch(key) and len(key) <= _SHOWN else repr(key[:_SHOWN])
    return f"{at}.{shown_key}" if at else shown_key


def expected(what: str, got: object = None, *, at: str = "") -> PydanticCustomError:
    """Return the exception that a validator raises.

    Args:
        what: what was expected; the message says "expected WHAT, got ...".
        got: the value to show, instead of the field's whole value.
        at: path below the field, such as ``[1]``.
    """
    return PydanticCustomError(_EXPECTED, "expected {expected}", {"expected": what, "got": got, "at": at})


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise PydanticCustomError("too_short", "at least one value")
    for index, value in enumerate(values):
        if value in values[:index]:
            got = value.value if isinstance(value, Enum) else value
            raise expected("each value once", got, at=f"[{index}]")
    return values


DISTINCT = AfterValidator(_distinct)
"""A list of different values, at least one."""


def shown(value: object) -> str:
    """Return a value about as TOML spells it, cut to a readable length, without control characters."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, Mapping):
        text = "a table"
    elif isinstance(value, list):
        text = f"[{', '.join(map(shown, value[:_SHOWN]))}]"
    else:
        text = f'"{value}"' if isinstance(value, str) else str(value)
    text = terminal_text(text[: 2 * _SHOWN])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _message(detail: ErrorDetails, model: type[BaseModel], path: str) -> str:
    unknown = detail["type"] == "extra_forbidden"
    place = _Place(model, path)
    for item in detail["loc"][:-1] if unknown else detail["loc"]:
        place.enter(item)
    context = detail.get("ctx", {})
    if unknown:
        return unknown_key(place.path, str(detail["loc"][-1]), place.keys())
    if detail["type"].startswith("union_tag"):
        place.enter(context["discriminator"].strip("'"))
    at, what = f"{place.path}{context.get('at', '')}", place.expected()
    if detail["type"] == _EXPECTED:
        what = context["expected"]
    if detail["type"] in ("missing", "union_tag_not_found"):
        return f"{at}: missing; expected {what}"
    if detail["type"] == "value_error":
        return f"{at}: {context['error']}"
    got = detail["input"] if context.get("got") is None else context["got"]
    if detail["type"] == "union_tag_invalid":
        got = context["tag"]
    return f"{at}: expected {what}" + ("" if place.secret else f", got {shown(got)}")


class _Place:
    """A position in a model, entered item by item along an error's ``loc``."""

    def __init__(self, model: type[BaseModel], path: str) -> None:
        self.path = path
        self.secret = False
        self._type: Any = model
        self._fields: list[FieldInfo] = []

    def enter(self, item: int | str) -> None:
        """Go on to a key or an index; other items, which pydantic adds for unions, change nothing."""
        kind = _bare(self._type)
        if _is_model(kind):
            field = _field(kind, str(item))
            if field is not None:
                self._go(key_path(self.path, str(item)), field.annotation, [field])
        elif isinstance(kind, list):
            self._enter_union(kind, str(item))
        elif typing.get_origin(kind) is dict:
            if item != "[key]":
                self._go(key_path(self.path, str(item)), typing.get_args(kind)[1], [])
        elif typing.get_origin(kind) in (tuple, list) and isinstance(item, int):
            self._go(f"{self.path}[{item}]", typing.get_args(kind)[0], [])

    def _enter_union(self, members: list[Any], item: str) -> None:
        """Choose the member that an item names: the value of its tag, or a tag's own key."""
        tables = [member for member in members if _is_model(member)]
        for member in tables:
            if any(item in _tags(member, name) for name in member.model_fields):
                self._type = member
                return
        tags = [tag for member in tables for tag in _tags(member, item)]
        if tags:
            self._go(key_path(self.path, item), typing.Literal[tuple(tags)], [])

    def _go(self, path: str, kind: Any, fields: list[FieldInfo]) -> None:
        self.path, self._type, self._fields = path, kind, [*fields, *_field_infos(kind)]
        self.secret = self.secret or any(not field.repr for field in fields)

    def keys(self) -> list[str]:
        """Return the keys of the table here."""
        kind = _bare(self._type)
        return [field.alias or name for name, field in kind.model_fields.items()] if _is_model(kind) else []

    def expected(self) -> str:
        """Return what belongs here, in words."""
        for field in self._fields:
            if field.description:
                return field.description
        limits = [limit for field in self._fields for limit in field.metadata]
        return _described(self._type, limits, self.path)


def _described(annotation: Any, limits: list[Any], path: str) -> str:
    """Return a type in words: "a whole number from 1 to 64"."""
    kind = _bare(annotation)
    limits = [*limits, *(limit for field in _field_infos(annotation) for limit in field.metadata)]
    if _is_model(kind) or isinstance(kind, list) or typing.get_origin(kind) is dict:
        return f"a table, [{path}]"
    if typing.get_origin(kind) in (tuple, list):
        element = typing.get_args(kind)[0]
        if _is_model(_bare(element)):
            return f"tables, each [[{path}]]"
        for field in _field_infos(element):
            if field.description:
                return f"a list of {field.description}"
        one = _described(element, [], path)
        for singular, plural in (("one of ", "some of "), ("a whole number", "whole numbers")):
            one = plural + one.removeprefix(singular) if one.startswith(singular) else one
        return f"a list of {'texts' if one == 'a text' else one}"
    choices = _choices(kind)
    if choices:
        return f"one of {', '.join(choices)}"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(kind, "another value") + (_range(limits) if kind in (int, float) else "")


def _range(limits: Iterable[Any]) -> str:
    found = {
        name: getattr(limit, name) for limit in limits for name in ("ge", "gt", "le") if hasattr(limit, name)
    }
    low, high = found.get("ge"), found.get("le")
    low_text, high_text = (f"{x:g}" if isinstance(x, float) else str(x) for x in (low, high))
    if low is not None and high is not None:
        return f" from {low_text} to {high_text}"
    if low is not None:
        return f", at least {low_text}"
    if "gt" in found:
        return f" above {found['gt']:g}" + (f", at most {high_text}" if high is not None else "")
    return f", at most {high_text}" if high is not None else ""


def _bare(annotation: Any) -> Any:
    """Return a type without Annotated and None; the members as a list if it is a union of several."""
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [_bare(one) for one in typing.get_args(annotation) if one is not types.NoneType]
        return members[0] if len(members) == 1 else members
    return annotation


def _field_infos(annotation: Any) -> list[FieldInfo]:
    """Return what ``Annotated`` says of a type, also of the one under an Optional."""
    found = []
    while typing.get_origin(annotation) is Annotated:
        annotation, *more = typing.get_args(annotation)
        found += [one for one in more if isinstance(one, FieldInfo)]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            found += _field_infos(member)
    return found


def _choices(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(member.value) for member in kind]
    if typing.get_origin(kind) is typing.Literal:
        return [str(_value(one)) for one in typing.get_args(kind)]
    return []


def _tags(model: type[BaseModel], name: str) -> list[Any]:
    """Return the values of a model's key if they are literals."""
    field = model.model_fields.get(name)
    literal = field is not None and typing.get_origin(field.annotation) is typing.Literal
    return [_value(tag) for tag in typing.get_args(field.annotation)] if field and literal else []


def _value(tag: Any) -> Any:
    return tag.value if isinstance(tag, Enum) else tag


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    return next((f for name, f in model.model_fields.items() if key in (name, f.alias)), None)
