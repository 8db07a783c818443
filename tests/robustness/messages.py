"""Hostile messages of any protobuf type, built field by field from its descriptor.

What a field holds is drawn from values that break programs: the ends of every integer type, NaN, text that is
empty, endless, not ASCII or nearly a name, undefined enum numbers, bytes of the wrong length. Names of
things that exist may be given as ``known``: nonsense that passes the first check gets further.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

_FIELD = FieldDescriptor
_UNSIGNED = {
    _FIELD.TYPE_UINT32: 32,
    _FIELD.TYPE_FIXED32: 32,
    _FIELD.TYPE_UINT64: 64,
    _FIELD.TYPE_FIXED64: 64,
}
_SIGNED = {
    _FIELD.TYPE_INT32: 32,
    _FIELD.TYPE_SINT32: 32,
    _FIELD.TYPE_SFIXED32: 32,
    _FIELD.TYPE_INT64: 64,
    _FIELD.TYPE_SINT64: 64,
    _FIELD.TYPE_SFIXED64: 64,
}
_FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 5e-324, 1e308, math.inf, -math.inf, math.nan)
_TEXTS = (
    "",
    " ",
    "/",
    "campaigns/",
    "campaigns/none",
    "campaigns/a/b",
    "campaigns/../../etc/passwd",
    "campaigns/\0",
    "campaigns//attacks/0",
    "campaigns/none/attacks/-1",
    "campaigns/none/attacks/999999999",
    "campaigns/none/attacks/٣",
    "0",
    "-1",
    "999999999",
    "9" * 30,
    "\0",
    "' OR 1=1; --",
    "%s%n{0}",
    "\u202e\ud7ff\uffff",
    "é" * 3000,
    "x" * 100_000,
    "/" * 100_000,
    "0" * 64,
    "A" * 64,
    "g" * 64,
    "auto",
    "grabcut",
    "u2net",
)


def hostile(descriptor: Descriptor, known: Sequence[str] = ()) -> st.SearchStrategy[Message]:
    """Messages of that type, parsed and serialised without complaint, with any field off or missing."""
    return _message(descriptor, tuple(known))


def spoiled(valid: Message, known: Sequence[str] = ()) -> st.SearchStrategy[Message]:
    """``valid`` with one field, at whatever depth, set to something hostile."""
    places = list(_places(valid))
    if not places:
        return st.just(valid)
    return st.sampled_from(places).flatmap(
        lambda place: _values(place[1], tuple(known)).map(
            lambda value: _replaced(valid, place[0], place[1], value)
        )
    )


def mutated(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Serialised messages with a few bytes flipped, cut out, doubled or put in; many no longer parse."""
    changes = st.lists(st.tuples(st.sampled_from("fxdi"), st.floats(0, 1), st.binary(max_size=8)), max_size=4)
    return st.builds(_mutate, st.sampled_from(list(valid)), changes)


def _places(
    message: Message, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Each field, set or not: the way to its message, and what it is."""
    for field in message.DESCRIPTOR.fields:
        yield path, field
        if field.type != _FIELD.TYPE_MESSAGE:
            continue
        if field.is_repeated:
            for index, one in enumerate(getattr(message, field.name)):
                yield from _places(one, (*path, field.name, index))
        elif message.HasField(field.name):
            yield from _places(getattr(message, field.name), (*path, field.name))


def _replaced(valid: Message, path: tuple[str | int, ...], field: Any, value: Any) -> Message:
    copy = type(valid)()
    copy.CopyFrom(valid)
    owner: Any = copy
    for step in path:
        owner = owner[step] if isinstance(step, int) else getattr(owner, step)
    owner.ClearField(field.name)
    if field.is_repeated:
        getattr(owner, field.name).extend(value)
    elif field.type == _FIELD.TYPE_MESSAGE:
        getattr(owner, field.name).CopyFrom(value)
    else:
        setattr(owner, field.name, value)
    return copy


def _mutate(raw: bytes, changes: Sequence[tuple[str, float, bytes]]) -> bytes:
    for kind, place, some in changes:
        at = round(place * len(raw))
        match kind:
            case "f":
                raw = raw[:at] + some[:1] + raw[at + len(some[:1]) :]
            case "x":
                raw = raw[:at] + raw[at + len(some) :]
            case "d":
                raw = raw[:at] + raw[at : at + 16] + raw[at:]
            case "i":
                raw = raw[:at] + some + raw[at:]
    return raw


@cache
def _message(descriptor: Descriptor, known: tuple[str, ...]) -> st.SearchStrategy[Message]:
    fields = {field.name: _values(field, known) for field in descriptor.fields}
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: _filled(descriptor, values))


def _filled(descriptor: Descriptor, values: dict[str, Any]) -> Message:
    message: Message = message_factory.GetMessageClass(descriptor)(**values)
    if descriptor.full_name.endswith("v1.Image") and values.get("rgb") == b"":
        # Of the right length now and then, or no image would ever get past its length.
        fits = message.width * message.height * 3  # type: ignore[attr-defined]
        message.rgb = bytes(min(fits, 3 * 64 * 64))  # type: ignore[attr-defined]
    return message


@cache
def _values(field: Any, known: tuple[str, ...]) -> st.SearchStrategy[Any]:
    one = _one(field, known)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one(field: Any, known: tuple[str, ...]) -> st.SearchStrategy[Any]:
    if field.type in _UNSIGNED or field.type in _SIGNED:
        return _integers(field)
    match field.type:
        case _FIELD.TYPE_MESSAGE:
            return hostile(field.message_type, known)
        case _FIELD.TYPE_ENUM:
            numbers = [value.number for value in field.enum_type.values]
            return st.sampled_from([*numbers, -1, 99, 2**31 - 1])
        case _FIELD.TYPE_FLOAT | _FIELD.TYPE_DOUBLE:
            return st.sampled_from(_FLOATS)
        case _FIELD.TYPE_BOOL:
            return st.booleans()
        case _FIELD.TYPE_BYTES:
            return st.just(b"") | st.binary(max_size=64)
        case _FIELD.TYPE_STRING:
            usual = st.sampled_from(_TEXTS) | st.text(max_size=20)
            return st.sampled_from(known) | usual if known else usual
    raise AssertionError(f"{field.full_name} is of a type that these tests do not know")


def _integers(field: Any) -> st.SearchStrategy[int]:
    if field.type in _UNSIGNED:
        low, high = 0, 2 ** _UNSIGNED[field.type] - 1
    else:
        high = 2 ** (_SIGNED[field.type] - 1) - 1
        low = -high - 1
    small = [number for number in (0, 1, 2, 3, 4, 8, 64, 1000, 4096, 4097) if low <= number <= high]
    return st.sampled_from([*small, low, high, high // 2 + 1]) | st.integers(low, high)
