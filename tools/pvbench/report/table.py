"""Results as tables for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.job.measurement import DIRECTIONS, Result
from pvdrivers.tools.pvbench.report.costs import per_request

SHOWN = (50, 90, 99, 99.9)
WIDTH = 110  # characters, when the output is no terminal


def _time(ns: int) -> str:
    if ns < 10_000:
        return f"{ns / 1000:.1f} µs"
    if ns < 1_000_000:
        return f"{ns / 1000:.0f} µs"
    return f"{ns / 1_000_000:.1f} ms"


def _count(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:.2f}M"
    return f"{value / 1000:.1f}k" if value >= 10_000 else f"{value:.0f}"


def _small(value: float) -> str:
    return "0" if value == 0 else f"{value:.2g}" if value < 0.995 else f"{value:.2f}"


def _latencies(latency: Latency) -> list[str]:
    return [_time(latency.percentile(p)) for p in SHOWN]


def _content(result: Result) -> str:
    front = result.front
    if front.verify_errors:
        return f"[red]{front.verify_errors} wrong[/red]"
    return f"{_count(front.verified)} blocks right" if front.verified else "not checked"


def _speed(results: Sequence[Result]) -> Table:
    table = Table(title="Latency and throughput", title_justify="left")
    table.add_column("workload")
    for title in ("IOPS", "MB/s", *(f"p{p}" for p in SHOWN), "content"):
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        seconds = result.front.elapsed_ns / 1e9 or 1.0
        several = sum(d.ios > 0 for d in result.front.directions) > 1
        for name, direction in zip(DIRECTIONS, result.front.directions, strict=True):
            if not direction.ios:
                continue
            table.add_row(
                f"{result.job.name}: {name}" if several else result.job.name,
                _count(direction.ios / seconds),
                f"{direction.bytes / seconds / 1e6:.0f}",
                *_latencies(direction.lat),
                _content(result),
            )
        if result.front.syncs:
            rate = _count(result.front.syncs / seconds)
            latencies = _latencies(result.front.sync_lat)
            table.add_row(f"{result.job.name}: flush", rate, "", *latencies, "")
    return table


def _costs(results: Sequence[Result]) -> Table:
    table = Table(title="Per request", title_justify="left")
    table.add_column("workload")
    titles = (
        "front notifies\nsent / saved",
        "back notifies\nsent / saved",
        "grant\nmaps",
        "grant\ncopies",
        "bytes copied\nfront + back",
        "hypercalls",
    )
    for title in titles:
        table.add_column(title, justify="right")
    for result in results:
        exact = per_request(result)
        cost = {name: _small(value) for name, value in exact.items()}
        table.add_row(
            result.job.name,
            f"{cost['front_notifications_sent']} / {cost['front_notifications_suppressed']}",
            f"{cost['back_notifications_sent']} / {cost['back_notifications_suppressed']}",
            cost["grant_maps"],
            cost["grant_copies"],
            f"{exact['front_bytes_copied']:.0f} + {exact['back_bytes_copied']:.0f}",
            cost["hypercalls"],
        )
    return table


def show(results: Sequence[Result]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    with console.capture() as captured:  # rich would end the program where a pipe is closed
        console.print(_speed(results))
        console.print(_costs(results))
    print(captured.get(), end="")
