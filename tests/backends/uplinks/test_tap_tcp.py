"""TCP of two kernels through two TAPs that are connected as a switch would: with each set of
offloads, long MTUs and several queues. iperf3 sends; the kernels check every checksum."""

import json
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.backends.uplinks.uplink import Uplink

HOST = {"4": "192.0.2.", "6": "2001:db8::"}
ENDS = ("1", "2")


@dataclass
class Seen:
    """What kinds of packets were passed on."""

    packets: int = 0
    blank: int = 0
    gso: int = 0
    longest: int = 0


class Port:
    """One queue of an uplink, whose packets pass as they are in the data plane."""

    def __init__(self, uplink: Uplink, index: int) -> None:
        self._uplink, self._index = uplink.pointer, index
        self._cache = lib.pv_packet_cache_create(self._uplink.pool)
        self._packets = ffi.new("struct pv_packet *[]", 64)
        self.fd = self._uplink.ops.fd(self._uplink, index)

    def take(self) -> list[Any]:
        number = self._call(self._uplink.ops.receive, len(self._packets))
        return [self._packets[at] for at in range(number)]

    def give(self, packets: list[Any]) -> None:
        for at, packet in enumerate(packets):
            self._packets[at] = packet
        self._call(self._uplink.ops.send, len(packets))

    def arm(self) -> bool:
        return bool(self._uplink.ops.arm(self._uplink, self._index))

    def close(self) -> None:
        lib.pv_packet_cache_destroy(self._cache)

    def _call(self, operation: Any, number: int) -> Any:
        now = time.monotonic_ns()
        return operation(self._uplink, self._index, self._cache, self._packets, number, now)


class Wire(threading.Thread):
    """Passes packets on between queues, one thread for all."""

    def __init__(self, pairs: list[tuple[Port, Port]]) -> None:
        super().__init__()
        self._routes = [(a, b) for pair in pairs for a, b in (pair, pair[::-1])]
        self.seen = [Seen() for _ in self._routes]
        self.ending = False

    def run(self) -> None:
        while not self.ending:
            moved = [
                self._move(queue, to, seen)
                for (queue, to), seen in zip(self._routes, self.seen, strict=True)
            ]
            waiting = [queue.arm() for queue, _ in self._routes] if not any(moved) else [True]
            if not any(waiting):
                select.select([queue.fd for queue, _ in self._routes], [], [], 0.1)

    def close(self) -> None:
        for port, _ in self._routes:
            port.close()

    def _move(self, queue: Port, to: Port, seen: Seen) -> int:
        packets = queue.take()
        for packet in packets:
            seen.packets += 1
            seen.blank += packet.csum_blank
            seen.gso += packet.gso_type != 0
            seen.longest = max(seen.longest, packet.length)
        to.give(packets)
        return len(packets)


@dataclass
class Pair:
    """Two namespaces with an interface each, and the wire between these."""

    namespaces: list[Any]
    taps: list[Any]
    wire: Wire

    def transfer(self, version: str, megabytes: int, streams: int = 1) -> None:
        """From the first namespace to the second. iperf3 ends when all is sent, and so may have
        received less."""
        server = subprocess.Popen(
            self.namespaces[1].command("iperf3", "-s", "-1", "--forceflush"),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        with server:
            assert any("listening" in line for line in server.stdout)
            line = f"iperf3 -J -C cubic -n {megabytes}M -P {streams} -c {HOST[version]}2"
            report = json.loads(self.namespaces[0].run(line))
            server.stdout.read()
        assert report["end"]["sum_received"]["bytes"] > megabytes << 17


@pytest.fixture
def connect(make_namespace: Any, open_tap: Any, connect_guest: Any) -> Iterator[Any]:
    """Makes a pair, whose wire is cut when the test ends."""
    if shutil.which("iperf3") is None:
        pytest.skip("there is no `iperf3`: Debian's package has the same name")
    wires = []
    guests = ExitStack()

    def make(csum: str = "46", gso: str = "46", mtu: int = 1500, queues: int = 1) -> Pair:
        namespaces = [make_namespace() for _ in ENDS]
        taps = [open_tap(each, queues=queues, mtu=mtu) for each in namespaces]
        for namespace, tap, end in zip(namespaces, taps, ENDS, strict=True):
            guests.enter_context(connect_guest(tap, queues, csum, gso))
            namespace.run("ip link set tap0 up")
            for cache in ("arp_cache", "ndisc_cache"):  # a second each: the wire may be held up
                namespace.run(f"ip ntable change name {cache} dev tap0 mcast_probes 60")
            namespace.run(f"ip addr add {HOST['4']}{end}/24 dev tap0")
            namespace.run(f"ip addr add {HOST['6']}{end}/64 dev tap0 nodad")
        pairs = [(Port(taps[0], index), Port(taps[1], index)) for index in range(queues)]
        wires.append(Wire(pairs))
        wires[-1].start()
        return Pair(namespaces, taps, wires[-1])

    yield make
    for wire in wires:
        wire.ending = True
        wire.join()
        wire.close()
    guests.close()


def check_clean(pair: Pair) -> None:
    """Nothing was lost for another reason than a full queue, and every checksum was right."""
    for namespace, tap in zip(pair.namespaces, pair.taps, strict=True):
        assert namespace.counter("Tcp", "InCsumErrors") == 0
        assert namespace.counter("Ip", "InHdrErrors") == 0
        assert namespace.device_counter("tap0", "rx_errors") == 0
        assert namespace.device_counter("tap0", "rx_frame_errors") == 0
        assert tap.statistics().tx_dropped == 0
        assert tap.statistics().rx_dropped == 0
        assert tap.statistics().errors == 0


COMBINATIONS = [
    pytest.param("46", "46"),
    pytest.param("46", "4", marks=pytest.mark.slow),
    pytest.param("46", "6", marks=pytest.mark.slow),
    pytest.param("46", "", marks=pytest.mark.slow),
    pytest.param("4", "4", marks=pytest.mark.slow),
    pytest.param("6", "6", marks=pytest.mark.slow),
    pytest.param("", "", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("version", ["4", "6"])
@pytest.mark.parametrize(("csum", "gso"), COMBINATIONS)
def test_offloads(connect: Any, csum: str, gso: str, version: str) -> None:
    pair = connect(csum, gso)
    pair.transfer(version, 8)
    sent, answers = pair.wire.seen
    if version in gso:
        assert sent.gso > 0
        assert sent.longest > 30000
    else:
        assert sent.gso == 0
        assert sent.longest == 1514
    assert bool(sent.blank) == bool(csum)  # the kernel has one offload for both versions
    assert bool(answers.blank) == bool(csum)
    check_clean(pair)


@pytest.mark.parametrize(
    ("mtu", "gso"), [(9000, ""), pytest.param(9000, "46", marks=pytest.mark.slow), (65500, "")]
)
def test_long_mtu(connect: Any, mtu: int, gso: str) -> None:
    pair = connect(gso=gso, mtu=mtu)
    pair.transfer("4", 8)
    sent, _ = pair.wire.seen
    assert sent.longest > mtu if gso else sent.longest == mtu + 14
    check_clean(pair)


def test_several_queues(connect: Any) -> None:
    pair = connect(queues=4)
    pair.transfer("4", 16, streams=16)
    used = [seen.packets > 10 for seen in pair.wire.seen]  # the kernel spreads the flows
    assert sum(used) > 2
    check_clean(pair)
