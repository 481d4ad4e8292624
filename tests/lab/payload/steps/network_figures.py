"""The same traffic of the same guest on Linux's netback and on our backend."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from statistics import median
from typing import Any

from addresses import FAMILIES
from daemons import vif_daemon
from netback import netback
from network import Traffic, attached, bridge
from serve import Lab
from step import command, on_request

ROUNDS = 3
FAMILY = FAMILIES[0]
PINGS = f"ping -A -q -c 500 -w 120 {FAMILY.guest}"
UDP = "--udp --bitrate 0 --length 64 --time 3"
BACKENDS: dict[str, Callable[[], AbstractAsyncContextManager[Any]]] = {
    "netback": partial(netback, "max_queues=2"),
    "ours": vif_daemon,
}


async def measure(traffic: Traffic) -> dict[str, float]:
    """Of each job what is more when it is better."""
    found = {}
    for name, arguments in (("TCP from the guest", ""), ("TCP to the guest", "--reverse")):
        end = await traffic.iperf(FAMILY, f"--time 4 --omit 1 {arguments}")
        found[f"{name}, Mbit/s"] = end["sum_received"]["bits_per_second"] / 1e6
    for name, arguments in (("from", ""), ("to", "--reverse")):
        end = (await traffic.iperf(FAMILY, f"{UDP} {arguments}"))["sum"]
        arrived = end["packets"] - end["lost_packets"]
        found[f"64-byte UDP {name} the guest, packets/s"] = arrived / end["seconds"]
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
                seen[backend].append(await measure(traffic))
    for job in seen["ours"][0]:
        pairs = zip(seen["ours"], seen["netback"], strict=True)
        ratios = sorted(ours[job] / theirs[job] for ours, theirs in pairs)
        print(
            f"    {job}: ours / netback {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )
    print(f"    {json.dumps(seen)}", flush=True)
