"""Captures are what Wireshark's tools and scapy read, and replays give what was captured."""

import errno
import os
import re
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.backends.uplinks.pcapng import MIN_BUFFER, Capture, CaptureUplink, ReplayUplink
from pvdrivers.backends.uplinks.pcapng_file import read_pcapng
from pvdrivers.backends.uplinks.uplink import HairpinUplink, NullUplink, Uplink
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.packet import GsoType, HashAlgorithm, Packet, packet_pool

MILLISECOND = 10**6
EPOCH = 1_700_000_000 * 10**9
MACS = bytes.fromhex("020000000001 020000000002")
UDP = MACS + bytes.fromhex(
    "0800 4500001f 12344000 40110000 0a000001 0a000002 13880035000b0000 616263"
)


def tcp(payload: bytes) -> bytes:
    ip = struct.pack(
        ">BBHHHBBH4B4B", 0x45, 0, 40 + len(payload), 1, 0, 64, 6, 0, 10, 0, 0, 1, 10, 0, 0, 2
    )
    return (
        MACS
        + b"\x08\x00"
        + ip
        + struct.pack(">HHIIBBHHH", 1, 2, 3, 4, 0x50, 0x18, 9, 0, 0)
        + payload
    )


class Guest:
    """Sends and receives on an uplink's first queue, at times that the test chooses."""

    def __init__(self, uplink: Uplink) -> None:
        self.uplink = uplink
        self.cache = lib.pv_packet_cache_create(packet_pool())

    def send(self, *packets: Packet, now: int = 0, queue: int = 0) -> None:
        pointers = [packet.to_pointer(self.cache) for packet in packets]
        pointer = self.uplink.pointer
        pointer.ops.send(pointer, queue, self.cache, pointers, len(pointers), now)

    def receive(self, maximum: int = 64, *, now: int = 0) -> list[Packet]:
        pointer, packets = self.uplink.pointer, ffi.new("struct pv_packet *[]", maximum)
        count = pointer.ops.receive(pointer, 0, self.cache, packets, maximum, now)
        received = [Packet.from_pointer(packets[i]) for i in range(count)]
        lib.pv_packet_release(self.cache, packets, count)
        return received

    def connect(self, queues: int = 1) -> None:
        self.uplink.pointer.ops.set_carrier(self.uplink.pointer, queues)

    @property
    def deadline(self) -> int:
        return int(self.uplink.pointer.ops.deadline(self.uplink.pointer, 0))

    @property
    def has_work(self) -> bool:
        return bool(self.uplink.pointer.ops.arm(self.uplink.pointer, 0))

    def close(self) -> None:
        self.uplink.close()
        lib.pv_packet_cache_destroy(self.cache)


@pytest.fixture(autouse=True)
def all_packets_are_released() -> Iterator[None]:
    before = lib.pv_packet_pool_used(packet_pool())
    yield
    assert lib.pv_packet_pool_used(packet_pool()) == before


def captured(path: Path, *packets: Packet, back: bool = False) -> Path:
    """A file with these, a millisecond apart, from a guest or to it."""
    with Capture(path, wall_offset=EPOCH) as capture:
        guest = Guest(CaptureUplink(capture, HairpinUplink(), "vif1.0"))
        for number, packet in enumerate(packets):
            guest.send(packet, now=number * MILLISECOND)
            if back:
                guest.receive(now=number * MILLISECOND)
        guest.close()
    return path


def run(*command: Any) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


# ---- Captures -----------------------------------------------------------------------------------


