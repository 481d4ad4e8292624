"""The same traffic of the same guest on Linux's netback and on our backend."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from addresses import FAMILIES
from daemons import CONTROL, devices, vif_daemon
from netback import netback
from network import Traffic, attached, bridge
from serve import Lab
from step import command, on_request

ROUNDS = 3
FAMILY = FAMILIES[0]
PINGS = f"ping -A -q -c 500 -w 120 {FAMILY.guest}"
TCP = "--bytes 16M"
UDP = "--udp --bitrate 0 --length 64 --time 3"
BACKENDS: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
    "netback": partial(netback, "max_queues=2"),
    "ours": vif_daemon,
}
INTERFACE = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")  # as dom0 sees it
COUNTERS = ("batches", "notifications_sent", "grant_copies", "grant_copy_calls")


async def counters(backend: str) -> dict[str, int]:
    statistics = Path("/sys/class/net/vif1.0/statistics")
    found = {name: int((statistics / name).read_text()) for name in INTERFACE}
    if backend == "ours":
        (vif,) = await devices(CONTROL)
        found |= {name: vif["counters"][name] for name in COUNTERS}
    return found


@asynccontextmanager
async def job(backend: str, name: str) -> AsyncIterator[None]:
    """Says what it took. The processor time is what the harness writes in front of the two
    lines."""
    before = await counters(backend)
    print(f"    {backend}, {name}: begins", flush=True)
    yield
    print(f"    {backend}, {name}: ends", flush=True)
    after = await counters(backend)
    print(f"    { ({key: after[key] - before[key] for key in after}) }", flush=True)


async def measure(backend: str, traffic: Traffic) -> dict[str, float]:
    """Of each job what is more when it is better."""
    found = {}
    for name, arguments in (("TCP from the guest", ""), ("TCP to the guest", "--reverse")):
        async with job(backend, name):
            end = await traffic.iperf(FAMILY, f"{TCP} {arguments}")
        found[f"{name}, Mbit/s"] = end["sum_received"]["bits_per_second"] / 1e6
    for name, arguments in (("from", ""), ("to", "--reverse")):
        async with job(backend, f"64-byte UDP {name} the guest"):
            end = (await traffic.iperf(FAMILY, f"{UDP} {arguments}"))["sum"]
        arrived = end["packets"] - end["lost_packets"]
        found[f"64-byte UDP {name} the guest, packets/s"] = arrived / end["seconds"]
    async with job(backend, "pings"):
        said = re.search(r"= [\d.]+/([\d.]+)/", await command(*PINGS.split()))
    assert said
    found["pings after each other, 1/s"] = 1000 / float(said[1])
    return found


@on_request
async def network_figures(lab: Lab) -> None:
    """iperf3 and ping between guest and dom0 on both backends in turn; the ratios."""
    seen: dict[str, list[dict[str, float]]] = {backend: [] for backend in BACKENDS}
    for _ in range(ROUNDS):
        for backend, serving in BACKENDS.items():
            async with serving(), bridge(), attached(lab) as traffic:
                seen[backend].append(await measure(backend, traffic))
    for name in seen["ours"][0]:
        pairs = zip(seen["ours"], seen["netback"], strict=True)
        ratios = sorted(ours[name] / theirs[name] for ours, theirs in pairs)
        spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
        print(f"    {name}: ours / netback {median(ratios):.2f} ({spread})", flush=True)
    print(f"    {json.dumps(seen)}", flush=True)
