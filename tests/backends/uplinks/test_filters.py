"""Filters of uplinks: what they do, in virtual time, and that a seed replays it."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers.backends.uplinks.filters import (
    FILTERS,
    Direction,
    PacketCorruption,
    PacketDelay,
    PacketDuplication,
    PacketLoss,
    PacketRate,
    PacketReordering,
    UplinkFilter,
)
from pvdrivers.backends.uplinks.switch import Switch
from pvdrivers.backends.uplinks.uplink import HairpinUplink, NullUplink
from pvdrivers.poll.group import NEVER
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.vnif.uplink_guest import UplinkGuest
from pvdrivers.vnif.packet import GsoType, Packet

HEADER = bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xB5])
TX, RX, BOTH = Direction.TX, Direction.RX, Direction.BOTH
HELD = 1024  # packets of a lane


def frame(number: int, length: int = 60) -> bytes:
    return HEADER + number.to_bytes(4) + bytes(length - 18)


def numbers(packets: list[Packet]) -> list[int]:
    return [int.from_bytes(packet.data[14:18]) for packet in packets]


def passed(uplink: UplinkFilter, count: int = 1000) -> list[int]:
    """Which of so many packets come back from a hairpin."""
    with uplink, UplinkGuest(uplink) as guest:
        received = []
        for first in range(0, count, 50):
            guest.send([frame(number) for number in range(first, first + 50)])
            received += numbers(guest.receive())
    return received


FAULTY: list[Callable[[int], UplinkFilter]] = [
    lambda seed: PacketLoss(HairpinUplink(), seed=seed, probability=0.3),
    lambda seed: PacketDuplication(HairpinUplink(), seed=seed, probability=0.3),
    lambda seed: PacketDelay(HairpinUplink(), seed=seed, delay=0, jitter=50),
    lambda seed: PacketReordering(HairpinUplink(), seed=seed, probability=0.3, delay=10),
]


def replay(make: Callable[[int], UplinkFilter], seed: int) -> list[int]:
    with make(seed) as uplink, UplinkGuest(uplink) as guest:
        received = []
        for now in range(200):
            guest.send([frame(now)], now=now)
            received += numbers(guest.receive())
        return received + numbers(guest.receive(now=1000)) + numbers(guest.receive(now=2000))


@pytest.mark.parametrize("make", FAULTY)
def test_seed_replays(make: Callable[[int], UplinkFilter]) -> None:
    assert replay(make, 1) == replay(make, 1)
    assert replay(make, 1) != replay(make, 2)


@pytest.mark.parametrize("direction", [TX, RX])
def test_loss(direction: Direction) -> None:
    uplink = PacketLoss(HairpinUplink(), seed=7, probability=0.2, direction=direction)
    with UplinkGuest(uplink) as guest:
        guest.send([frame(number) for number in range(1000)])
        received = numbers(guest.receive())
        lost = 1000 - len(received)
        assert received == sorted(received)
        assert 130 < lost < 270  # of 200, more than five deviations of 12.6
        statistics = uplink.statistics()
    uplink.close()
    assert (statistics.tx_dropped, statistics.rx_dropped) == (
        (lost, 0) if direction == TX else (0, lost)
    )
    assert statistics.tx_packets == (1000 - lost if direction == TX else 1000)


def test_each_queue_has_numbers_of_its_own() -> None:
    uplink = PacketLoss(HairpinUplink(2), seed=7, probability=0.5, direction=TX)
    with uplink, UplinkGuest(uplink, 2) as guest:
        got = []
        for queue in range(2):
            guest.send([frame(number) for number in range(100)], queue=queue)
            got.append(numbers(guest.receive(queue=queue)))
    assert got[0] != got[1]


def test_none_and_all() -> None:
    every = list(range(1000))
    assert passed(PacketLoss(HairpinUplink(), seed=1, probability=0)) == every
    assert passed(PacketLoss(HairpinUplink(), seed=1, probability=1)) == []
    assert passed(PacketDuplication(HairpinUplink(), seed=1, probability=1, direction=RX)) == [
        number for number in every for _ in range(2)
    ]


def test_duplicates_are_adjacent_and_few() -> None:
    received = passed(PacketDuplication(HairpinUplink(), seed=3, probability=0.1, direction=TX))
    assert received == sorted(received)
    assert sorted(set(received)) == list(range(1000))
    assert 50 < len(received) - 1000 < 150


@pytest.mark.parametrize("direction", [TX, RX])
def test_delay(direction: Direction) -> None:
    uplink = PacketDelay(HairpinUplink(), delay=100, direction=direction)
    with uplink, UplinkGuest(uplink) as guest:
        assert guest.deadline() == NEVER
        guest.send([frame(1)], now=1000)
        assert guest.receive() == []
        guest.send([frame(2)], now=1050)
        assert guest.receive() == []
        assert not guest.arm()
        assert guest.deadline() == 1100
        assert guest.receive(now=1099) == []
        assert numbers(guest.receive(now=1100)) == [1]
        assert guest.deadline() == 1150
        assert numbers(guest.receive(now=5000)) == [2]
        assert guest.deadline() == NEVER


def test_a_guest_without_room_is_not_told_of_it_again_and_again() -> None:
    """What is due and not taken is no deadline, or its thread would never sleep."""
    uplink = PacketDelay(HairpinUplink(), delay=100, direction=RX)
    with uplink, UplinkGuest(uplink) as guest:
        guest.send([frame(1), frame(2)], now=0)
        assert guest.receive(1) == []
        assert guest.receive(0, now=10) == []
        assert guest.receive(1, now=10) == []
        assert guest.deadline() == 100
        assert guest.receive(0, now=100) == []
        assert guest.arm()  # there is something already
        assert guest.deadline() == 110
        assert guest.receive(0, now=110) == []
        assert guest.deadline() == NEVER
        assert numbers(guest.receive()) == [1, 2]


@settings(max_examples=50)
@given(st.integers(0, 2**64 - 1), st.integers(0, 100), st.integers(1, 1000))
def test_jitter_is_between_its_bounds(seed: int, delay: int, jitter: int) -> None:
    uplink = PacketDelay(HairpinUplink(), delay=delay, jitter=jitter, seed=seed, direction=TX)
    with uplink, UplinkGuest(uplink) as guest:
        guest.send([frame(number) for number in range(20)], now=0)
        received: list[int] = []
        while (now := guest.deadline()) != NEVER:
            assert delay <= now < delay + jitter
            received += numbers(guest.receive(now=now))
        received += numbers(guest.receive())
        assert sorted(received) == list(range(20))


def test_reordered_packets_are_overtaken() -> None:
    uplink = PacketReordering(HairpinUplink(), seed=5, probability=0.2, delay=30, direction=TX)
    with uplink, UplinkGuest(uplink) as guest:
        received: dict[int, int] = {}
        for now in range(0, 1000, 10):
            guest.send([frame(now)], now=now)
            received |= dict.fromkeys(numbers(guest.receive()), now)
        received |= dict.fromkeys(numbers(guest.receive(now=2000)), 2000)
    late = [number for number, now in received.items() if now != number]
    assert sorted(received) == list(range(0, 1000, 10))
    assert all(received[number] == number + 30 for number in late if number < 970)
    assert 5 < len(late) < 40
    assert list(received) != sorted(received)


def test_rate() -> None:
    """1000 bytes a second: 60 bytes take 60 ms; 120 may pass at once after a pause."""
    ms = 1_000_000
    uplink = PacketRate(HairpinUplink(), bytes_per_second=1000, burst=120, direction=TX)
    with uplink, UplinkGuest(uplink) as guest:
        guest.send([frame(number) for number in range(6)], now=1000 * ms)
        assert numbers(guest.receive()) == [0, 1, 2]  # the bucket is full, and may be overdrawn
        assert guest.deadline() == 1060 * ms
        assert numbers(guest.receive(now=1060 * ms)) == [3]
        assert numbers(guest.receive(now=1119 * ms)) == []
        assert numbers(guest.receive(now=1180 * ms)) == [4, 5]
        assert guest.deadline() == NEVER


def test_queues_share_a_rate() -> None:
    uplink = PacketRate(HairpinUplink(2), bytes_per_second=1000, direction=TX)
    with uplink, UplinkGuest(uplink, 2) as guest:
        guest.send([frame(0)], queue=0, now=10**9)
        guest.send([frame(1)], queue=1)
        assert numbers(guest.receive(queue=0)) == [0]
        assert numbers(guest.receive(queue=1)) == []
        assert guest.deadline(1) == 10**9 + 60_000_000


@pytest.mark.parametrize("direction", [TX, RX])
def test_what_is_held_is_bounded(direction: Direction) -> None:
    uplink = PacketDelay(HairpinUplink(), delay=100, direction=direction)
    with uplink, UplinkGuest(uplink) as guest:
        for first in range(0, 4 * HELD, 64):
            guest.send([frame(number) for number in range(first, first + 64)], now=0)
            assert guest.receive() == []
        assert numbers(guest.receive(4 * HELD, now=100)) == list(range(HELD))
        statistics = uplink.statistics()
        if direction == TX:
            assert statistics.tx_dropped == 3 * HELD


def test_closing_with_packets_held() -> None:
    uplink = PacketDelay(PacketDelay(HairpinUplink(), delay=5, direction=TX), delay=9, direction=RX)
    with UplinkGuest(uplink) as guest:
        guest.send([frame(number) for number in range(10)], now=0)
        guest.receive()
        guest.receive(now=5)
        guest.send([frame(number) for number in range(10)])
    uplink.close()


@pytest.mark.parametrize("direction", [TX, RX])
def test_what_is_held_ends_with_the_connection(direction: Direction) -> None:
    """The next guest has none of it, whenever it comes."""
    uplink = PacketDelay(HairpinUplink(2), delay=100, direction=direction)
    with uplink, UplinkGuest(uplink, 2) as guest:
        for queue in range(2):
            guest.send([frame(queue)], queue=queue, now=0)
            assert not guest.receive(queue=queue)
        guest.set_carrier(0)
        dropped = uplink.statistics()
        assert (dropped.tx_dropped, dropped.rx_dropped) == ((2, 0) if direction is TX else (0, 2))
        guest.set_carrier(2)
        for queue in range(2):
            assert guest.deadline(queue) == NEVER
            assert not guest.receive(queue=queue, now=1000)


def tcp(payload: int) -> bytes:
    """Of an IPv4 packet with TCP: headers, and a payload; without the TCP checksum."""
    length = 40 + payload
    ip = bytearray.fromhex("4500000000014000400600000a0000010a000002")
    ip[2:4] = length.to_bytes(2)
    ip[10:12] = (~checksum(ip) & 0xFFFF).to_bytes(2)
    return (
        HEADER[:12]
        + b"\x08\x00"
        + bytes(ip)
        + bytes.fromhex("04d20050000000010000000150100400 00000000")
        + bytes(i % 251 for i in range(payload))
    )


def checksum(data: bytes) -> int:
    padded = bytes(data) + bytes(len(data) % 2)
    total = sum(int.from_bytes(padded[i : i + 2]) for i in range(0, len(padded), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def is_right(data: bytes) -> bool:
    """Whether both checksums of IPv4 and TCP are, by RFC 1071."""
    ip = data[14:34]
    pseudo = ip[12:20] + bytes([0, 6]) + (len(data) - 34).to_bytes(2)
    return checksum(ip) == 0xFFFF and checksum(pseudo + data[34:]) == 0xFFFF


def test_corruption_is_what_a_checksum_tells() -> None:
    uplink = PacketCorruption(HairpinUplink(), seed=1, probability=1, direction=TX)
    sent = Packet(tcp(100), csum_blank=True, data_validated=True)
    with uplink, UplinkGuest(uplink) as guest:
        guest.send([sent] * 200)
        received = guest.receive()
    assert len(received) == 200
    assert len({packet.data for packet in received}) > 100
    for packet in received:
        assert not packet.csum_blank
        assert not packet.data_validated
        assert packet.data[:14] == sent.data[:14]
        assert not is_right(packet.data)
        flipped = [a ^ b for a, b in zip(packet.data, sent.data, strict=True)]
        # Beside the checksum, which was blank, one bit at most.
        assert sum(flip.bit_count() for flip in flipped[:50] + flipped[52:]) <= 1


def test_corruption_strikes_one_segment() -> None:
    uplink = PacketCorruption(HairpinUplink(), seed=1, probability=1, direction=RX)
    sent = Packet(tcp(5000), csum_blank=True, gso_type=GsoType.TCPV4, gso_size=1000)
    with uplink, UplinkGuest(uplink) as guest:
        guest.send([sent])
        received = guest.receive()
    assert len(received) == 5
    assert all(packet.gso_type == GsoType.NONE for packet in received)
    assert [is_right(packet.data) for packet in received].count(False) == 1


def test_corruption_leaves_other_users_packets_alone() -> None:
    data = frame(1)
    with Switch() as switch:
        corrupted = PacketCorruption(switch.port(), seed=1, probability=1, direction=RX)
        with switch.port() as sender, switch.port() as other, corrupted:
            guests = [UplinkGuest(uplink) for uplink in (sender, other, corrupted)]
            guests[0].send([data])
            assert guests[2].receive()[0].data != data
            assert guests[1].receive()[0].data == data
            for guest in guests:
                guest.close()


def test_names() -> None:
    uplink = PacketDelay(PacketLoss(NullUplink(1), seed=0, probability=1), delay=1)
    assert repr(uplink) == "<PacketDelay delay on loss on null, 1 queue>"
    below = uplink.below
    uplink.close()
    assert repr(uplink) == "<PacketDelay closed>"
    assert repr(below) == "<PacketLoss closed>"


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_takes_the_uplink_over(name: str) -> None:
    options = {
        "delay": {"delay": 1},
        "reorder": {"seed": 1, "probability": 0.5, "delay": 1},
        "rate": {"bytes_per_second": 1},
    }.get(name, {"seed": 1, "probability": 0.5})
    hairpin = HairpinUplink()
    with FILTERS[name](hairpin, **options) as uplink:  # type: ignore[arg-type]
        assert uplink.name == name
        with pytest.raises(UsageError, match="a filter has taken it over"):
            hairpin.statistics()
        hairpin.close()  # is the filter's to do
        assert uplink.statistics().tx_packets == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda u: PacketLoss(u, seed=1, probability=1.5), "a probability of 1.5 is not between"),
        (lambda u: PacketLoss(u, seed=1, probability=float("nan")), "a probability of nan"),
        (lambda u: PacketDelay(u, delay=-1), "a delay of -1 ns is not between 0 and"),
        (lambda u: PacketDelay(u, delay=1, jitter=2**63), "a jitter of .* is not between"),
        (lambda u: PacketRate(u, bytes_per_second=0), "0 bytes a second with a burst of 0"),
        (lambda u: PacketRate(u, bytes_per_second=1, burst=3601), "no more than an hour's"),
    ],
)
def test_what_a_filter_cannot_be(
    make: Callable[[HairpinUplink], UplinkFilter], message: str
) -> None:
    with HairpinUplink() as hairpin:
        with pytest.raises(UsageError, match=message):
            make(hairpin)
        assert hairpin.statistics().tx_packets == 0  # it is its owner's still
