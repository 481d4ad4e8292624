"""Results as tables for people."""

from collections.abc import Sequence

from rich.table import Table

from pvdrivers.tools.figures import count, rendered, time
from pvdrivers.tools.pvbench.fio.costs import per_request
from pvdrivers.tools.pvbench.fio.measurement import DIRECTIONS, FioResult
from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.report.costs_table import costs_table

SHOWN = (50, 90, 99, 99.9)


def _latencies(latency: Latency) -> list[str]:
    return [time(latency.percentile(p)) for p in SHOWN]


def _content(result: FioResult) -> str:
    front = result.front
    if front.verify_errors:
        return f"[red]{front.verify_errors} wrong[/red]"
    return f"{count(front.verified)} blocks right" if front.verified else "not checked"


def _speed(results: Sequence[FioResult]) -> Table:
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
                count(direction.ios / seconds),
                f"{direction.bytes / seconds / 1e6:.0f}",
                *_latencies(direction.lat),
                _content(result),
            )
        if result.front.syncs:
            rate = count(result.front.syncs / seconds)
            latencies = _latencies(result.front.sync_lat)
            table.add_row(f"{result.job.name}: flush", rate, "", *latencies, "")
    return table


def _costs(results: Sequence[FioResult]) -> Table:
    rows = ((result.job.name, per_request(result)) for result in results)
    return costs_table("Per request", rows, maps=True)


def show(results: Sequence[FioResult]) -> str:
    return rendered(_speed(results), _costs(results))
