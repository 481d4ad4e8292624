"""Measures TCP and round trips through the PV device, and for comparison over a veth pair."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from pvdrivers.tools.pvbench.job.counters import difference
from pvdrivers.tools.pvbench.vnif.job import VnifJob
from pvdrivers.tools.pvbench.vnif.real import programs
from pvdrivers.tools.pvbench.vnif.real.frontend import TapFrontend
from pvdrivers.tools.pvbench.vnif.real.network import PV, VETH, Subnet, TwoStacks, two_stacks
from pvdrivers.tools.pvbench.vnif.real.offloads import name_offloads
from pvdrivers.tools.pvbench.vnif.real.path import pv_device, veth_pair


class Outcome(Struct, frozen=True):
    """One measurement; `counters` are of the guest's queues meanwhile."""

    path: str  # "pv" or "veth"
    version: int  # of IP
    direction: str  # "tx", "rx" or "ping"
    stream: programs.Stream | None = None
    round_trips: programs.RoundTrips | None = None
    counters: dict[str, int] = {}


class Negotiated(Struct, frozen=True):
    """What both ends of the PV device have agreed on."""

    queues: int
    split_event_channels: bool
    mtu: int  # bytes
    offloads: str  # of both directions, as `--offloads` names them


class Measured(Struct, frozen=True):
    negotiated: Negotiated
    outcomes: list[Outcome]


def measure(
    job: VnifJob, capture: Path | None, say: Callable[[str], None] = lambda _: None
) -> Measured:
    """BenchError in one sentence: what is missing, or has failed."""
    seconds = job.runtime_ns / 1e9
    with two_stacks() as stacks:
        with pv_device(job, stacks, capture) as device:
            negotiated = _negotiated(device)

            def counters() -> dict[str, int]:
                return device.statistics() | {"refused": device.refused}

            found = _all("pv", stacks, PV, seconds, counters, say)
        with veth_pair(stacks):
            found += _all("veth", stacks, VETH, seconds, dict, say)
    return Measured(negotiated, found)


def _negotiated(device: TapFrontend) -> Negotiated:
    agreed = device.agreement
    assert agreed
    return Negotiated(
        agreed.queues, agreed.split_event_channels, device.mtu, name_offloads(agreed.offloads)
    )


def _all(
    path: str,
    stacks: TwoStacks,
    subnet: Subnet,
    seconds: float,
    counters: Callable[[], dict[str, int]],
    say: Callable[[str], None],
) -> list[Outcome]:
    guest, host = stacks.guest, stacks.host
    found = []
    for version, address in subnet.far_end.items():
        programs.ping(guest, address)  # the ends get to know each other
        for direction in ("ping", "tx", "rx"):
            say(f"{path}: IPv{version} {direction}")
            stream, trips, before = None, None, counters()
            if direction == "ping":
                trips = programs.ping(guest, address)
            else:
                stream = programs.iperf3(guest, host, address, seconds, direction == "rx")
            now = difference(counters(), before)
            found.append(Outcome(path, version, direction, stream, trips, now))
    return found
