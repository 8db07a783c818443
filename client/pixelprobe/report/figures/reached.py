"""Fig. 3: how many of the other classes an image can be brought to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.scale import FuncScale
from numpy.typing import ArrayLike

from pixelprobe.report.figure_data import ReachedRow
from pixelprobe.report.figures.style import (
    REGION_STYLES,
    Chart,
    chart_style,
    file_name,
    finish,
    light_grid,
    new_figure,
    percent,
    pixels_in_words,
    region_legend,
)

MOST_CLASSES = 20
"""Beyond so many the points would be too close to read."""

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
            yield finish(figure, file_name("figure_3", model), model, title, _alt(own, title))


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


def _alt(rows: Sequence[ReachedRow], title: str) -> str:
    told = "; ".join(
        f"{pixels_in_words(row.pixels)}, {row.region}: {percent(1 - row.share)}"
        for row in rows
        if row.classes_reached == 0 and row.share is not None
    )
    return f"{title}. Share that reached at least one class: {told}."
