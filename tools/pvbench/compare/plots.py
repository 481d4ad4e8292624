"""The plots of the page, as SVG that stands in HTML."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pvdrivers.tools.pvbench.compare.history import Entry
from pvdrivers.tools.pvbench.compare.model import Curve, Measured, Row, Unit
from pvdrivers.tools.pvbench.compare.pairs import middle_and_spread
from pvdrivers.tools.pvbench.compare.report import amount, typical

WIDTH = 9.5  # inches
OURS, PEER, GOOD, BAD, GREY = "#1f6fb4", "#d9822b", "#2e8b57", "#c23b3b", "#777777"
STYLE = Path(__file__).with_name("page.mplstyle")
FURTHEST = 1000  # from a target; a logarithmic axis has no place for zero
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def _figure(height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout="constrained")


def _svg(figure: Figure) -> str:
    """A figure as an element of HTML, without the XML's preamble."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata=NO_METADATA)
    element = text.getvalue()
    element = element[element.index("<svg") :]
    # In HTML the parser knows both name spaces.
    return re.sub(r'\s+xmlns(:xlink)?="[^"]*"', "", element)


def sections(rows: Sequence[Row], entries: Sequence[Entry]) -> Iterator[tuple[str, str, str]]:
    """Title, words, plot; those without data are left out."""
    with style.context(STYLE):
        for title, words, figure in (
            (
                "Ratios and targets",
                "Dot: the median; line: from the lowest pair to the highest.",
                ratios(rows),
            ),
            ("Throughput", "Bar: the median; tick: a run.", throughput(rows, "operations/s")),
            ("Bandwidth", "Bar: the median; tick: a run.", throughput(rows, "bytes/s")),
            ("Latency", "Operations that took no longer, in the last run.", latencies(rows)),
            ("Cost per stage", "What leaving a stage out saves.", stages(rows)),
            ("Scaling", "How a value changes with the number of something.", curves(rows)),
            ("History", "Ratio by target; above 1 the target is met.", history(rows, entries)),
        ):
            if figure:
                yield title, words, _svg(figure)


def ratios(rows: Sequence[Row]) -> Figure | None:
    """Each ratio by its target, with the spread: right of the line is better."""
    shown = [row for row in rows if row.ratio is not None and row.target]
    if not shown:
        return None
    figure = _figure(0.7 + 0.36 * len(shown))
    axes = figure.subplots()
    for place, row in enumerate(shown):
        assert row.target
        assert row.spread
        assert row.ratio is not None
        ends = sorted(_by_target(row, value) for value in row.spread)
        colour = GOOD if row.met else BAD
        axes.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([_by_target(row, row.ratio)], [place], "o", color=colour)
    axes.set_xscale("log")
    _plain(axes.xaxis, axes.get_xlim())
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set_yticks(range(len(shown)), [row.name for row in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("ratio by target; at 1 the target is met, to the right it is exceeded")
    return figure


def _plain(axis: Axis, limits: tuple[float, float]) -> None:
    """Numbers without powers of ten on a logarithmic axis, more of them where it is short."""
    low, high = limits
    if high < 30 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _by_target(row: Row, ratio: float) -> float:
    assert row.target
    by_target = ratio / row.target
    if row.sense == "<=":
        return 1 / max(by_target, 1 / FURTHEST)
    return max(by_target, 1 / FURTHEST)


def throughput(rows: Sequence[Row], unit: Unit) -> Figure | None:
    """Ours beside the peer, the median as a bar and each run as a tick."""
    shown = [row for row in rows if row.unit == unit and row.ours and row.theirs]
    if not shown:
        return None
    figure = _figure(0.8 + 0.55 * len(shown))
    axes = figure.subplots()
    for place, row in enumerate(shown):
        _bar(axes, place - 0.2, row.ours, unit, OURS, "ours" if not place else None)
        _bar(axes, place + 0.2, row.theirs, unit, PEER, "the peer" if not place else None)
    axes.set_yticks(range(len(shown)), [f"{row.name}\n{row.peer}" for row in shown])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value, unit)))
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def _bar(
    axes: Axes, place: float, runs: Sequence[Measured], unit: Unit, colour: str, label: str | None
) -> None:
    values = sorted(run.value for run in runs)
    axes.barh(
        place, middle_and_spread(values)[0], height=0.36, color=colour, alpha=0.75, label=label
    )
    axes.plot(values, [place] * len(values), "|", color="black", markersize=5)
    text = f" {typical(runs, unit)}"
    axes.annotate(text, (values[-1], place), (3, 0), textcoords="offset points", va="center")


