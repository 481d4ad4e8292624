"""Results as tables for people."""

from collections.abc import Sequence

from rich.table import Table

from pvdrivers.tools.figures import count, rendered, time
from pvdrivers.tools.pvbench.report.costs_table import costs_table
from pvdrivers.tools.pvbench.vnif.costs import per_packet
from pvdrivers.tools.pvbench.vnif.measurement import Count, VnifResult
from pvdrivers.tools.pvbench.vnif.reading import rx_dropped, seconds, tx_dropped

SHOWN = (50, 90, 99, 99.9)


def _rates(moved: Count, result: VnifResult) -> list[str]:
    rate = 8 * moved.bytes / seconds(result) / 1e9
    return [count(moved.packets / seconds(result)), f"{rate:.2f}"]


def _rows(result: VnifResult) -> list[list[str]]:
    front, name = result.front, result.job.name
    rows = []
    if front.tx.packets:
        row = [name, "tx", *_rates(front.tx, result), count(tx_dropped(result)), "", ""]
        rows.append(row)
    if front.rx.packets or not front.tx.packets:
        faults = [count(rx_dropped(result)), count(front.lost), count(front.reordered)]
        rows.append(["" if rows else name, "rx", *_rates(front.rx, result), *faults])
    return rows


def _packets(results: Sequence[VnifResult]) -> Table:
    table = Table(title="Packets", title_justify="left")
    table.add_column("workload")
    table.add_column("")
    for title in ("packets/s", "Gbit/s", "dropped", "lost", "reordered"):
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        for row in _rows(result):
            table.add_row(*row)
    return table


def _latencies(results: Sequence[VnifResult]) -> Table:
    table = Table(title="From a request to its answer", title_justify="left")
    table.add_column("workload")
    for title in ("requests/s", *(f"p{p}" for p in SHOWN)):
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        latency = result.front.latency
        times = [time(latency.percentile(p)) for p in SHOWN]
        table.add_row(result.job.name, count(latency.count / seconds(result)), *times)
    return table


def _costs(results: Sequence[VnifResult]) -> Table:
    rows = ((result.job.name, per_packet(result)) for result in results)
    return costs_table("Per packet on a ring", rows, maps=False)


def show(results: Sequence[VnifResult]) -> str:
    asked = [result for result in results if result.front.latency.count]
    return rendered(_packets(results), *([_latencies(asked)] if asked else []), _costs(results))
