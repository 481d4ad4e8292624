"""Measures TCP and round trips through the PV device, and for comparison over a veth pair."""

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from pvdrivers.ring.errors import UsageError
from pvdrivers.tools.pvbench.errors import BenchError
from pvdrivers.tools.pvbench.job.counters import difference
from pvdrivers.tools.pvbench.job.xenstore import Loop
from pvdrivers.tools.pvbench.vnif.job import VnifJob
from pvdrivers.tools.pvbench.vnif.real import programs
from pvdrivers.tools.pvbench.vnif.real.namespaces import (
    Namespace,
    check_privileges,
    connect,
    namespaces,
)
from pvdrivers.tools.pvbench.vnif.real.path import GUEST_MAC, INTERFACE, VIF, pv_device

# By interface: the guest's addresses and the host's, from networks for benchmarks and for nobody.
ADDRESSES = {
    INTERFACE: (("198.18.0.1", "fd00:18::1"), ("198.18.0.2", "fd00:18::2")),
    "veth": (("198.19.0.1", "fd00:19::1"), ("198.19.0.2", "fd00:19::2")),
}
LENGTHS = (24, 64)  # of the prefixes


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
    check_privileges()
    programs.check_programs()
    number = os.getpid()
    loop = None
    try:
        with namespaces(f"pvbench-guest-{number}", f"pvbench-host-{number}") as (guest, host):
            loop = Loop()
            return _measure(job, guest, host, loop, capture, say)
    except UsageError as error:
        raise BenchError(str(error)) from None
    finally:
        if loop:
            loop.close()


def _measure(
    job: VnifJob,
    guest: Namespace,
    host: Namespace,
    loop: Loop,
    capture: Path | None,
    say: Callable[[str], None],
) -> list[Outcome]:
    def configure(interfaces: tuple[str, str], addresses: str, mac: str | None) -> None:
        for space, interface, hosts in zip(
            (guest, host), interfaces, ADDRESSES[addresses], strict=True
        ):
            with_lengths = [f"{a}/{n}" for a, n in zip(hosts, LENGTHS, strict=True)]
            own = mac if space is guest else None
            loop.call(space.configure(interface, with_lengths, own))

    seconds = job.runtime_ns / 1e9
    with pv_device(job, guest, host, loop, capture) as device:

        def counters() -> dict[str, int]:
            return device.statistics() | {"refused": device.refused}

        configure((INTERFACE, VIF), INTERFACE, GUEST_MAC)
        outcomes = _all("pv", guest, host, INTERFACE, seconds, counters, say)
    loop.call(connect(guest, host, "veth"))
    configure(("veth", "veth"), "veth", None)
    return outcomes + _all("veth", guest, host, "veth", seconds, dict, say)


def _all(
    path: str,
    guest: Namespace,
    host: Namespace,
    network: str,
    seconds: float,
    counters: Callable[[], dict[str, int]],
    say: Callable[[str], None],
) -> list[Outcome]:
    found = []
    for version, address in zip((4, 6), ADDRESSES[network][1], strict=True):
        for direction in ("ping", "tx", "rx"):
            say(f"{path}: IPv{version} {direction}")
            before = counters()
            if direction == "ping":
                programs.ping(guest, address)  # the ends get to know each other
                before = counters()
                trips = programs.ping(guest, address)
                stream = None
            else:
                trips = None
                stream = programs.iperf3(guest, host, address, seconds, direction == "rx")
            now = difference(counters(), before)
            found.append(Outcome(path, version, direction, stream, trips, now))
    return found
