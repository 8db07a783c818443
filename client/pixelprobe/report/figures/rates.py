"""How often images fall, by region and model, with the paper's numbers: the report's first chart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pixelprobe.report.figure_data import BudgetRow
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
from pixelprobe.report.tables import TableRow

METRICS = ("untargeted1_success_percent", "untargeted_success_percent")
"""Of table II and III: the same rate, beside the paper's numbers on CIFAR-10 and on ImageNet."""


def success_charts(table: Sequence[TableRow]) -> Iterator[Chart]:
    """One chart for each number of pixels: a line a model and region, its rate and interval in percent.

    Args:
        table: II or III.
    """
    rows = [row for row in table if row.metric in METRICS and row.ours is not None]
    for pixels in sorted({row.pixels for row in rows if row.pixels is not None}):
        yield _chart([row for row in rows if row.pixels == pixels], pixels)


def _chart(rows: Sequence[TableRow], pixels: int) -> Chart:
    models = list(dict.fromkeys(row.model for row in rows))
    with chart_style():
        lines = len(rows) + 1.3 * len(models)
        figure = new_figure(0.85 + 0.21 * lines)
        axes = figure.add_subplot()
        y, ticks, labels = 0.0, [], []
        for model in models:
            axes.text(0, y, fitting(model), va="center", weight="bold", color=INK)
            y += 1
            for row in (row for row in rows if row.model == model):
                _line(axes, row, y)
                ticks.append(y)
                labels.append(row.region)
                y += 1
            y += 0.3
        axes.set_yticks(ticks, labels)
        for text, region in zip(axes.get_yticklabels(), labels, strict=True):
            text.set_color(REGION_STYLES[region].text)
        axes.set_ylim(y - 0.2, -0.8)
        highest = max([row.high or row.ours or 0 for row in rows] + [row.paper or 0 for row in rows])
        right = min(100, max(5, highest * 1.06))
        axes.set_xlim(-0.02 * right, right)
        axes.set_xlabel("images fooled, %")
        light_grid(axes, "x")
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.02)
        if any(row.paper is not None for row in rows):
            figure.legend(handles=_legend(), loc="outside upper left", ncols=2, handletextpad=0.4)
        title = f"Images fooled by changing {pixels_in_words(pixels)}, untargeted"
        return finish(figure, f"success_{pixels}px", "", title, _alt(rows, title))


def _line(axes: Axes, row: TableRow, y: float) -> None:
    style = REGION_STYLES[row.region]
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [y, y], color=style.colour, lw=2.2, alpha=0.55, clip_on=False)
    axes.plot(row.ours or 0, y, style.marker, color=style.colour, ms=6, clip_on=False, zorder=4)
    if row.paper is not None:
        axes.plot(row.paper, y, "|", color=INK, ms=13, mew=2, clip_on=False, zorder=5)


def _legend() -> list[Line2D]:
    ours = Line2D([], [], color=FAINT, marker="o", lw=2.2, ms=6, label="ours, 95% interval")
    paper = Line2D([], [], color=INK, marker="|", lw=0, ms=11, mew=2, label="the paper's")
    return [ours, paper]


def _alt(rows: Sequence[TableRow], title: str) -> str:
    summary = "; ".join(
        f"{row.model}, {row.region}: {row.ours:.1f}%"
        + (f" (paper {row.paper:g}%)" if row.paper is not None else "")
        for row in rows
    )
    return f"{title}. {summary}."


def budget_charts(rows: Sequence[BudgetRow]) -> Iterator[Chart]:
    """One chart a model and number of pixels, a curve a region with its interval shaded."""
    for model in dict.fromkeys(row.model for row in rows):
        for pixels in sorted({row.pixels for row in rows if row.model == model}):
            own = [row for row in rows if row.model == model and row.pixels == pixels]
            with chart_style():
                figure = _draw(own)
                title = f"{model}, {pixels_in_words(pixels)}: images fooled by queries sent"
                name = file_name("success_by_budget", model, f"{pixels}px")
                yield finish(figure, name, model, title, _budget_alt(own, title))


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


def _budget_alt(rows: Sequence[BudgetRow], title: str) -> str:
    final = {row.region: row.share for row in rows if row.share is not None}
    summary = "; ".join(f"{region} {percent(share)}" for region, share in final.items())
    return f"{title}. In the end: {summary}."
