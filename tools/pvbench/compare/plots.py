"""The plots of the page, as SVG that stands in HTML."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isclose
from statistics import median

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pvdrivers.tools.page import Section
from pvdrivers.tools.pvbench.compare.history import Entry
from pvdrivers.tools.pvbench.compare.model import Curve, Measured, Row, Unit, Verdict
from pvdrivers.tools.pvbench.compare.report import amount, goal, judged
from pvdrivers.tools.svg import STYLE, new_figure, to_svg

OURS, BASELINE, GREY = "#1f6fb4", "#d9822b", "#777777"
VERDICTS: dict[Verdict | None, str] = {True: "#2e8b57", False: "#c23b3b", "unknown": "#d6a21e"}
FURTHEST = 20  # times the target that an axis shows, or rows near their targets lie on one point
PAIR = "Bar: the pair of runs in the middle; tick: a run."


def sections(rows: Sequence[Row], entries: Sequence[Entry]) -> Iterator[Section]:
    """Title, words, plot; those without data are left out."""
    with style.context(STYLE):
        for title, words, figure in (
            (
                "Targets",
                "How far each row is from its target, as far as the axis goes. Dot: the pair of "
                "runs in the middle; line: from the lowest pair to the highest; yellow: uncertain.",
                targets(rows),
            ),
            ("Throughput", f"{PAIR} More is better.", throughput(rows, "operations/s")),
            ("Packets", f"{PAIR} More is better.", throughput(rows, "packets/s")),
            ("Bandwidth", f"{PAIR} More is better.", throughput(rows, "bytes/s")),
            (
                "Latency",
                "Share of the operations that took no longer, in the last pair of runs. Only rows "
                "whose two contenders measure the same: from submission, as many outstanding.",
                latencies(rows),
            ),
            ("Cost per stage", "What leaving a stage out saves.", stages(rows)),
            ("Scaling", "How a value changes with the number of something.", curves(rows)),
            ("History", "Above the line the target is met.", history(rows, entries)),
        ):
            if figure:
                yield title, words, to_svg(figure)


def targets(rows: Sequence[Row]) -> Figure | None:
    """How far each row is from its target, with the spread: right of the line is better."""
    shown = [row for row in rows if row.judged is not None and row.target]
    if not shown:
        return None
    figure = new_figure(0.7 + 0.4 * len(shown))
    axes = figure.subplots()
    for place, row in enumerate(shown):
        assert row.spread
        assert row.judged is not None
        ends = sorted(_by_target(row, value) for value in row.spread)
        colour = VERDICTS[row.met]
        axes.plot(ends, [place, place], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot([_by_target(row, row.judged)], [place], "o", color=colour)
    axes.set_xscale("log")
    _from_target(axes.xaxis)
    axes.axvline(1, color=GREY, linewidth=1)
    labels = [f"{row.name}\n{judged(row)}, target {goal(row)}" for row in shown]
    axes.set_yticks(range(len(shown)), labels)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel("left of the line a target is missed, right of it exceeded")
    return figure


def _from_target(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(_times))
    axis.set_minor_formatter(NullFormatter())


def _times(value: float, _: object) -> str:
    if isclose(value, 1):
        return "target"
    return f"{value:g} times better" if value > 1 else f"{1 / value:.3g} times worse"


def _plain(axis: Axis, limits: tuple[float, float]) -> None:
    """Numbers without powers of ten on a logarithmic axis, more of them where it is short."""
    low, high = limits
    if high < 30 * low:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _by_target(row: Row, value: float) -> float:
    """How many times better than the target, within what the axis shows."""
    assert row.target
    by_target = value / row.target
    if row.sense == "<=":
        by_target = 1 / max(by_target, 1 / FURTHEST)
    return min(max(by_target, 1 / FURTHEST), FURTHEST)


def throughput(rows: Sequence[Row], unit: Unit) -> Figure | None:
    """Ours beside the baseline. Rows differ a hundredfold, so the faster one of each is 100 %."""
    shown = [row for row in rows if row.unit == unit and row.ours and row.theirs]
    if not shown:
        return None
    figure = new_figure(0.8 + 0.55 * len(shown))
    axes = figure.subplots()
    for place, row in enumerate(shown):
        assert row.value is not None
        assert row.baseline_value is not None
        whole = max(row.value, row.baseline_value)
        for offset, value, runs, colour, contender in (
            (-0.2, row.value, row.ours, OURS, "ours"),
            (0.2, row.baseline_value, row.theirs, BASELINE, "the baseline"),
        ):
            values = sorted(100 * run.value / whole for run in runs)
            label = None if place else contender
            width = 100 * value / whole
            axes.barh(place + offset, width, height=0.36, color=colour, alpha=0.75, label=label)
            axes.plot(values, [place + offset] * len(values), "|", color="black", markersize=5)
            at = max(width, values[-1]), place + offset
            text = f" {amount(value, unit)}"
            axes.annotate(text, at, (3, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(shown)), [f"{row.name}\n{row.baseline}" for row in shown])
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    axes.set_xlabel("% of the faster contender")
    figure.legend(loc="outside upper right", ncols=2)
    return figure


def latencies(rows: Sequence[Row]) -> Figure | None:
    """The share of operations that took no longer, of the last pair of each row."""
    shown = [
        row
        for row in rows
        if row.ours and row.ours[-1].latency and row.theirs and row.theirs[-1].latency
    ]
    if not shown:
        return None
    lines = -(-len(shown) // 3)
    figure = new_figure(0.5 + 2.3 * lines)
    grid = list(figure.subplots(lines, 3, squeeze=False).flat)
    for axes, row in zip(grid, shown, strict=False):
        _cdf(axes, row.ours[-1], OURS, "ours")
        _cdf(axes, row.theirs[-1], BASELINE, row.baseline or "")
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
    figure = new_figure(0.9 + 0.6 * len(shown))
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
        yield stage, median(run.stages[stage] for run in runs)


def curves(rows: Sequence[Row]) -> Figure | None:
    """The curves of the last run of each row, one plot for each title."""
    drawn: dict[str, dict[str, Curve]] = {}
    for row in rows:
        for contender, runs in (("ours", row.ours), (row.baseline or "", row.theirs)):
            for curve in runs[-1].curves if runs else ():
                drawn.setdefault(curve.title, {})[contender] = curve
    if not drawn:
        return None
    lines = -(-len(drawn) // 2)
    figure = new_figure(0.4 + 2.8 * lines)
    grid = list(figure.subplots(lines, 2, squeeze=False).flat)
    for axes, (title, contenders) in zip(grid, drawn.items(), strict=False):
        axes.set_title(title)
        _curves(axes, contenders)
    for axes in grid[len(drawn) :]:
        axes.set_visible(False)
    return figure


def _curves(axes: Axes, contenders: Mapping[str, Curve]) -> None:
    for (contender, curve), colour in zip(contenders.items(), (OURS, BASELINE), strict=False):
        axes.plot(*zip(*curve.points, strict=True), "o-", color=colour, label=contender)
        axes.set_xlabel(curve.x)
        axes.set_ylabel(curve.y)
    numbers = [x for curve in contenders.values() for x, _ in curve.points]
    if 0 < 30 * min(numbers) < max(numbers):
        axes.set_xscale("log")
        _plain(axes.xaxis, axes.get_xlim())
    axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    if len(contenders) > 1:
        axes.legend()


def history(rows: Sequence[Row], entries: Sequence[Entry]) -> Figure | None:
    """How far each row was from its target, commit by commit."""
    if len(entries) < 2:
        return None
    figure = new_figure(4)
    axes = figure.subplots()
    for number, row in enumerate(row for row in rows if row.target):
        points = [
            (place, _by_target(row, value))
            for place, entry in enumerate(entries)
            if (value := entry.judged(row.name)) is not None
        ]
        if points:
            colour = f"C{number % 10}"
            dashes = "-" if number < 10 else "--"
            axes.plot(*zip(*points, strict=True), dashes, marker="o", color=colour, label=row.name)
    axes.set_yscale("log")
    _from_target(axes.yaxis)
    axes.axhline(1, color=GREY, linewidth=1)
    axes.set_xticks(range(len(entries)), [entry.commit for entry in entries], rotation=60)
    figure.legend(loc="outside right upper")
    return figure