def test_two_interfaces_and_both_directions_in_tshark(tmp_path: Path, tshark: Any) -> None:
    path = tmp_path / "two.pcapng"
    gso = Packet(tcp(b"x" * 900), True, True, GsoType.TCPV4, 500)
    hashed = Packet(UDP, False, True, GsoType.NONE, 0, HashAlgorithm.TOEPLITZ, 0, 0x11223344)
    with Capture(path, wall_offset=EPOCH) as capture:
        one = Guest(CaptureUplink(capture, HairpinUplink(2), "vif1.0"))
        other = Guest(CaptureUplink(capture, NullUplink(), "vif2.0", captured_max=20))
        one.send(Packet(UDP, csum_blank=True), now=1)
        one.receive(now=2_000_000_123)
        one.send(gso, now=3_000_000_000)
        one.send(hashed, now=3_000_000_001, queue=1)
        other.send(Packet(UDP), now=4_000_000_000)
        one.uplink.pointer.ops.purge(one.uplink.pointer, 0, one.cache)
        one.close()
        other.close()
        assert (capture.recorded, capture.not_recorded, capture.error) == (5, 0, 0)
    fields = ("frame.interface_name", "frame.packet_flags_direction", "frame.time_epoch")
    assert tshark(path, *fields, "frame.len", "frame.cap_len", "frame.comment") == [
        ["vif1.0", "0x00000002", "1700000000.000000001", "45", "45", ""],
        ["vif1.0", "0x00000001", "1700000002.000000123", "45", "45", ""],
        ["vif1.0", "0x00000002", "1700000003.000000000", "954", "954", "gso_type 1, gso_size 500"],
        ["vif1.0", "0x00000002", "1700000003.000000001", "45", "45", ""],
        ["vif2.0", "0x00000002", "1700000004.000000000", "45", "20", ""],
    ]
    told = run("capinfos", path)
    assert "Number of interfaces in file: 2" in told
    assert "Number of packets:   5" in told
    blank, _, cut, valid, part = read_pcapng(path)
    assert (blank.csum_blank, cut.csum_blank, valid.csum_blank) == (True, True, False)
    assert (cut.is_gso, cut.gso, valid.is_gso) == (True, (1, 500), False)
    assert (part.data, part.length) == (UDP[:20], len(UDP))


def test_scapy_reads_the_same(tmp_path: Path) -> None:
    utils = pytest.importorskip("scapy.utils", reason="needs scapy (make install has it)")
    packets = [Packet(MACS + b"\x08\x06" + bytes(length)) for length in range(8)]
    path = captured(tmp_path / "few.pcapng", *packets, back=True)
    read = [(data, about) for data, about in utils.RawPcapNgReader(str(path))]
    assert [data for data, _ in read] == [packet.data for packet in packets for _ in "tr"]
    assert [about.direction for _, about in read] == [2, 1] * 8
    assert [data.data for data in read_pcapng(path)] == [data for data, _ in read]


def test_packets_that_the_file_cannot_keep_up_with(tmp_path: Path) -> None:
    """A reader that does not read stops the writer, and nobody else."""
    fifo, got = tmp_path / "fifo", bytearray()
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    capture = Capture(fifo, buffer=MIN_BUFFER, wall_offset=EPOCH)
    guest = Guest(CaptureUplink(capture, NullUplink(), "vif1.0"))
    sent = 4 * MIN_BUFFER // 1000
    for number in range(sent):
        guest.send(Packet(UDP + bytes(1000)), now=number)
    assert capture.not_recorded > 0
    assert capture.recorded + capture.not_recorded == sent

    def read() -> None:
        while data := os.read(reader, 65536):
            got.extend(data)

    recorded, thread = capture.recorded, threading.Thread(target=read)
    guest.close()
    thread.start()
    capture.close()
    thread.join()
    os.close(reader)
    path = tmp_path / "read"
    path.write_bytes(got)
    assert len(list(read_pcapng(path))) == recorded
    assert f"not recorded: {sent - recorded} (no room".encode() in got


