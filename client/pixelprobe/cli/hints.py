"""Read GrabCut's rectangle and strokes from text, on the command line and in a review file."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click

from pixelprobe.masks import GrabCutOptions, Rectangle, Stroke

Points = tuple[tuple[int, int], ...]

RECTANGLE_FORM = "L,T,R,B: four numbers of pixels"
POINTS_FORM = "X,Y X,Y ...: points in pixels"


def read_rectangle(text: str) -> Rectangle:
    """``L,T,R,B`` in pixels as a rectangle.

    Raises:
        ValueError: it is none, or an empty one; the message says which.
    """
    match = re.fullmatch(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})", text.replace(" ", ""))
    if not match:
        raise ValueError(f"is not {RECTANGLE_FORM}")
    rectangle = Rectangle(*(int(number) for number in match.groups()))
    if rectangle.left >= rectangle.right or rectangle.top >= rectangle.bottom:
        raise ValueError("is empty: left must be under right, top under bottom")
    return rectangle


def read_points(text: str) -> Points:
    """``X,Y X,Y ...`` in pixels as points, at least one.

    Raises:
        ValueError: it is something else.
    """
    matches = [re.fullmatch(r"(\d{1,5}),(\d{1,5})", word) for word in text.split()]
    if not matches or not all(matches):
        raise ValueError(f"is not {POINTS_FORM}")
    return tuple((int(match[1]), int(match[2])) for match in matches if match)


def make_hints(
    rectangle: Rectangle | None,
    foreground: Sequence[Points],
    background: Sequence[Points],
    stroke_width: int,
    iterations: int | None,
) -> GrabCutOptions | None:
    """Combine them into options for GrabCut; None when there are none."""
    strokes = [Stroke(True, points, stroke_width) for points in foreground]
    strokes += [Stroke(False, points, stroke_width) for points in background]
    if rectangle is None and not strokes and iterations is None:
        return None
    return GrabCutOptions(rectangle, tuple(strokes), iterations or GrabCutOptions.iterations)


def parse_rectangle(ctx: click.Context, param: click.Parameter, value: str | None) -> Rectangle | None:
    """:func:`read_rectangle` for click."""
    if value is None:
        return None
    try:
        return read_rectangle(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} {error}", ctx, param) from error


def parse_strokes(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[Points, ...]:
    """:func:`read_points` of each, for click."""
    strokes = []
    for text in value:
        try:
            strokes.append(read_points(text))
        except ValueError as error:
            raise click.BadParameter(f"{text!r} {error}", ctx, param) from error
    return tuple(strokes)
