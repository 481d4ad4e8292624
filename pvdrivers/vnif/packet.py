"""A packet as Python users have it, and its way to and from the data plane's `struct pv_packet`."""

import errno
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Self

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import UsageError

MIN_LENGTH = int(lib.PV_PACKET_MIN_LENGTH)
MAX_LENGTH = int(lib.PV_PACKET_MAX_LENGTH)


class GsoType(IntEnum):
    """What a packet longer than a segment is cut into."""

    NONE = lib.XEN_NETIF_GSO_TYPE_NONE
    TCPV4 = lib.XEN_NETIF_GSO_TYPE_TCPV4
    TCPV6 = lib.XEN_NETIF_GSO_TYPE_TCPV6


class HashAlgorithm(IntEnum):
    NONE = lib.XEN_NETIF_CTRL_HASH_ALGORITHM_NONE
    TOEPLITZ = lib.XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ


@cache
def packet_pool() -> Any:
    """The `struct pv_packet_pool *` of this process: packets go from any queue to any other, and a
    pool outlives its packets."""
    pool = lib.pv_packet_pool_create()
    if pool == ffi.NULL:
        raise MemoryError("packet pool")
    return pool


@dataclass(frozen=True, slots=True)
class Packet:
    """An Ethernet frame, and what is told of it beside its bytes."""

    data: bytes
    csum_blank: bool = False
    """The TCP or UDP checksum covers the pseudo header alone."""
    data_validated: bool = False
    """The checksum is right, or blank."""
    gso_type: GsoType = GsoType.NONE
    gso_size: int = 0
    """Bytes of TCP payload in a segment."""
    hash_algorithm: HashAlgorithm = HashAlgorithm.NONE
    hash_type: int = 0
    """The number of a bit in XEN_NETIF_CTRL_HASH_TYPE_*."""
    hash: int = 0

    @classmethod
    def from_pointer(cls, pointer: Any) -> Self:
        """A copy of what a `struct pv_packet *` has."""
        return cls(
            bytes(ffi.buffer(pointer.data, pointer.length)),
            pointer.csum_blank,
            pointer.data_validated,
            GsoType(pointer.gso_type),
            pointer.gso_size,
            HashAlgorithm(pointer.hash_algorithm),
            pointer.hash_type,
            pointer.hash,
        )

    def to_pointer(self, packet_cache: Any) -> Any:
        """A new `struct pv_packet *` from a `struct pv_packet_cache *`; the caller's to release.

        Raises UsageError when this is no packet that a ring can carry.
        """
        self._check()
        pointer = lib.pv_packet_alloc(packet_cache, len(self.data))
        if pointer == ffi.NULL:
            raise OSError(errno.ENOMEM, "no memory for a packet")
        ffi.memmove(pointer.data, self.data, len(self.data))
        pointer.length = len(self.data)
        pointer.csum_blank = self.csum_blank
        pointer.data_validated = self.data_validated
        pointer.gso_type = self.gso_type
        pointer.gso_size = self.gso_size
        pointer.hash_algorithm = self.hash_algorithm
        pointer.hash_type = self.hash_type
        pointer.hash = self.hash
        return pointer

    def _check(self) -> None:
        if not MIN_LENGTH <= len(self.data) <= MAX_LENGTH:
            raise UsageError(
                f"a packet of {len(self.data)} bytes is not {MIN_LENGTH} to {MAX_LENGTH} bytes long"
            )
        for name, value, limit in (
            ("gso_size", self.gso_size, 0xFFFF),
            ("hash_type", self.hash_type, 0xFF),
            ("hash", self.hash, 0xFFFFFFFF),
        ):
            if not 0 <= value <= limit:
                raise UsageError(f"a packet's {name} of {value} is not 0 to {limit}")
        if self.gso_type and not self.gso_size:
            raise UsageError(f"a packet of GSO type {self.gso_type.name} needs a gso_size")

    def __repr__(self) -> str:
        told = [f"{len(self.data)} bytes"]
        if self.csum_blank:
            told.append("checksum blank")
        elif self.data_validated:
            told.append("validated")
        if self.gso_type:
            told.append(f"GSO {self.gso_type.name} {self.gso_size}")
        if self.hash_algorithm:
            told.append(f"hash {self.hash:08x}")
        return f"<Packet {', '.join(told)}>"
