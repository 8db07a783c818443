"""Fig. 4 and 5: from which class to which, as heat maps; of the fewest pixels attacked, as in the paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.scale import FuncScale
from numpy.typing import ArrayLike, NDArray

from pixelprobe.report.figure_data import PairRow, ReachedRow
from pixelprobe.report.figures.style import (
    FAINT,
    INK,
    REGION_STYLES,
    Chart,
    chart_style,
    file_name,
    finish,
    fitting,
    light_grid,
    new_figure,
    percent,
    pixels_in_words,
    region_legend,
)

MOST_CLASSES = 20
"""Beyond so many the squares would be too small to read."""

_SHADES = LinearSegmentedColormap.from_list("counts", ["#f1f3f6", "#9fc3e0", "#2f7ab5", "#08305c"])
"""Of one hue from light to dark: they keep their order without colour."""

FIGURES = {"untargeted": "figure_4", "targeted": "figure_5"}


def pair_charts(rows: Sequence[PairRow], goal: str, labels: Mapping[str, tuple[str, ...]]) -> Iterator[Chart]:
    """One chart a model and region, of one goal.

    Colours are on one scale for all regions of a model, so that regions compare.

    Args:
        rows: of classes 0 to at most MOST_CLASSES - 1, zeros too.
        goal: "untargeted" or "targeted".
        labels: the classes' names, by model, where known.
    """
    own = [row for row in rows if row.goal == goal]
    for model in dict.fromkeys(row.model for row in own):
        of_model = [row for row in own if row.model == model]
        pixels = min(row.pixels for row in of_model)
        of_model = [row for row in of_model if row.pixels == pixels]
        most = max(row.successes for row in of_model)
        for region in dict.fromkeys(row.region for row in of_model):
            counts = _counts([row for row in of_model if row.region == region])
            names = labels.get(model, ())
            yield _chart(counts, most, model, region, pixels, goal, names)


def _counts(rows: Sequence[PairRow]) -> NDArray[np.int64]:
    """(original, reached)."""
    size = 1 + max(row.original for row in rows)
    counts = np.zeros((size, size), dtype=np.int64)
    for row in rows:
        counts[row.original, row.reached] = row.successes
    return counts


def _chart(
    counts: NDArray[np.int64],
    most: int,
    model: str,
    region: str,
    pixels: int,
    goal: str,
    labels: tuple[str, ...],
) -> Chart:
    size = len(counts)
    names = [fitting(labels[index], 14) if index < len(labels) else str(index) for index in range(size)]
    title = f"{model}, {region}: {goal} successes by original class and class reached"
    with chart_style():
        figure = new_figure(3.4, width=3.4)
        axes = figure.add_subplot()
        axes.pcolormesh(counts, cmap=_SHADES, vmin=0, vmax=max(1, most), edgecolors="white", linewidth=1)
        for original, reached in zip(*np.nonzero(counts), strict=True):
            dark = counts[original, reached] > 0.5 * max(1, most)
            axes.text(
                reached + 0.5,
                original + 0.5,
                str(counts[original, reached]),
                ha="center",
                va="center",
                fontsize=8,
                color="white" if dark else INK,
            )
        for diagonal in range(size):
            axes.text(diagonal + 0.5, diagonal + 0.5, "–", ha="center", va="center", color=FAINT)
        axes.set_xticks(np.arange(size) + 0.5, names, rotation=55, ha="right", rotation_mode="anchor")
        axes.set_yticks(np.arange(size) + 0.5, names)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("class reached")
        axes.set_ylabel("original class")
        name = file_name(FIGURES[goal], model, region)
        alt = _alt(counts, names, f"{title}, {pixels_in_words(pixels)}")
        return finish(figure, name, model, title, alt)


def _alt(counts: NDArray[np.int64], names: Sequence[str], title: str) -> str:
    total = int(counts.sum())
    order = np.argsort(counts, axis=None, kind="stable")[::-1][:3]
    best = [divmod(int(place), len(counts)) for place in order]
    summary = "; ".join(
        f"{names[original]} to {names[reached]} {counts[original, reached]}"
        for original, reached in best
        if counts[original, reached]
    )
    return f"{title}: {total} in all" + (f", most often {summary}." if summary else ".")


_TICKS = (0, 1, 5, 10, 25, 50, 100)


def reached_charts(rows: Sequence[ReachedRow]) -> Iterator[Chart]:
    """One chart a model: a panel for each number of pixels, a point a region and number of classes reached.

    The axis of shares is a square root's, so that the few images that reach many classes can be seen beside
    the many that reach none.
    """
    for model in dict.fromkeys(row.model for row in rows):
        own = [row for row in rows if row.model == model]
        with chart_style():
            figure = _draw(own)
            title = f"{model}: images by number of target classes reached"
            yield finish(figure, file_name("figure_3", model), model, title, _reached_alt(own, title))


def _draw(rows: Sequence[ReachedRow]) -> Figure:
    counts = sorted({row.pixels for row in rows})
    regions = list(dict.fromkeys(row.region for row in rows))
    figure = new_figure(0.9 + 1.8 * len(counts))
    panels = figure.subplots(len(counts), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, pixels in zip(panels, counts, strict=True):
        axes.set_title(pixels_in_words(pixels))
        for place, region in enumerate(regions):
            shift = 0.13 * (place - (len(regions) - 1) / 2)
            own = [row for row in rows if row.pixels == pixels and row.region == region]
            if own:
                _points(axes, own, shift)
        light_grid(axes, "y")
        axes.set_yscale(FuncScale(axes, (_root, _square)))
        axes.set_ylim(0, 100)
        axes.set_yticks(_TICKS, [f"{tick}%" for tick in _TICKS])
        axes.set_ylabel("images")
    panels[-1].set_xticks(range(1 + max(row.classes_reached for row in rows)))
    panels[-1].set_xlabel("target classes reached")
    region_legend(figure, panels[0])
    return figure


def _root(values: ArrayLike) -> ArrayLike:
    return np.sqrt(np.maximum(values, 0))


def _square(values: ArrayLike) -> ArrayLike:
    return np.square(values)


def _points(axes: Axes, rows: Sequence[ReachedRow], shift: float) -> None:
    style = REGION_STYLES[rows[0].region]
    x = [row.classes_reached + shift for row in rows]
    y = [100 * (row.share or 0) for row in rows]
    low = [100 * (row.low or 0) for row in rows]
    high = [100 * (row.high or 0) for row in rows]
    axes.vlines(x, low, high, color=style.colour, lw=1.4, alpha=0.45)
    axes.plot(
        x,
        y,
        color=style.colour,
        ls=style.line,
        lw=0.9,
        marker=style.marker,
        ms=4,
        label=rows[0].region,
        clip_on=False,
    )


def _reached_alt(rows: Sequence[ReachedRow], title: str) -> str:
    summary = "; ".join(
        f"{pixels_in_words(row.pixels)}, {row.region}: {percent(1 - row.share)}"
        for row in rows
        if row.classes_reached == 0 and row.share is not None
    )
    return f"{title}. Share that reached at least one class: {summary}."
