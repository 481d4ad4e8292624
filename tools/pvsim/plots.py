"""The plots of the page."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from pvdrivers.tools.page import Section
from pvdrivers.tools.pvsim.result import Result, percentile, time_text
from pvdrivers.tools.pvsim.sweep import Sweep
from pvdrivers.tools.svg import STYLE, new_figure, to_svg

CPU, STEAL = "#1f6fb4", "#d9822b"
POINTS = [percent / 10 for percent in range(1, 1000)]  # of a curve, percent


def result_sections(result: Result) -> Iterator[Section]:
    with style.context(STYLE):
        words = "CPUs that a guest of each kind had, and waited for while it could have run."
        yield "CPU", words, to_svg(shares(result))
        if any(group.latencies for group in result.groups):
            yield "Latency", "Share of the requests that took no longer.", to_svg(latencies(result))


def sweep_sections(sweep: Sweep) -> Iterator[Section]:
    with style.context(STYLE):
        if any(point.group.latencies for point in sweep.points):
            words = "What so many percent of the requests took at most."
            yield "Latency", words, to_svg(curve_of_latency(sweep))
        words = "Of a guest on average, in CPUs."
        yield "CPU and steal", words, to_svg(curve_of_shares(sweep))


def shares(result: Result) -> Figure:
    kinds = [(group.section.name, group.shares) for group in result.groups]
    if result.has_devices:
        kinds.insert(0, ("dom0", result.dom0))
    figure = new_figure(0.9 + 0.4 * len(kinds))
    axes = figure.subplots()
    for place, (_, each) in enumerate(kinds):
        has, waits = ("has", "waits") if place == 0 else (None, None)
        axes.barh(place, each.cpus, color=CPU, label=has)
        axes.barh(place, each.steal, left=each.cpus, color=STEAL, label=waits)
    axes.set_yticks(range(len(kinds)), [name for name, _ in kinds])
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.set_xlabel("CPUs")
    axes.legend()
    return figure


def latencies(result: Result) -> Figure:
    figure = new_figure(3.5)
    axes = figure.subplots()
    for group in result.groups:
        if group.latencies:
            values = [percentile(group.latencies, point) or 0 for point in POINTS]
            axes.plot(values, POINTS, label=group.section.name)
    _times(axes, "x")
    axes.set_ylabel("% of the requests")
    axes.legend()
    return figure


def curve_of_latency(sweep: Sweep) -> Figure:
    figure = new_figure(3.5)
    axes = figure.subplots()
    points = [point for point in sweep.points if point.group.latencies]
    for percent in (50, 90, 99):
        values = [percentile(point.group.latencies, percent) or 0 for point in points]
        axes.plot([point.per_cpu for point in points], values, "o-", label=f"{percent} %")
    _times(axes, "y")
    axes.set_xlabel("guests a CPU")
    axes.legend()
    return figure


def curve_of_shares(sweep: Sweep) -> Figure:
    figure = new_figure(3)
    axes = figure.subplots()
    places = [point.per_cpu for point in sweep.points]
    shares = [point.group.shares for point in sweep.points]
    axes.plot(places, [each.cpus for each in shares], "o-", color=CPU, label="has")
    axes.plot(places, [each.steal for each in shares], "o-", color=STEAL, label="waits")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("guests a CPU")
    axes.legend()
    return figure


def _times(axes: Axes, which: str) -> None:
    """A logarithmic axis of ns."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axes.set(**{f"{which}scale": "log"})
    axis.set_major_formatter(FuncFormatter(lambda value, _: time_text(round(value))))
    axis.set_minor_formatter(NullFormatter())