def latencies(rows: Sequence[Row]) -> Figure | None:
    """The share of operations that took no longer, of the last pair of each row."""
    shown = [row for row in rows if row.ours and row.ours[-1].latency]
    if not shown:
        return None
    lines = -(-len(shown) // 3)
    figure = _figure(0.5 + 2.3 * lines)
    grid = list(figure.subplots(lines, 3, squeeze=False).flat)
    for axes, row in zip(grid, shown, strict=False):
        _cdf(axes, row.ours[-1], OURS, "ours")
        if row.theirs and row.theirs[-1].latency:
            _cdf(axes, row.theirs[-1], PEER, "the peer")
        axes.set_xscale("log")
        axes.set_title(row.name)
        axes.set_xlabel("µs")
        _plain(axes.xaxis, axes.get_xlim())
        axes.legend(loc="lower right")
    for axes in grid[len(shown) :]:
        axes.set_visible(False)
    return figure


def _cdf(axes: Axes, run: Measured, colour: str, label: str) -> None:
    points = [(max(ns, 1.0) / 1000, share) for ns, share in run.latency]
    axes.plot(*zip(*points, strict=True), color=colour, label=label)
    axes.set_ylabel("% of operations")


def stages(rows: Sequence[Row]) -> Figure | None:
    """What an operation's time is made of: the median of each stage."""
    shown = [row for row in rows if row.ours and row.ours[0].stages]
    if not shown:
        return None
    figure = _figure(0.9 + 0.6 * len(shown))
    axes = figure.subplots()
    for place, row in enumerate(shown):
        start = 0.0
        for number, (stage, ns) in enumerate(_middle_stages(row.ours)):
            axes.barh(place, max(ns, 0), left=start, color=f"C{number}", label=stage)
            axes.annotate(f"{ns:,.0f} ns", (start + max(ns, 0) / 2, place), ha="center")
            start += max(ns, 0)
    axes.set_yticks(range(len(shown)), [row.name for row in shown])
    axes.set_xlabel("ns of an operation")
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=4)
    return figure


def _middle_stages(runs: Sequence[Measured]) -> Iterable[tuple[str, float]]:
    for stage in runs[0].stages:
        values = [run.stages[stage] for run in runs]
        yield stage, middle_and_spread(values)[0]


def curves(rows: Sequence[Row]) -> Figure | None:
    """The curves of the last run of each row, one plot for each title."""
    drawn: dict[str, dict[str, Curve]] = {}
    for row in rows:
        for side, runs in (("ours", row.ours), (row.peer or "", row.theirs)):
            for curve in runs[-1].curves if runs else ():
                drawn.setdefault(curve.title, {})[side] = curve
    if not drawn:
        return None
    lines = -(-len(drawn) // 2)
    figure = _figure(0.4 + 2.8 * lines)
    grid = list(figure.subplots(lines, 2, squeeze=False).flat)
    for axes, (title, sides) in zip(grid, drawn.items(), strict=False):
        axes.set_title(title)
        _curves(axes, sides)
    for axes in grid[len(drawn) :]:
        axes.set_visible(False)
    return figure


def _curves(axes: Axes, sides: Mapping[str, Curve]) -> None:
    for (side, curve), colour in zip(sides.items(), (OURS, PEER), strict=False):
        axes.plot(*zip(*curve.points, strict=True), "o-", color=colour, label=side)
        axes.set_xlabel(curve.x)
        axes.set_ylabel(curve.y)
    numbers = [x for curve in sides.values() for x, _ in curve.points]
    if 0 < 30 * min(numbers) < max(numbers):
        axes.set_xscale("log")
        _plain(axes.xaxis, axes.get_xlim())
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    if len(sides) > 1:
        axes.legend()


def history(rows: Sequence[Row], entries: Sequence[Entry]) -> Figure | None:
    """Each row's ratio by its target, commit by commit."""
    if len(entries) < 2:
        return None
    targets = {row.name: row for row in rows if row.target}
    figure = _figure(4)
    axes = figure.subplots()
    for number, (name, row) in enumerate(targets.items()):
        points = [
            (place, _by_target(row, entry.ratios[name]))
            for place, entry in enumerate(entries)
            if name in entry.ratios
        ]
        if points:
            colour = f"C{number % 10}"
            dashes = "-" if number < 10 else "--"
            axes.plot(*zip(*points, strict=True), dashes, marker="o", color=colour, label=name)
    axes.set_yscale("log")
    _plain(axes.yaxis, axes.get_ylim())
    axes.axhline(1, color=GREY, linewidth=1)
    axes.set_xticks(range(len(entries)), [entry.commit for entry in entries], rotation=60)
    axes.set_ylabel("ratio by target")
    figure.legend(loc="outside right upper")
    return figure
