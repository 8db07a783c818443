"""How all charts look, and how a drawing becomes SVG and PNG bytes.

Charts are drawn no wider than a phone can show with readable letters. Colours are Okabe and Ito's, which
people with any colour vision can distinguish; regions differ in line and marker too, for print without
colour.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WIDTH = 4.0
"""Inches, of most charts; shown on a phone at about 0.9 of this."""

PNG_DPI = 200
INK = "#1c1e26"
FAINT = "#5d6270"
RULE = "#d5d8de"

LineStyle = str | tuple[float, Sequence[float]]


@dataclass(frozen=True)
class RegionStyle:
    """How a region is drawn everywhere. ``text`` is its colour in letters, dark enough to read on white."""

    colour: str
    text: str
    line: LineStyle
    marker: str


REGION_STYLES = {
    "whole": RegionStyle("#3b3f4a", "#3b3f4a", "solid", "o"),
    "foreground": RegionStyle("#d55e00", "#a84a00", "solid", "s"),
    "background": RegionStyle("#0072b2", "#00598c", (0, (6, 2)), "^"),
    "control": RegionStyle("#009e73", "#007355", (0, (1.5, 1.5)), "D"),
}

_SETTINGS: dict[Any, object] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollar signs
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "svg.fonttype": "path",  # letters look the same on every machine
    "svg.hashsalt": "pixelprobe",  # the same drawing has the same bytes
}


@dataclass(frozen=True)
class Chart:
    """A finished figure.

    Attributes:
        name: of its files, without suffix.
        model: whose attacks it shows; "" for all.
        title: in words; the drawing itself has none.
        alt: what it shows, alternative text for readers who cannot see it.
        width: in CSS pixels, 96 to the inch, as is ``height``.
    """

    name: str
    model: str
    title: str
    alt: str
    width: int
    height: int
    svg: bytes = field(repr=False)
    png: bytes = field(repr=False)


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw and render inside."""
    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes; the page has it in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure, sizes in inches; no window, no state that others share."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def finish(figure: Figure, name: str, model: str, title: str, alt: str) -> Chart:
    """Render a drawn figure; inside :func:`chart_style`."""
    svg, png = io.BytesIO(), io.BytesIO()
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, for both
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=PNG_DPI, metadata={"Software": None})
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Chart(name, model, title, alt, width, height, svg.getvalue(), png.getvalue())


def file_name(*parts: str) -> str:
    """Parts as one name that every file system takes."""
    return "_".join(re.sub(r"[^\w.-]+", "-", part, flags=re.ASCII).strip(".-") or "x" for part in parts)


def region_legend(figure: Figure, axes: Axes) -> None:
    """Name what ``axes`` holds, above it; four names take two lines."""
    handles, labels = axes.get_legend_handles_labels()
    columns = len(labels) if len(labels) <= 3 else 2
    figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, columnspacing=1.2, labelspacing=0.3
    )


def light_grid(axes: Axes, axis: Literal["x", "y"]) -> None:
    """Faint lines across ``axis``, and no ticks."""
    axes.grid(visible=True, axis=axis)
    axes.tick_params(length=0)


def fitting(name: str, length: int = 30) -> str:
    """A name that leaves room for the drawing."""
    return name if len(name) <= length else name[: length - 1] + "…"


def pixels_in_words(pixels: int) -> str:
    """A number of changed pixels with its noun."""
    return "one pixel" if pixels == 1 else f"{pixels} pixels"


def percent(share: float) -> str:
    """A share, 0 to 1, as percent for an alt text."""
    return f"{100 * share:.1f}%"
