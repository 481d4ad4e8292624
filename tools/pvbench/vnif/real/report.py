"""What `pvbench vnif --real` prints."""

import time
from collections.abc import Sequence

import msgspec
from rich.table import Table

from pvdrivers.tools.figures import count, rendered
from pvdrivers.tools.figures import time as short
from pvdrivers.tools.pvbench.vnif.real.measure import Measured, Negotiated, Outcome

NAMES = {"pv": "PV device, two TAPs", "veth": "veth pair"}


def _streams(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="TCP, one connection (iperf3 -C cubic)", title_justify="left")
    for title in ("path", "", ""):
        table.add_column(title)
    titles = (
        "Gbit/s",
        "retransmits",
        "packets\ntx / rx",
        "of these GSO\ntx / rx",
        "bytes a packet",
    )
    for title in titles:
        table.add_column(title, justify="right")
    for outcome in outcomes:
        if outcome.stream is None:
            continue
        got = outcome.counters
        carried = ["", "", ""]
        if got:
            data = outcome.direction  # acknowledgements go the other way
            mean = got[f"{data}_bytes"] / max(got[f"{data}_packets"], 1)
            packets = f"{count(got['tx_packets'])} / {count(got['rx_packets'])}"
            gso = f"{count(got['tx_gso'])} / {count(got['rx_gso'])}"
            carried = [packets, gso, f"{mean:.0f}"]
        table.add_row(
            NAMES[outcome.path],
            f"IPv{outcome.version}",
            outcome.direction,
            f"{outcome.stream.bits_per_second / 1e9:.2f}",
            str(outcome.stream.retransmits),
            *carried,
        )
    return table


def _round_trips(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="Round trips (ping)", title_justify="left")
    for title in ("path", ""):
        table.add_column(title)
    for title in ("least", "median", "mean", "most", "lost"):
        table.add_column(title, justify="right")
    for outcome in outcomes:
        if trips := outcome.round_trips:
            times = [short(int(ns)) for ns in (trips.min, trips.median, trips.mean, trips.max)]
            lost = f"{100 * trips.lost:.1f} %"
            table.add_row(NAMES[outcome.path], f"IPv{outcome.version}", *times, lost)
    return table


def _device(negotiated: Negotiated) -> str:
    queues = f"{negotiated.queues} queue{'s' if negotiated.queues > 1 else ''}"
    channels = "two event channels" if negotiated.split_event_channels else "one event channel"
    return (
        f"PV device: {queues} with {channels} each, MTU {negotiated.mtu}, "
        f"offloads {negotiated.offloads}"
    )


def show(found: Measured) -> str:
    tables = _streams(found.outcomes), _round_trips(found.outcomes)
    return f"{_device(found.negotiated)}\n{rendered(*tables)}"


def encode(found: Measured, version: str) -> str:
    report = {
        "pvbench version": version,
        "timestamp": int(time.time()),
        "negotiated": found.negotiated,
        "outcomes": found.outcomes,
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
