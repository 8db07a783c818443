"""A finished load test as one HTML page, in the report's style; needs the ``report`` extra."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources

import jinja2

from pixelprobe.load.values import LoadSpec, LoadStep, LoadWindow
from pixelprobe.report.figures.style import Chart, chart_style, finish, light_grid, new_figure

_LINES = (("p50", "#0072b2", "o"), ("p99", "#d55e00", "s"), ("p999", "#3b3f4a", "^"))


def load_page(
    spec: LoadSpec,
    steps: Sequence[LoadStep],
    windows: Sequence[Sequence[LoadWindow]],
    verdicts: Sequence[str],
    made: datetime | None = None,
) -> str:
    """The page as HTML that needs nothing but itself.

    Args:
        spec: what was asked for.
        steps: what was measured, in the order it ran.
        windows: of each step.
        verdicts: sentences to begin with: limits that were broken, the highest rate that held.
        made: when, aware; now by default.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pixelprobe.load", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    styles = resources.files("pixelprobe.report.page").joinpath("templates", "page.css")
    return environment.get_template("load.html.j2").render(
        style=styles.read_text(encoding="utf-8"),
        spec=spec,
        steps=steps,
        verdicts=verdicts,
        charts=[(chart, _uri(chart)) for chart in load_charts(steps, windows)],
        made=(made or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M UTC"),
    )


def load_charts(steps: Sequence[LoadStep], windows: Sequence[Sequence[LoadWindow]]) -> list[Chart]:
    """Latency over the load, and latency and rate over time; only what was measured."""
    answered = sorted(
        (step for step in steps if step.latency.max), key=lambda step: step.offered_rate or step.concurrency
    )
    with chart_style():
        charts = [_by_load(answered)] if len(answered) > 1 else []
        return charts + ([_by_time(windows)] if any(windows) else [])


def _by_load(steps: Sequence[LoadStep]) -> Chart:
    figure = new_figure(2.8, 5.2)
    axes = figure.subplots()
    open_loop = bool(steps[0].offered_rate)
    load = [step.offered_rate or step.concurrency for step in steps]
    for name, colour, marker in _LINES:
        latencies = [1000 * getattr(step.latency, name) for step in steps]
        axes.plot(load, latencies, color=colour, marker=marker, label=_words(name))
    axes.set_yscale("log")
    # Matplotlib's own labels of a logarithmic axis are formulas, and names may hold dollar signs here.
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.0e}"[0] in "25" else "")
    axes.set_xlabel("requests a second, offered" if open_loop else "requests at a time")
    axes.set_ylabel("latency, ms")
    light_grid(axes, "y")
    axes.legend()
    ends = ", ".join(f"{step.name}: {1000 * step.latency.p99:.1f} ms" for step in steps)
    return finish(figure, "latency_by_load", "", "Latency by load", f"99th percentile by load. {ends}.")


def _by_time(windows: Sequence[Sequence[LoadWindow]]) -> Chart:
    figure = new_figure(3.2, 5.2)
    above, below = figure.subplots(2, sharex=True)
    start = 0.0
    rates: list[tuple[float, float]] = []
    for step in windows:
        shown = [window for window in step if window.length_seconds > 0.1]
        times = [start + window.start_seconds for window in shown]
        above.plot(times, [1000 * window.p99 for window in shown], color="#d55e00", marker=".")
        below.plot(times, [window.rate for window in shown], color="#0072b2", marker=".")
        rates += [(time, window.rate) for time, window in zip(times, shown, strict=True)]
        if step:
            start += step[-1].start_seconds + step[-1].length_seconds
            above.axvline(start, color="#d5d8de")
            below.axvline(start, color="#d5d8de")
    above.set_ylabel("p99, ms")
    below.set_ylabel("answered /s")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        light_grid(axes, "y")
    most = max((rate for _, rate in rates), default=0.0)
    alt = f"99th percentile of the latency and answered requests by second; at most {most:.1f} a second."
    return finish(figure, "latency_by_time", "", "Latency and rate by time", alt)


def _words(name: str) -> str:
    return "p99.9" if name == "p999" else name


def _uri(chart: Chart) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(chart.svg).decode("ascii")
