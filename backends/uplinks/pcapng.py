"""Captures of what passes an uplink, for Wireshark, and uplinks that replay one."""

import errno
import os
from pathlib import Path
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.backends.owned import Owned, created
from pvdrivers.backends.uplinks.pcapng_file import RecordedPacket, read_pcapng
from pvdrivers.backends.uplinks.uplink import Uplink
from pvdrivers.ring.errors import UsageError
from pvdrivers.vnif.packet import MAX_LENGTH, MIN_LENGTH, GsoType, Packet, packet_pool

MIN_BUFFER = int(lib.PV_CAPTURE_MIN_BUFFER)
DEFAULT_BUFFER = 4 << 20


class Capture(Owned):
    """A pcapng file in the making, for any number of uplinks (`CaptureUplink`).

    A thread writes it. What comes faster than it writes passes unrecorded, and the file says how
    much that was. `buffer` is in bytes, and there are two of them. Timestamps are this machine's;
    with `wall_offset` they are that many ns more than the time that data planes are told, so that
    two runs of a deterministic loop make the same file. An existing file is replaced; a pipe is
    written into.
    """

    def __init__(
        self, path: Path, *, buffer: int = DEFAULT_BUFFER, wall_offset: int | None = None
    ) -> None:
        if buffer < MIN_BUFFER:
            raise UsageError(f"{path}: a buffer of {buffer} bytes is less than {MIN_BUFFER}")
        if wall_offset is not None and not 0 < wall_offset < 1 << 64:
            raise UsageError(f"{path}: a wall_offset of {wall_offset} ns is not 1 to 2^64 - 1")
        self.path = path
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._pointer = lib.pv_capture_create(fd, buffer, wall_offset or 0)
        if self._pointer == ffi.NULL:
            error = ffi.errno
            os.close(fd)
            raise OSError(error, f"{path}: {os.strerror(error)}")

    @property
    def pointer(self) -> Any:
        """`struct pv_capture *`."""
        if self._pointer is None:
            raise UsageError(f"the capture {self.path} is closed")
        return self._pointer

    @property
    def recorded(self) -> int:
        """Packets."""
        return int(self._stats().recorded)

    @property
    def not_recorded(self) -> int:
        """Packets that the buffer had no room for, or that came after a write had failed."""
        return int(self._stats().not_recorded)

    @property
    def error(self) -> int:
        """errno of the write that failed, after which nothing is recorded; or 0."""
        return int(self._stats().error)

    def _stats(self) -> Any:
        stats = ffi.new("struct pv_capture_stats *")
        lib.pv_capture_get_stats(self.pointer, stats)
        return stats

    def close(self) -> None:
        """Waits until all is written, which may take long when the disk does. A second call does
        nothing. Raises OSError when something could not be written, UsageError while an uplink is
        open."""
        if self._pointer is None:
            return
        status = lib.pv_capture_close(self._pointer)
        if status == -errno.EBUSY:
            raise UsageError(f"close the uplinks that {self.path} captures first")
        self._pointer = None
        if status < 0:
            raise OSError(-status, f"{self.path}: {os.strerror(-status)}")

    def __repr__(self) -> str:
        if self._pointer is None:
            return f"<Capture {self.path}, closed>"
        return f"<Capture {self.path}, {self.recorded} packets, {self.not_recorded} not recorded>"


class CaptureUplink(Uplink):
    """Records what passes `below`, which it takes over. `interface` is its name in the file.

    What the guest transmits is outbound there, what it receives inbound. Blank and validated
    checksums, GSO, queues and Toeplitz hashes are recorded too. Of a packet at most `captured_max`
    bytes are.
    """

    def __init__(
        self, capture: Capture, below: Uplink, interface: str, *, captured_max: int = MAX_LENGTH
    ) -> None:
        if not 1 <= captured_max <= MAX_LENGTH:
            raise UsageError(f"{captured_max} bytes to capture are not 1 to {MAX_LENGTH}")
        name = interface.encode()
        if not 1 <= len(name) <= 128:
            raise UsageError(f"the interface name {interface!r} is not 1 to 128 bytes long")
        below.check_unused()
        self.capture, self.interface = capture, interface
        pointer = lib.pv_capture_uplink_create(capture.pointer, below.pointer, name, captured_max)
        super().__init__(created(pointer, f"{capture.path}: {interface}"))
        self._below = below.where()
        below._forget()

    def where(self) -> str:
        return f"of {self._below} as {self.interface} to {self.capture.path}"


class ReplayUplink(Uplink):
    """Gives the guest the packets of a pcapng file, from the first one whenever a guest connects.

    They come at the pace at which they were recorded, or with `paced=False` as fast as the guest
    takes them; with `again` without an end. Packets that a guest had sent (outbound) are left out.
    What was recorded with offloads comes without: blank checksums are filled, GSO packets cut into
    segments. `skipped` is the number of packets that cannot be replayed: recorded in part, not
    Ethernet, or GSO of unknown size. The file is held in memory.
    """

    def __init__(self, path: Path, *, paced: bool = True, again: bool = False) -> None:
        self.path, self.skipped = path, 0
        cache = created(lib.pv_packet_cache_create(packet_pool()), str(path))
        packets: list[Any] = []
        times: list[int] = []
        try:
            for recorded in read_pcapng(path):
                if not recorded.outbound and not recorded.dropped:
                    made = self._packets(recorded, cache)
                    packets += made
                    times += [recorded.time] * len(made)
            if not packets:
                raise UsageError(f"{path} has no packet to replay")
            # Writers may record two threads' packets in another order than they came.
            relative = [max(time - times[0], 0) for time in times]
            for i in range(1, len(relative)):
                relative[i] = max(relative[i], relative[i - 1])
            pointer = created(
                lib.pv_replay_uplink_create(
                    packet_pool(), packets, relative if paced else ffi.NULL, len(packets), again
                ),
                str(path),
            )
        except BaseException:
            lib.pv_packet_release(cache, packets, len(packets))
            raise
        finally:
            lib.pv_packet_cache_destroy(cache)
        super().__init__(pointer)
        self.packets = len(packets)

    def _packets(self, recorded: RecordedPacket, cache: Any) -> list[Any]:
        """What a guest can take of it without offloads."""
        if (
            not recorded.is_ethernet
            or len(recorded.data) != recorded.length
            or not MIN_LENGTH <= recorded.length <= MAX_LENGTH
        ):
            self.skipped += 1
            return []
        if recorded.is_gso:
            return self._segments(recorded, cache)
        packet = Packet(recorded.data).to_pointer(cache)
        if recorded.csum_blank:
            lib.pv_packet_fill_checksum(packet)
        return [packet]

    def _segments(self, recorded: RecordedPacket, cache: Any) -> list[Any]:
        gso_type, gso_size = recorded.gso or (0, 0)
        if gso_type not in (GsoType.TCPV4, GsoType.TCPV6) or not 1 <= gso_size <= 0xFFFF:
            self.skipped += 1
            return []
        whole = Packet(recorded.data, True, True, GsoType(gso_type), gso_size).to_pointer(cache)
        segments = ffi.new("struct pv_packet *[]", len(recorded.data))
        count = lib.pv_packet_segment(whole, cache, False, segments, len(segments))
        lib.pv_packet_release(cache, [whole], 1)
        if count < 0:
            self.skipped += 1
            return []
        return [segments[i] for i in range(count)]

    def where(self) -> str:
        return f"{self.packets} packets of {self.path}"
