"""Counters for Prometheus, over HTTP on a port or a Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from pvdrivers.backends.vbd.device import VbdBackend
from pvdrivers.tools.pvbackd.config import Metrics
from pvdrivers.xenbus.device import XenbusDevice

TIMEOUT = 10.0  # seconds a client has to ask and to read
REQUEST_MAX = 16384  # bytes

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


class VbdCollector(Collector):
    """Reads the counters of the devices there are when it is asked."""

    def __init__(self, devices: Devices, suppressed: Callable[[], int]) -> None:
        self.devices = devices
        self.suppressed = suppressed

    def collect(self) -> Iterable[Metric]:
        devices = self.devices()
        stats = {
            tuple(path.split("/")[-2:]): device.statistics()
            for path, device in devices.items()
            if isinstance(device, VbdBackend)
        }
        for name, about, label, fields in FAMILIES:
            family = CounterMetricFamily(name, about, labels=(*LABELS, *([label] if label else [])))
            for device, counters in stats.items():
                for value, counter in fields.items():
                    labels = (*device, value) if label else device
                    family.add_metric(labels, counters.get(counter, 0))
            yield family
        for name in ALIASES:
            family = CounterMetricFamily(f"pv_vbd_{name}", f"As blkback's {name}.", labels=LABELS)
            for device, counters in stats.items():
                family.add_metric(device, counters.get(name, 0))
            yield family
        peer_errors = sum(device.peer_errors for device in devices.values())
        yield GaugeMetricFamily("pv_vbd_devices", "Devices there are.", value=len(devices))
        yield GaugeMetricFamily("pv_peer_errors", "Peer errors of these.", value=peer_errors)
        held_back = self.suppressed()
        yield CounterMetricFamily("pv_log_suppressed", "Log lines held back.", value=held_back)


@asynccontextmanager
async def serve_metrics(
    where: Metrics, devices: Devices, suppressed: Callable[[], int]
) -> AsyncIterator[None]:
    """Answers every HTTP request with the metrics, at each of the configured places."""
    registry = CollectorRegistry()
    registry.register(VbdCollector(devices, suppressed))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(
            OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with asyncio.timeout(TIMEOUT):
                await reader.readuntil(b"\r\n\r\n")
                body = generate_latest(registry)
                head = (
                    f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE_LATEST}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()

    servers = []
    try:
        if where.listen:
            servers.append(await asyncio.start_server(answer, *where.address, limit=REQUEST_MAX))
        if where.socket:
            servers.append(await asyncio.start_unix_server(answer, where.socket, limit=REQUEST_MAX))
        yield
    finally:
        for server in servers:
            server.close()
