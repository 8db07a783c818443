"""How often images fall, by region and model, with the paper's numbers: the report's first chart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from pixelprobe.report.figures.style import (
    FAINT,
    INK,
    REGION_STYLES,
    Chart,
    chart_style,
    finish,
    fitting,
    light_grid,
    new_figure,
    pixels_in_words,
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
    told = "; ".join(
        f"{row.model}, {row.region}: {row.ours:.1f}%"
        + (f" (paper {row.paper:g}%)" if row.paper is not None else "")
        for row in rows
    )
    return f"{title}. {told}."
