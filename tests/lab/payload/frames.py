"""The frames of one host, and what it answers others: ARP, ICMP, UDP and TCP, in short."""

from __future__ import annotations

import ipaddress
import struct

from addresses import FAMILIES, UDP_PORT

ARP, IP = 0x0806, {4: 0x0800, 6: 0x86DD}
ICMP, TCP, UDP = 1, 6, 17
ETHERNET = 14
IP_HEADER = {4: 20, 6: 40}
BROADCAST = b"\xff" * 6
FIRST_BYTE_OF_TCP = 0x01020304
CLOSED_PORT = 6999


def checksum(data: bytes) -> int:
    """The Internet checksum, not complemented."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(total)


def toeplitz(key: bytes, data: bytes) -> int:
    """The hash of Microsoft's receive side scaling."""
    bits = int.from_bytes(key, "big")
    width = len(key) * 8
    result = 0
    for index in range(len(data) * 8):
        if data[index // 8] >> (7 - index % 8) & 1:
            result ^= bits >> (width - 32 - index) & 0xFFFFFFFF
    return result


class Station:
    """The host of FAMILIES' guest addresses; dom0 is at `peer`."""

    def __init__(self, mac: bytes) -> None:
        self.mac = mac
        self.peer = BROADCAST
        self.dom0 = {f.version: ipaddress.ip_address(f.dom0).packed for f in FAMILIES}
        self.own = {f.version: ipaddress.ip_address(f.guest).packed for f in FAMILIES}

    def who_has(self) -> bytes:
        asked = struct.pack("!HHBBH", 1, IP[4], 6, 4, 1) + self.mac + self.own[4]
        return BROADCAST + self.mac + struct.pack("!H", ARP) + asked + bytes(6) + self.dom0[4]

    def udp(self, version: int, port: int, payload: bytes) -> bytes:
        header = struct.pack("!HHH", port, UDP_PORT, 8 + len(payload))
        return self._transport(version, UDP, header, b"", payload)

    def tcp(self, version: int, port: int, payload: bytes) -> bytes:
        """Part of no connection: what gets it whole says so in the reset's acknowledgement."""
        header = struct.pack("!HHIIBBH", port, CLOSED_PORT, FIRST_BYTE_OF_TCP, 0, 5 << 4, 8, 1024)
        return self._transport(version, TCP, header, bytes(2), payload)

    def _transport(
        self, version: int, protocol: int, before: bytes, after: bytes, payload: bytes
    ) -> bytes:
        """With the checksum of the pseudo header alone, between `before` and `after`."""
        length = len(before) + 2 + len(after) + len(payload)
        source, target = self.own[version], self.dom0[version]
        blank = checksum(source + target + struct.pack("!II", length, protocol))
        content = before + struct.pack("!H", blank) + after + payload
        if version == 4:
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, protocol, 0)
            whole = ~checksum(head + source + target) & 0xFFFF
            head = head[:10] + struct.pack("!H", whole)
        else:
            head = struct.pack("!IHBB", 6 << 28, length, protocol, 64)
        frame = self.peer + self.mac + struct.pack("!H", IP[version])
        return frame + head + source + target + content

    def answer(self, frame: bytes) -> bytes | None:
        """What a host must answer."""
        kind = int.from_bytes(frame[12:14], "big")
        if kind == ARP and frame[20:22] == b"\0\1" and frame[38:42] == self.own[4]:
            told = frame[14:20] + b"\0\2" + self.mac + self.own[4] + frame[22:32]
            return frame[6:12] + self.mac + frame[12:14] + told
        if kind == IP[4] and frame[23] == ICMP and frame[34] == 8:
            message = b"\0\0\0\0" + frame[38 : ETHERNET + int.from_bytes(frame[16:18], "big")]
            message = b"\0\0" + struct.pack("!H", ~checksum(message) & 0xFFFF) + message[4:]
            # Source and target change places, which no sum notices.
            head = frame[14:26] + frame[30:34] + frame[26:30]
            return frame[6:12] + self.mac + frame[12:14] + head + message
        return None

    @staticmethod
    def _parts(frame: bytes) -> tuple[int, int, bytes] | None:
        """Version, protocol and what comes after the IP header; None: no IP."""
        kind = int.from_bytes(frame[12:14], "big")
        for version, number in IP.items():
            if kind == number:
                protocol = frame[23] if version == 4 else frame[20]
                return version, protocol, frame[ETHERNET + IP_HEADER[version] :]
        return None

    def is_answer(self, frame: bytes, question: bytes) -> bool:
        """By the ports of UDP and TCP; of ARP by the address that was asked for."""
        mine, theirs = self._parts(question), self._parts(frame)
        if mine is None or theirs is None:
            return mine is theirs and frame[20:22] == b"\0\2" and frame[28:32] == question[38:42]
        same_ports = mine[2][:4] == theirs[2][2:4] + theirs[2][:2]
        return mine[:2] == theirs[:2] and same_ports

    def payload(self, frame: bytes) -> bytes:
        """Of UDP."""
        parts = self._parts(frame)
        assert parts
        return parts[2][8 : int.from_bytes(parts[2][4:6], "big")]

    def acknowledged(self, frame: bytes) -> int:
        """How many bytes of `tcp`'s payload a reset says have come."""
        parts = self._parts(frame)
        assert parts
        assert parts[2][13] & 4, "no reset"
        return int.from_bytes(parts[2][8:12], "big") - FIRST_BYTE_OF_TCP

    def addresses_of(self, frame: bytes) -> bytes:
        """Source and target, as they are hashed."""
        parts = self._parts(frame)
        assert parts
        start = ETHERNET + (12 if parts[0] == 4 else 8)
        return frame[start : start + 2 * (4 if parts[0] == 4 else 16)]
