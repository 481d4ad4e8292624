"""Measures TCP and round trips through the PV device, and for comparison over a veth pair."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from pvdrivers.tools.pvbench.job.counters import difference
from pvdrivers.tools.pvbench.vnif.job import VnifJob
from pvdrivers.tools.pvbench.vnif.real import programs
from pvdrivers.tools.pvbench.vnif.real.network import PV, VETH, Subnet, TwoStacks, two_stacks
from pvdrivers.tools.pvbench.vnif.real.path import pv_device, veth_pair


class Outcome(Struct, frozen=True):
    """One measurement; `counters` are of the guest's queues meanwhile."""

    path: str  # "pv" or "veth"
    version: int  # of IP
    direction: str  # "tx", "rx" or "ping"
    stream: programs.Stream | None = None
    round_trips: programs.RoundTrips | None = None
    counters: dict[str, int] = {}


def measure(
    job: VnifJob, capture: Path | None, say: Callable[[str], None] = lambda _: None
) -> list[Outcome]:
    """BenchError in one sentence: what is missing, or has failed."""
    seconds = job.runtime_ns / 1e9
    with two_stacks() as stacks:
        with pv_device(job, stacks, capture) as device:

            def counters() -> dict[str, int]:
                return device.statistics() | {"refused": device.refused}

            outcomes = _all("pv", stacks, PV, seconds, counters, say)
        with veth_pair(stacks):
            return outcomes + _all("veth", stacks, VETH, seconds, dict, say)


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
