"""Uplinks in Python: what they are sent and deliver, from which threads, and what they raise."""

import logging
import select
import threading

import pytest

from pvdrivers.backends.uplinks.filters import PacketDelay
from pvdrivers.backends.uplinks.python_uplink import NO_OFFLOADS, PythonUplink
from pvdrivers.backends.uplinks.uplink import UplinkOffloads
from pvdrivers.ring.errors import UsageError
from pvdrivers.testing.vnif.uplink_guest import UplinkGuest
from pvdrivers.vnif.packet import GsoType, Packet

HEADER = bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xB5])


def frame(number: int) -> Packet:
    return Packet(HEADER + number.to_bytes(46))


def number_of(packet: Packet) -> int:
    return int.from_bytes(packet.data[14:])


class Recorder(PythonUplink):
    def __init__(self, queues: int = 1, *, offloads: UplinkOffloads = NO_OFFLOADS) -> None:
        super().__init__(queues, offloads=offloads)
        self.batches: list[list[Packet]] = []

    def send(self, packets: list[Packet]) -> None:
        self.batches.append(packets)


class Echo(PythonUplink):
    def send(self, packets: list[Packet]) -> None:
        self.deliver(packets)


class Faulty(Recorder):
    def send(self, packets: list[Packet]) -> None:
        super().send(packets)
        raise ValueError("as it must")


def test_a_batch_is_one_call() -> None:
    gso = Packet(HEADER + bytes(5000), csum_blank=True, gso_type=GsoType.TCPV4, gso_size=1448)
    with Recorder(offloads=UplinkOffloads(True, False, True, False)) as uplink:
        offloads = uplink.pointer.tx_offloads
        assert offloads.csum_ipv4
        assert offloads.gso_tcpv4
        assert not offloads.csum_ipv6
        assert not offloads.gso_tcpv6
        with UplinkGuest(uplink) as guest:
            guest.send([frame(1), gso])
            guest.send([])
            guest.send([frame(2)])
        assert uplink.batches == [[frame(1), gso], [frame(2)]]
        assert uplink.statistics().tx_packets == 3
        assert uplink.statistics().tx_bytes == 60 + 5014 + 60
        assert repr(uplink) == "<Recorder external, 1 queue>"


def test_delivered_from_within_send() -> None:
    with Echo() as uplink, UplinkGuest(uplink) as guest:
        guest.send([frame(1), frame(2)])
        assert guest.receive() == [frame(1), frame(2)]


def test_a_guest_that_sleeps_is_woken_by_another_thread() -> None:
    with Recorder() as uplink, UplinkGuest(uplink) as guest:
        assert not guest.arm()
        thread = threading.Thread(target=uplink.deliver, args=([frame(1)],))
        thread.start()
        thread.join()
        assert select.select([guest.fileno()], [], [], 0)[0]
        assert guest.receive() == [frame(1)]
        assert not select.select([guest.fileno()], [], [], 0)[0]


def test_no_guest_no_packets() -> None:
    with Recorder() as uplink:
        assert uplink.deliver([frame(1)]) == 0
        with UplinkGuest(uplink) as guest:
            assert guest.receive() == []
        assert uplink.deliver([frame(2)]) == 0
        assert uplink.statistics().rx_dropped == 2


def test_a_guest_that_does_not_read() -> None:
    with Recorder() as uplink, UplinkGuest(uplink) as guest:
        assert uplink.deliver(map(frame, range(1500))) == 1024
        assert uplink.statistics().rx_dropped == 1500 - 1024
        assert [number_of(packet) for packet in guest.receive(2000)] == list(range(1024))


def test_flows_are_spread_over_the_guests_queues() -> None:
    def udp(port: int) -> Packet:
        ip = bytes.fromhex("4500002e00000000401100000a0000010a000002")
        udp_header = port.to_bytes(2) + bytes([0, 9, 0, 26, 0, 0])
        return Packet(HEADER[:12] + b"\x08\x00" + ip + udp_header + bytes(18))

    with Recorder(4) as uplink, UplinkGuest(uplink, 2) as guest:
        for port in range(32):
            uplink.deliver([udp(port), udp(port)])
        received = [guest.receive(queue=queue) for queue in range(4)]
    assert received[0]
    assert received[1]
    assert not received[2]
    assert not received[3]
    assert sum(map(len, received)) == 64
    assert not {packet.data for packet in received[0]} & {packet.data for packet in received[1]}


def test_what_it_raises_is_logged_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), Faulty() as uplink, UplinkGuest(uplink) as guest:
        guest.send([frame(1), frame(2)])
        guest.send([frame(3)])
        statistics = uplink.statistics()
        assert (statistics.tx_dropped, statistics.errors, statistics.tx_packets) == (3, 2, 0)
        assert len(uplink.batches) == 2  # it is asked again
    assert len(caplog.records) == 1
    assert "later exceptions are counted alone" in caplog.text
    assert "as it must" in caplog.text


def test_what_is_no_packet_delivers_none() -> None:
    with Recorder() as uplink, UplinkGuest(uplink) as guest:
        with pytest.raises(UsageError, match="a packet of 3 bytes is not"):
            uplink.deliver([frame(1), Packet(b"abc")])
        assert guest.receive() == []
        assert uplink.deliver([frame(2)]) == 1


def test_closed_while_others_deliver() -> None:
    uplink = Recorder()
    guest = UplinkGuest(uplink)
    started = threading.Barrier(3)
    closed: list[str] = []

    def deliver() -> None:
        started.wait()
        try:
            while True:
                uplink.deliver([frame(0)] * 8)
        except UsageError as error:
            closed.append(str(error))

    threads = [threading.Thread(target=deliver) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait()
    guest.receive()
    guest.close()
    uplink.close()
    for thread in threads:
        thread.join()
    assert closed == ["the uplink is closed"] * 2


def test_behind_a_filter() -> None:
    echo = Echo()
    with PacketDelay(echo, delay=10) as uplink, UplinkGuest(uplink) as guest:
        guest.send([frame(1)], now=0)
        assert guest.receive() == []
        assert guest.receive(now=10) == []
        assert guest.receive(now=20) == [frame(1)]
    with pytest.raises(UsageError, match="the uplink is closed"):
        echo.deliver([frame(1)])
