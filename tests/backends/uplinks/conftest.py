"""Network namespaces, uplinks in them, and packets handed to an uplink and taken from it."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.backends.uplinks.tap import TapUplink
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.vnif.packet import Packet

NUMBERS = count()
PATIENCE = 20.0  # seconds until something must have happened, on a busy machine too


class Namespace:
    """A network namespace, with its loopback up and no IPv6 address that nobody has asked for."""

    def __init__(self, name: str) -> None:
        self.name = name

    def command(self, *words: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, line: str) -> str:
        done = subprocess.run(self.command(*line.split()), capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}{done.stdout}"
        return done.stdout

    def counter(self, protocol: str, name: str) -> int:
        """One of /proc/net/snmp, such as Tcp, InCsumErrors."""
        names, values = (
            line.split()
            for line in self.run("cat /proc/net/snmp").splitlines()
            if line.startswith(f"{protocol}: ")
        )
        return int(values[names.index(name)])

    def device_counter(self, interface: str, name: str) -> int:
        return int(self.run(f"cat /sys/class/net/{interface}/statistics/{name}"))


@pytest.fixture
def make_namespace() -> Iterator[Callable[[], Namespace]]:
    """Makes network namespaces, which end with the test."""
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip`: Debian's package is iproute2")
    with ExitStack() as stack:

        def make() -> Namespace:
            name = f"pvdrivers-{os.getpid()}-{next(NUMBERS)}"
            added = subprocess.run(
                ["ip", "netns", "add", name], capture_output=True, text=True, check=False
            )
            if added.returncode != 0:
                pytest.skip(f"no network namespace can be made: {added.stderr.strip()}")
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
            namespace = Namespace(name)
            namespace.run("ip link set lo up")
            namespace.run("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1")
            return namespace

        yield make


@pytest.fixture
def namespace(make_namespace: Callable[[], Namespace]) -> Namespace:
    return make_namespace()


class Queue:
    """One queue of an uplink as a backend uses it."""

    def __init__(self, uplink: Uplink, index: int = 0) -> None:
        self.uplink, self.index = uplink, index
        self.pointer = uplink.pointer
        self._cache = lib.pv_packet_cache_create(self.pointer.pool)
        self._packets = ffi.new("struct pv_packet *[64]")

    def send(self, *packets: Packet) -> None:
        for at, packet in enumerate(packets):
            self._packets[at] = packet.to_pointer(self._cache)
        self._send(len(packets))

    def receive_now(self, most: int = 64) -> list[Packet]:
        number = self._receive(most)
        packets = [Packet.from_pointer(self._packets[at]) for at in range(number)]
        lib.pv_packet_release(self._cache, self._packets, number)
        return packets

    def receive(self, wanted: Callable[[Packet], bool] = lambda packet: True) -> Packet:
        """The next packet that is wanted; the others are forgotten."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for packet in self.receive_now(1):
                if wanted(packet):
                    return packet
            time.sleep(0.001)
        raise AssertionError("no such packet has come")

    def take(self) -> list[Any]:
        """What there is, as `struct pv_packet *`, to be given to another queue."""
        return [self._packets[at] for at in range(self._receive(64))]

    def give(self, packets: list[Any]) -> None:
        for at, packet in enumerate(packets):
            self._packets[at] = packet
        self._send(len(packets))

    def arm(self) -> bool:
        return bool(self.pointer.ops.arm(self.pointer, self.index))

    def purge(self) -> None:
        self.pointer.ops.purge(self.pointer, self.index, self._cache)

    @property
    def fd(self) -> int:
        return int(self.pointer.ops.fd(self.pointer, self.index))

    def close(self) -> None:
        lib.pv_packet_cache_destroy(self._cache)

    def _send(self, number: int) -> None:
        now = time.monotonic_ns()
        ops = self.pointer.ops
        ops.send(self.pointer, self.index, self._cache, self._packets, number, now)

    def _receive(self, most: int) -> int:
        now = time.monotonic_ns()
        ops = self.pointer.ops
        return int(ops.receive(self.pointer, self.index, self._cache, self._packets, most, now))


@pytest.fixture
def queue_of() -> Iterator[Callable[..., Queue]]:
    """The queue of an uplink with an index (the first, when there is none given)."""
    with ExitStack() as stack:

        def make(uplink: Uplink, index: int = 0) -> Queue:
            queue = Queue(uplink, index)
            stack.callback(queue.close)
            return queue

        yield make


def connect(uplink: Uplink, queues: int = 1, csum: str = "46", gso: str = "46") -> None:
    """As a guest's connection does: what it takes, for IPv4 and IPv6, and its number of queues."""
    offloads = ffi.new(
        "struct pv_uplink_offloads *",
        {
            "csum_ipv4": "4" in csum,
            "csum_ipv6": "6" in csum,
            "gso_tcpv4": "4" in gso,
            "gso_tcpv6": "6" in gso,
        },
    )
    pointer = uplink.pointer
    assert pointer.ops.set_rx_offloads(pointer, offloads) == 0
    assert pointer.ops.set_carrier(pointer, queues) == 0


@pytest.fixture
def connect_guest() -> Callable[..., None]:
    return connect


@pytest.fixture
def open_tap() -> Iterator[Callable[..., TapUplink]]:
    """A TAP in a namespace, without a guest and not set up."""
    with ExitStack() as stack:

        def open_(namespace: Namespace, name: str = "tap0", **options: Any) -> TapUplink:
            opening = TapUplink.open(name, namespace=namespace.name, **options)
            return stack.enter_context(asyncio.run(opening))

        yield open_
