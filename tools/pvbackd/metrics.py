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
from pvdrivers.tools.pvbackd.classes import CLASSES
from pvdrivers.tools.pvbackd.config import Metrics
from pvdrivers.tools.pvbackd.http_page import REQUEST_MAX, HttpPage
from pvdrivers.tools.pvbackd.served_class import Family
from pvdrivers.tools.sockets import serve_unix
from pvdrivers.xenbus.device import XenbusDevice

AT_ONCE = 64  # devices whose counters are read before the loop does something else

# Counters that every class has.
COMMON = (
    Family(
        "pv_notifications",
        "Event channel notifications to the frontend.",
        "result",
        {"sent": "notifications_sent", "suppressed": "notifications_suppressed"},
    ),
    Family(
        "pv_grant_ops",
        "Grants mapped, unmapped and copied.",
        "op",
        {"map": "grant_maps", "unmap": "grant_unmaps", "copy": "grant_copies"},
    ),
    Family("pv_ring_overruns", "Rings a frontend has broken.", "", {"": "ring_overruns"}),
)
LABELS = ("domid", "devid")

AnyMetric = CounterMetricFamily | GaugeMetricFamily
Devices = Callable[[], Mapping[str, XenbusDevice]]
ByDevice = dict[str, dict[tuple[str, ...], dict[str, int]]]


@dataclass(frozen=True, slots=True)
class Counters:
    """Of one moment; `by_device` by kind, and then by domid and devid."""

    by_device: ByDevice
    devices: dict[str, int]  # by kind
    peer_errors: int
    suppressed: int


async def read_counters(devices: Devices, suppressed: Callable[[], int]) -> Counters:
    """In the loop that the devices are driven in, which does other things in between."""
    by_device: dict[str, dict[tuple[str, ...], dict[str, int]]] = {
        each.kind: {} for each in CLASSES
    }
    count = dict.fromkeys(by_device, 0)
    present = devices()
    for number, (path, device) in enumerate(present.items(), 1):
        kind, *labels = path.split("/")[-3:]
        count[kind] += 1
        if isinstance(device, Backend):
            by_device[kind][tuple(labels)] = device.statistics()
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    peer_errors = sum(device.peer_errors for device in present.values())
    return Counters(by_device, count, peer_errors, suppressed())


class CountersCollector(Collector):
    def __init__(self, counters: Counters) -> None:
        self.counters = counters

    def collect(self) -> Iterable[Metric]:
        by_device = self.counters.by_device
        for family in COMMON:
            metric = _new_metric(family, *LABELS, "kind")
            for kind, devices in by_device.items():
                _add_samples(metric, family, devices, kind)
            yield metric
        for each in CLASSES:
            for family in each.families:
                metric = _new_metric(family, *LABELS)
                _add_samples(metric, family, by_device[each.kind])
                yield metric
        for kind, count in self.counters.devices.items():
            yield GaugeMetricFamily(f"pv_{kind}_devices", "Devices there are.", value=count)
        errors = self.counters.peer_errors
        yield GaugeMetricFamily("pv_peer_errors", "Peer errors of these.", value=errors)
        held_back = self.counters.suppressed
        yield CounterMetricFamily("pv_log_suppressed", "Log lines held back.", value=held_back)


def _new_metric(family: Family, *labels: str) -> AnyMetric:
    own = [family.label] if family.label else []
    kind = GaugeMetricFamily if family.is_gauge else CounterMetricFamily
    return kind(family.name, family.about, labels=(*labels, *own))


def _add_samples(
    metric: AnyMetric,
    family: Family,
    devices: Mapping[tuple[str, ...], Mapping[str, int]],
    *common: str,
) -> None:
    for device, counters in devices.items():
        for value, field in family.fields.items():
            own = [value] if family.label else []
            metric.add_metric((*device, *common, *own), counters.get(field, 0))


def render(counters: Counters) -> bytes:
    registry = CollectorRegistry()
    registry.register(CountersCollector(counters))
    return generate_latest(registry)


@asynccontextmanager
async def serve_metrics(
    where: Metrics, devices: Devices, suppressed: Callable[[], int]
) -> AsyncIterator[None]:
    """Serves /metrics over HTTP at each of the configured places. UsageError: one cannot be
    opened."""

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
