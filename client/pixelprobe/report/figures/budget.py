"""Success by query budget: how many images have fallen after so many queries each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pixelprobe.report.figure_data import BudgetRow
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


def budget_charts(rows: Sequence[BudgetRow]) -> Iterator[Chart]:
    """One chart a model and number of pixels, a curve a region with its interval shaded."""
    for model in dict.fromkeys(row.model for row in rows):
        for pixels in sorted({row.pixels for row in rows if row.model == model}):
            own = [row for row in rows if row.model == model and row.pixels == pixels]
            with chart_style():
                figure = _draw(own)
                title = f"{model}, {pixels_in_words(pixels)}: images fooled by queries sent"
                name = file_name("success_by_budget", model, f"{pixels}px")
                yield finish(figure, name, model, title, _alt(own, title))


def _draw(rows: Sequence[BudgetRow]) -> Figure:
    figure = new_figure(2.7)
    axes = figure.add_subplot()
    regions = list(dict.fromkeys(row.region for row in rows))
    last = max([row.queries for row in rows] + [10])
    for region in regions:
        _curve(axes, [row for row in rows if row.region == region], last)
    axes.set_xscale("log")
    axes.set_xlim(1, last)
    axes.xaxis.set_major_locator(LogLocator(10))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
    axes.set_ylim(0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}%"))
    axes.set_xlabel("queries sent for an image, at most")
    light_grid(axes, "y")
    region_legend(figure, axes)
    return figure


def _curve(axes: Axes, rows: Sequence[BudgetRow], last: int) -> None:
    style = REGION_STYLES[rows[0].region]
    known = [row for row in rows if row.share is not None]
    x = [max(1, row.queries) for row in known] + [last]
    share = [100 * (row.share or 0) for row in known]
    low = [100 * (row.low or 0) for row in known]
    high = [100 * (row.high or 0) for row in known]
    axes.step(x, [*share, share[-1]], where="post", color=style.colour, ls=style.line, label=rows[0].region)
    axes.fill_between(
        x, [*low, low[-1]], [*high, high[-1]], step="post", color=style.colour, alpha=0.11, lw=0
    )


def _alt(rows: Sequence[BudgetRow], title: str) -> str:
    final = {row.region: row.share for row in rows if row.share is not None}
    told = "; ".join(f"{region} {percent(share)}" for region, share in final.items())
    return f"{title}. In the end: {told}."
