"""Network namespaces, uplinks in them, and packets handed to an uplink and taken from it."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pvdrivers.backends.uplinks.tap import TapUplink
from pvdrivers.backends.uplinks.uplink import Uplink, UplinkOffloads
from pvdrivers.testing.vnif.uplink_guest import UplinkGuest
from pvdrivers.vnif.packet import Packet

NUMBERS = count()
Tshark = Callable[..., list[list[str]]]
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
def tshark() -> Tshark:
    """Reads fields of each packet of a file, by Wireshark's names of them."""
    if not shutil.which("tshark"):
        pytest.skip("needs tshark (Debian package tshark)")

    def read(path: Path, *fields: str) -> list[list[str]]:
        named = [word for field in fields for word in ("-e", field)]
        command = ["tshark", "-r", path, "-T", "fields", *named]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return [line.split("\t") for line in done.stdout.splitlines()]

    return read


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


class Guest(UplinkGuest):
    """One in real time, since what a kernel or passt answers takes some."""

    def receive_now(self, maximum: int = 64) -> list[Packet]:
        return self.receive(maximum, now=time.monotonic_ns())

    def wait_for(self, wanted: Callable[[Packet], bool], queue: int = 0) -> Packet:
        """The next packet that is wanted; the others are forgotten."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            for packet in self.receive(1, queue=queue, now=time.monotonic_ns()):
                if wanted(packet):
                    return packet
            time.sleep(0.001)
        raise AssertionError("no such packet has come")


@pytest.fixture
def connect_guest() -> Callable[..., Guest]:
    """Connects a guest to an uplink: what it takes is named by the version of IP."""

    def connect(uplink: Uplink, queues: int = 1, csum: str = "46", gso: str = "46") -> Guest:
        uplink.set_rx_offloads(
            UplinkOffloads(
                csum_ipv4="4" in csum,
                csum_ipv6="6" in csum,
                gso_tcpv4="4" in gso,
                gso_tcpv6="6" in gso,
            )
        )
        return Guest(uplink, queues)

    return connect


@pytest.fixture
def open_tap() -> Iterator[Callable[..., TapUplink]]:
    """A TAP in a namespace, without a guest and not set up."""
    with ExitStack() as stack:

        def open_(namespace: Namespace, name: str = "tap0", **options: Any) -> TapUplink:
            opening = TapUplink.open(name, namespace=namespace.name, **options)
            return stack.enter_context(asyncio.run(opening))

        yield open_
