"""A patch between two switches, as between a switch and the outside."""

import os
import select
from collections.abc import Iterator

import pytest

from pvdrivers.backends.uplinks.filters import PacketDelay
from pvdrivers.backends.uplinks.patch import Patch
from pvdrivers.backends.uplinks.python_uplink import PythonUplink
from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.backends.uplinks.uplink import HairpinUplink, Uplink
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.vnif.uplink_guest import UplinkGuest
from pvdrivers.vnif.packet import GsoType, Packet

PATIENCE = 60  # seconds; a busy machine's


def packet(to: int, source: int, length: int = 60) -> Packet:
    macs = b"".join(bytes([2, 0, 0, 0, 0, number]) for number in (to, source))
    return Packet(macs + b"\x88\xb5" + bytes(length - 14))


def next_of(guest: UplinkGuest) -> list[Packet]:
    """Sleeps until there is something to receive."""
    while not (received := guest.receive()):
        if not guest.arm():
            assert select.select([guest.fileno()], [], [], PATIENCE)[0]
    return received


@pytest.fixture
def guests() -> Iterator[tuple[UplinkGuest, UplinkGuest]]:
    """At two switches that a patch connects, on a way that takes a millisecond."""
    with Switch("one") as one, Switch("two") as two:
        far = PacketDelay(two.port(macs=100), delay=1_000_000)
        with Patch(one.port(macs=100), far) as patch:
            assert repr(patch) == "<Patch port of one and delay on port of two>"
            with (
                one.port() as here,
                two.port() as there,
                UplinkGuest(here) as first,
                UplinkGuest(there) as second,
            ):
                yield first, second
        assert repr(patch) == "<Patch port of one and delay on port of two, closed>"


def test_both_ways(guests: tuple[UplinkGuest, UplinkGuest]) -> None:
    one, two = guests
    gso = Packet(packet(1, 2, 9000).data, csum_blank=True, gso_type=GsoType.TCPV4, gso_size=1448)
    for _ in range(3):
        one.send([packet(2, 1), packet(2, 1, 1518)])
        received = next_of(two)
        if len(received) == 1:
            received += next_of(two)
        assert received == [packet(2, 1), packet(2, 1, 1518)]
        two.send([gso])
        assert next_of(one) == [gso]


def test_what_cannot_be_patched() -> None:
    class Plain(PythonUplink):
        def send(self, packets: list[Packet]) -> None:
            raise AssertionError

    with HairpinUplink() as hairpin, Plain() as plain:
        with pytest.raises(UsageError, match="Plain external, 1 queue> cannot be patched: both"):
            Patch(hairpin, plain)
        with pytest.raises(UsageError, match="cannot be both ends"):
            Patch(hairpin, hairpin)
        uplinks: list[Uplink] = [hairpin, plain]
        assert [uplink.statistics().tx_packets for uplink in uplinks] == [0, 0]


def test_closed_with_its_ends() -> None:
    before = len(os.listdir("/proc/self/task"))
    with Switch() as switch:
        one, other = switch.port(), switch.port()
        patch = Patch(one, other)
        assert len(os.listdir("/proc/self/task")) == before + 1
        with pytest.raises(UsageError, match="closed, or a filter has taken it over"):
            one.statistics()
        patch.close()
        patch.close()
        assert switch.statistics().ports == 0