def test_a_gap_is_told_of_by_the_packet_behind_it(tmp_path: Path, tshark: Any) -> None:
    path = tmp_path / "gap.pcapng"
    with Capture(path, buffer=MIN_BUFFER, wall_offset=EPOCH) as capture:
        guest = Guest(CaptureUplink(capture, NullUplink(), "vif1.0"))
        guest.send(*[Packet(UDP + bytes(60000)) for _ in range(20)])  # at once: more than it holds
        recorded = capture.recorded
        while capture.recorded == recorded:  # until there is room again
            time.sleep(0.01)
            guest.send(Packet(UDP))
        lost = capture.not_recorded
        guest.close()
    last = tshark(path, "frame.drop_count")[-1]
    assert int(last[0]) == lost > 0


def test_the_manuals_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    manual = Path(__file__).parents[3] / "docs" / "pcapng.md"
    (example,) = re.findall(r"^```python\n(.*?)^```$", manual.read_text(), re.DOTALL | re.MULTILINE)
    captured(tmp_path / "web.pcapng", Packet(UDP), back=True)
    exec(example, {})
    assert list(read_pcapng(tmp_path / "guests.pcapng")) == []


def test_a_full_disk(tmp_path: Path) -> None:
    capture = Capture(Path("/dev/full"))
    guest = Guest(CaptureUplink(capture, NullUplink(), "vif1.0"))
    guest.send(Packet(UDP))
    guest.close()
    with pytest.raises(OSError, match="No space left") as raised:
        capture.close()
    assert raised.value.errno == errno.ENOSPC


def test_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "mistakes.pcapng"
    with pytest.raises(UsageError, match=f"buffer of 1 bytes is less than {MIN_BUFFER}"):
        Capture(path, buffer=1)
    with Capture(path) as capture:
        with pytest.raises(UsageError, match="not 1 to 128 bytes"):
            CaptureUplink(capture, NullUplink(), "x" * 129)
        uplink = CaptureUplink(capture, NullUplink(1), "vif1.0")
        assert repr(uplink) == f"<CaptureUplink of null as vif1.0 to {path}, 1 queue>"
        with pytest.raises(UsageError, match="close the uplinks"):
            capture.close()
        uplink.close()
    assert repr(capture) == f"<Capture {path}, closed>"
    with pytest.raises(UsageError, match="is closed"):
        CaptureUplink(capture, NullUplink(), "vif1.0")


# ---- Replays ------------------------------------------------------------------------------------

A, B, C = (Packet(UDP + bytes([number])) for number in range(3))


def to_guest(path: Path, *packets: Packet) -> Path:
    return captured(path, *packets, back=True)


def test_at_once(tmp_path: Path) -> None:
    guest = Guest(ReplayUplink(to_guest(tmp_path / "f", A, B, C), paced=False))
    assert guest.receive() == []
    assert not guest.has_work
    guest.connect()
    assert guest.has_work
    assert guest.receive(2) == [A, B]
    assert guest.has_work
    assert guest.receive() == [C]
    assert not guest.has_work
    guest.connect(0)
    guest.connect()
    assert guest.receive() == [A, B, C]
    assert guest.uplink.statistics().rx_packets == 6
    guest.close()


def test_at_the_recorded_pace(tmp_path: Path) -> None:
    guest = Guest(ReplayUplink(to_guest(tmp_path / "f", A, B, C)))
    guest.connect()
    assert guest.has_work  # a first look, so that it knows when it began
    start = 5 * MILLISECOND
    assert guest.receive(now=start) == [A]
    assert not guest.has_work
    assert guest.deadline == start + MILLISECOND
    assert guest.receive(now=start + MILLISECOND - 1) == []
    assert guest.receive(0, now=start + MILLISECOND) == []  # it takes none
    assert guest.has_work
    assert guest.deadline == 2**64 - 1  # so that it does not keep its queue awake
    assert guest.receive(now=start + MILLISECOND) == [B]
    assert guest.receive(now=start + 9 * MILLISECOND) == [C]
    assert guest.deadline == 2**64 - 1
    guest.close()


