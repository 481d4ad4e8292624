"""Results as tables for people."""

from collections.abc import Sequence

from rich.table import Table

from pvdrivers.tools.pvbench.fio.costs import per_request
from pvdrivers.tools.pvbench.fio.measurement import DIRECTIONS, FioResult
from pvdrivers.tools.pvbench.job.latency import Latency
from pvdrivers.tools.pvbench.report.figures import count, rendered, small, time

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
        cost = {name: small(value) for name, value in exact.items()}
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


def show(results: Sequence[FioResult]) -> str:
    return rendered(_speed(results), _costs(results))
