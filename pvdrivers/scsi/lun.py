"""LUNs in the 8 bytes that SAM-5 (4.7) gives them."""

import struct
from collections.abc import Sequence

MAX_FLAT = 0x3FFF  # the largest LUN of flat space addressing


def encode_lun(lun: int) -> bytes:
    """8 bytes: peripheral device, flat space, or extended flat space addressing."""
    if lun < 0x100:
        return struct.pack(">H6x", lun)
    if lun <= MAX_FLAT:
        return struct.pack(">H6x", 0x4000 | lun)
    return b"\xd2" + lun.to_bytes(3, "big") + bytes(4)


def decode_lun(encoded: bytes | bytearray) -> int | None:
    """Of peripheral device or flat space addressing; None: of another."""
    first, others = divmod(int.from_bytes(encoded, "big"), 1 << 48)
    if others:
        return None
    if first < 0x100:
        return first
    return first & MAX_FLAT if first >> 14 == 1 else None


def encode_report(luns: Sequence[int]) -> bytes:
    """What REPORT LUNS tells, in whole (SPC-4 6.33)."""
    return struct.pack(">I4x", 8 * len(luns)) + b"".join(map(encode_lun, luns))


def decode_report(report: bytes) -> list[int]:
    """The LUNs in it that `decode_lun` knows; it may be cut off anywhere."""
    end = min(len(report), 8 + int.from_bytes(report[:4], "big"))
    luns = (decode_lun(report[at : at + 8]) for at in range(8, end - 7, 8))
    return [lun for lun in luns if lun is not None]