def test_without_an_end(tmp_path: Path) -> None:
    path = to_guest(tmp_path / "f", A, B)
    guest = Guest(ReplayUplink(path, paced=False, again=True))
    guest.connect()
    assert guest.receive(5) == [A, B, A, B, A]
    guest.close()
    guest = Guest(ReplayUplink(path, again=True))
    guest.connect()
    assert guest.receive(now=0) == [A]
    assert guest.receive(now=MILLISECOND) == [B]
    assert guest.deadline == 2 * MILLISECOND
    assert guest.receive(now=4 * MILLISECOND) == [A, B, A]
    guest.close()


def test_what_was_offloaded_comes_without(tmp_path: Path) -> None:
    gso = Packet(tcp(b"x" * 900), True, True, GsoType.TCPV4, 500)
    path = to_guest(tmp_path / "f", Packet(UDP, csum_blank=True), gso)
    guest = Guest(ReplayUplink(path, paced=False))
    guest.connect()
    filled, first, last = guest.receive()
    assert filled.data[:40] == UDP[:40]
    assert filled.data[40:42] != UDP[40:42]
    assert [len(first.data), len(last.data)] == [554, 454]
    for packet in (filled, first, last):
        assert (packet.csum_blank, packet.gso_type) == (False, GsoType.NONE)
    guest.close()


def test_what_cannot_be_replayed_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with Capture(path) as capture:
        guest = Guest(CaptureUplink(capture, HairpinUplink(), "vif1.0", captured_max=50))
        guest.send(A, Packet(UDP + bytes(100)))
        guest.receive()
        guest.close()
    with ReplayUplink(path) as replay:
        assert (replay.packets, replay.skipped) == (1, 1)
        assert repr(replay) == f"<ReplayUplink 1 packets of {path}, 1 queue>"


def test_a_capture_of_what_a_guest_sent_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no packet to replay"):
        ReplayUplink(captured(tmp_path / "f", A))


def test_a_file_that_editcap_wrote(tmp_path: Path) -> None:
    if not shutil.which("editcap"):
        pytest.skip("needs editcap (Debian package tshark)")
    ours = to_guest(tmp_path / "ours", A, B, C)
    run("editcap", "-F", "pcap", ours, tmp_path / "old")
    with pytest.raises(UsageError, match="editcap -F pcapng"):
        ReplayUplink(tmp_path / "old")
    run("editcap", "-F", "pcapng", tmp_path / "old", tmp_path / "theirs")
    theirs = list(read_pcapng(tmp_path / "theirs"))
    assert [packet.data for packet in theirs] == [packet.data for packet in (A, A, B, B, C, C)]
    assert [packet.time // 1000 for packet in theirs] == [
        packet.time // 1000 for packet in read_pcapng(ours)
    ]


def block(order: str, kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return struct.pack(f"{order}II", kind, length) + body + struct.pack(f"{order}I", length)


def file_of(order: str) -> bytes:
    section = struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1)
    milliseconds = (
        struct.pack(f"{order}HHI", 9, 1, 3) if order == "<" else b"\0\x09\0\x01\x03\0\0\0"
    )
    interface = struct.pack(f"{order}HHI", 1, 0, 0) + milliseconds
    packet = struct.pack(f"{order}5I", 0, 0, 1500, len(UDP), len(UDP)) + UDP + bytes(-len(UDP) % 4)
    return block(order, 0x0A0D0D0A, section) + block(order, 1, interface) + block(order, 6, packet)


def test_either_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(file_of("<") + file_of(">"))
    little, big = read_pcapng(path)
    assert little == big
    assert (little.data, little.time) == (UDP, 1500 * MILLISECOND)


def test_a_last_block_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(file_of("<")[:-1])
    assert list(read_pcapng(path)) == []


@given(at=st.integers(0, 171), byte=st.integers(0, 255), end=st.integers(0, 400))
def test_a_damaged_file_is_no_traceback(
    at: int, byte: int, end: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(file_of("<") + file_of(">"))
    data[at % len(data)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[:end])
    try:
        for packet in read_pcapng(path):
            assert len(packet.data) <= len(data)
    except UsageError:
        pass
