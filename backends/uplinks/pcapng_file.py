"""Reads the packets of a pcapng file (draft-ietf-opsawg-pcapng), of either byte order."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pvdrivers.ring.errors import UsageError

_SECTION, _INTERFACE, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 3, 6
_ETHERNET = 1
_MAGIC = 0x1A2B3C4D
_COMMENT, _INTERFACE_NAME, _TIME_RESOLUTION, _PACKET_FLAGS = 1, 2, 9, 2
_OUTBOUND, _CSUM_BLANK, _GSO = 2, 1 << 9, 1 << 11


@dataclass(frozen=True, slots=True)
class RecordedPacket:
    time: int
    """ns since 1970."""
    data: bytes
    length: int
    """Of the packet; `data` may have less of it."""
    interface: str
    is_ethernet: bool
    flags: int
    comments: tuple[str, ...]

    @property
    def outbound(self) -> bool:
        """The owner of the interface has sent it."""
        return self.flags & 3 == _OUTBOUND

    @property
    def csum_blank(self) -> bool:
        return bool(self.flags & _CSUM_BLANK)

    @property
    def dropped(self) -> bool:
        """The backend has dropped it. One that had been received before is in the file twice."""
        return any(comment.startswith("dropped: ") for comment in self.comments)

    @property
    def is_gso(self) -> bool:
        return bool(self.flags & _GSO)

    @property
    def gso(self) -> tuple[int, int] | None:
        """Type and size, which our captures tell of in a comment."""
        for comment in self.comments:
            if told := re.fullmatch(r"gso_type (\d+), gso_size (\d+)", comment):
                return int(told[1]), int(told[2])
        return None


@dataclass(frozen=True, slots=True)
class _Interface:
    name: str
    is_ethernet: bool
    captured_max: int
    ticks: int
    """Of its timestamps, a second."""


def _options(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from(f"{order}HH", data, at)
        if code == 0:
            return
        yield code, data[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


def _interface(body: bytes, order: str) -> _Interface:
    link_type, _, captured_max = struct.unpack_from(f"{order}HHI", body)
    name, ticks = "", 10**6
    for code, value in _options(body[8:], order):
        if code == _INTERFACE_NAME:
            name = value.decode(errors="replace")
        elif code == _TIME_RESOLUTION and value:
            exponent = value[0] & 0x7F
            ticks = 1 << exponent if value[0] & 0x80 else 10**exponent
    return _Interface(name, link_type == _ETHERNET, captured_max, ticks)


def _packet(body: bytes, order: str, interfaces: list[_Interface]) -> RecordedPacket:
    number, high, low, captured, length = struct.unpack_from(f"{order}5I", body)
    interface = interfaces[number]
    flags, comments = 0, []
    for code, value in _options(body[20 + (captured + 3) // 4 * 4 :], order):
        if code == _PACKET_FLAGS:
            (flags,) = struct.unpack(f"{order}I", value)
        elif code == _COMMENT:
            comments.append(value.decode(errors="replace"))
    time = (high << 32 | low) * 10**9 // interface.ticks
    data = body[20 : 20 + captured]
    return RecordedPacket(
        time, data, length, interface.name, interface.is_ethernet, flags, tuple(comments)
    )


def _simple_packet(body: bytes, order: str, interfaces: list[_Interface]) -> RecordedPacket:
    """It is of the first interface, and nobody knows when."""
    interface = interfaces[0]
    (length,) = struct.unpack_from(f"{order}I", body)
    data = body[4 : 4 + min(length, interface.captured_max or length)]
    return RecordedPacket(0, data, length, interface.name, interface.is_ethernet, 0, ())


def _blocks(data: bytes, what: str) -> Iterator[tuple[int, bytes, str]]:
    """Type, body and byte order of each. What a writer that was killed left of the last one is left
    out."""
    order, at = "", 0
    while at + 12 <= len(data):
        if struct.unpack_from("<I", data, at)[0] == _SECTION:
            order = "<" if struct.unpack_from("<I", data, at + 8)[0] == _MAGIC else ">"
        if not order:
            break
        kind, length = struct.unpack_from(f"{order}II", data, at)
        if length < 12 or length % 4:
            raise UsageError(f"{what}: a block of {length} bytes at byte {at} is not pcapng")
        if at + length > len(data):
            return
        yield kind, data[at + 8 : at + length - 4], order
        at += length
    if not order:
        raise UsageError(f"{what} is no pcapng file; editcap -F pcapng makes one of other captures")


def read_pcapng(path: Path) -> Iterator[RecordedPacket]:
    """Raises OSError, or UsageError when it is no pcapng file."""
    interfaces: list[_Interface] = []
    try:
        for kind, body, order in _blocks(path.read_bytes(), str(path)):
            if kind == _SECTION:
                interfaces = []
            elif kind == _INTERFACE:
                interfaces.append(_interface(body, order))
            elif kind == _PACKET:
                yield _packet(body, order, interfaces)
            elif kind == _SIMPLE_PACKET:
                yield _simple_packet(body, order, interfaces)
    except (struct.error, IndexError):
        raise UsageError(f"{path}: a block contradicts itself; it is not pcapng") from None
