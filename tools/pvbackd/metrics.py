"""Counters for Prometheus, over HTTP on a port or a Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from pvdrivers.backends.device import Backend
from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbackd.config import Metrics
from pvdrivers.tools.pvbackd.http_page import REQUEST_MAX, HttpPage
from pvdrivers.tools.pvbackd.sockets import serve_unix
from pvdrivers.xenbus.device import XenbusDevice

AT_ONCE = 64  # devices whose counters are read before the loop does something else

# name, what it tells, its own label, and by value of that label the field of pv_blkback_stats
FAMILIES: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    (
        "pv_vbd_requests",
        "Requests a frontend has made.",
        "op",
        {"read": "rd_req", "write": "wr_req", "flush": "f_req", "discard": "ds_req"},
    ),
    (
        "pv_notifications",
        "Event channel notifications to the frontend.",
        "result",
        {"sent": "notifications_sent", "suppressed": "notifications_suppressed"},
    ),
    (
        "pv_grant_ops",
        "Grants mapped, unmapped and copied.",
        "op",
        {"map": "grant_maps", "unmap": "grant_unmaps", "copy": "grant_copies"},
    ),
    ("pv_ring_overruns", "Rings a frontend has broken.", "", {"": "ring_overruns"}),
    ("pv_vbd_errors", "Requests not carried out.", "", {"": "errors"}),
    ("pv_vbd_resumed", "Requests a killed daemon has left behind.", "", {"": "resumed"}),
)
# Linux blkback's names in sysfs.
ALIASES = ("oo_req", "rd_req", "wr_req", "f_req", "ds_req", "rd_sect", "wr_sect")
LABELS = ("domid", "devid")

Devices = Callable[[], Mapping[str, XenbusDevice]]


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one moment; `by_device` by domid and devid."""

    by_device: dict[tuple[str, ...], dict[str, int]]
    devices: int
    peer_errors: int
    suppressed: int


async def read_counters(devices: Devices, suppressed: Callable[[], int]) -> Counters:
    """In the loop that the devices are driven in, which does other things in between."""
    by_device: dict[tuple[str, ...], dict[str, int]] = {}
    present = devices()
    for number, (path, device) in enumerate(present.items(), 1):
        if isinstance(device, Backend):
            by_device[tuple(path.split("/")[-2:])] = device.statistics()
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    peer_errors = sum(device.peer_errors for device in present.values())
    return Counters(by_device, len(present), peer_errors, suppressed())


class CountersCollector(Collector):
    def __init__(self, counters: Counters) -> None:
        self.counters = counters

    def collect(self) -> Iterable[Metric]:
        by_device = self.counters.by_device
        for name, about, label, fields in FAMILIES:
            family = CounterMetricFamily(name, about, labels=(*LABELS, *([label] if label else [])))
            for device, counters in by_device.items():
                for value, counter in fields.items():
                    labels = (*device, value) if label else device
                    family.add_metric(labels, counters.get(counter, 0))
            yield family
        for name in ALIASES:
            family = CounterMetricFamily(f"pv_vbd_{name}", f"As blkback's {name}.", labels=LABELS)
            for device, counters in by_device.items():
                family.add_metric(device, counters.get(name, 0))
            yield family
        count, errors = self.counters.devices, self.counters.peer_errors
        yield GaugeMetricFamily("pv_vbd_devices", "Devices there are.", value=count)
        yield GaugeMetricFamily("pv_peer_errors", "Peer errors of these.", value=errors)
        held_back = self.counters.suppressed
        yield CounterMetricFamily("pv_log_suppressed", "Log lines held back.", value=held_back)


def render(counters: Counters) -> bytes:
    registry = CollectorRegistry()
    registry.register(CountersCollector(counters))
    return generate_latest(registry)


@asynccontextmanager
async def serve_metrics(
    where: Metrics, devices: Devices, suppressed: Callable[[], int]
) -> AsyncIterator[None]:
    """Serves /metrics over HTTP at each of the configured places. UsageError: there is none to be
    had."""

    async def make() -> bytes:
        # In a thread, since that takes several times as long as reading the counters.
        return await asyncio.to_thread(render, await read_counters(devices, suppressed))

    page = HttpPage("/metrics", CONTENT_TYPE_LATEST, make)
    async with AsyncExitStack() as stack:
        if where.listen:
            try:
                server = await asyncio.start_server(page.answer, *where.address)
            except OSError as error:
                reason = f"metrics.listen {where.listen}: {error.strerror or error}"
                raise UsageError(reason) from error
            stack.callback(server.close)
        if where.socket:
            await stack.enter_async_context(
                serve_unix(where.socket, "metrics.socket", page.answer, REQUEST_MAX)
            )
        yield
