"""Fig. 6: how the fitness falls from generation to generation, a panel a region and one for their means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pixelprobe.report.figure_data import FitnessRow
from pixelprobe.report.figures.style import (
    FAINT,
    REGION_STYLES,
    Chart,
    LineStyle,
    chart_style,
    file_name,
    finish,
    light_grid,
    new_figure,
)

_CURVE = "#9a9fab"


def fitness_charts(rows: Sequence[FitnessRow]) -> Iterator[Chart]:
    """One chart a model: three panels of curves with their means, and the means together."""
    for model, own in groupby(rows, key=lambda row: row.model):
        yield _chart(model, list(own))


def _chart(model: str, rows: Sequence[FitnessRow]) -> Chart:
    with chart_style():
        figure = _draw(rows)
        images = len({row.image_digest for row in rows if row.image_digest})
        title = f"{model}: best fitness by generation, {images} images that fall in all three regions"
        ends = {row.region: row.fitness for row in rows if not row.image_digest}
        summary = ", ".join(f"{region} {value:.2f}" for region, value in ends.items())
        alt = f"{title}. Means after the last generation: {summary}."
        return finish(figure, file_name("figure_6", model), model, title, alt)


def _draw(rows: Sequence[FitnessRow]) -> Figure:
    figure = new_figure(3.7)
    panels = figure.subplots(2, 2, sharex=True, sharey=True).flat
    regions = list(dict.fromkeys(row.region for row in rows))
    *own, together = panels
    for axes, region in zip(own, regions, strict=True):
        style = REGION_STYLES[region]
        axes.set_title(region, color=style.text)
        for digest, curve in groupby((row for row in rows if row.region == region), _digest):
            if digest:
                _plot(axes, list(curve), _CURVE, "solid", 0.8)
        mean = _mean(rows, region)
        _plot(axes, mean, style.colour, "solid", 2.2)
        _plot(together, mean, style.colour, style.line, 2.0)
    together.set_title("means", color=FAINT)
    for axes in (*own, together):
        axes.set_ylim(0, 1.02)
        light_grid(axes, "y")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.supxlabel("generation", fontsize=9.5, color=FAINT)
    figure.supylabel("probability of the clean class", fontsize=9.5, color=FAINT)
    return figure


def _digest(row: FitnessRow) -> str:
    return row.image_digest


def _mean(rows: Sequence[FitnessRow], region: str) -> list[FitnessRow]:
    return [row for row in rows if row.region == region and not row.image_digest]


def _plot(axes: Axes, curve: Sequence[FitnessRow], colour: str, line: LineStyle, width: float) -> None:
    """What was measured as a line; what is only known not to be higher, fainter."""
    measured = [row for row in curve if row.known]
    beyond = [row for row in curve if not row.known]
    x = [row.generation for row in measured]
    axes.plot(x, [row.fitness for row in measured], color=colour, ls=line, lw=width)
    if beyond:
        tail = [*measured[-1:], *beyond]
        axes.plot(
            [row.generation for row in tail],
            [row.fitness for row in tail],
            color=colour,
            ls=line,
            lw=width,
            alpha=0.35,
        )
