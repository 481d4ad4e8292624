"""A disk's vital product data and mode pages (SBC-3 6.6, 6.5)."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from pvdrivers.backends.targets.command import invalid_parameter
from pvdrivers.backends.targets.disk.block_unit import BlockUnit
from pvdrivers.backends.targets.spc.inquiry import VpdPages
from pvdrivers.backends.targets.spc.mode import (
    DISCONNECT_PAGE,
    EXCEPTIONS_PAGE,
    HARDWARE_PROTECTED,
    ModePage,
)
from pvdrivers.scsi.sense import Sense

_ERROR_RECOVERY, _CACHING = 0x01, 0x08
_WCE = 0x04
_DPOFUA = 0x10  # in the device-specific parameter
_LBPU, _LBPWS, _LBPWS10, _LBPRZ = 0x80, 0x40, 0x20, 0x04
_THIN = 2
# What a ring's list of segments carries by default. Linux' sd believes none that is longer than
# READ (10) has room for.
OPTIMAL_TRANSFER = 512 << 10  # bytes


class Pages(BlockUnit):
    write_protectable = True

    # ---- vital product data ------------------------------------------------------------------

    def vpd_pages(self) -> VpdPages:
        pages = {**super().vpd_pages(), 0xB0: self._block_limits, 0xB1: _characteristics}
        if self.medium.is_thin:
            pages[0xB2] = self._logical_block_provisioning
        return pages

    def _block_limits(self) -> bytes:
        limits, thin = self.limits, self.medium.is_thin
        geometry, size = self.medium.store.geometry, self.medium.block_size
        granularity = max(geometry.discard_granularity // size, 1)
        alignment = geometry.discard_alignment // size
        return struct.pack(
            ">BBHIIIIIIIQ20x",
            0,  # WSNZ: WRITE SAME of no blocks goes to the end of the disk
            limits.compare_and_write,
            max(geometry.physical_sector_size // size, 1),
            limits.transfer,
            min(limits.transfer, OPTIMAL_TRANSFER // size),
            0,  # PRE-FETCH: no limit
            limits.unmap if thin else 0,
            limits.unmap_descriptors if thin else 0,
            granularity if thin else 0,
            0x80000000 | alignment if thin else 0,  # UGAVALID
            limits.write_same,
        )

    def _logical_block_provisioning(self) -> bytes:
        reads_zeros = _LBPRZ if self.medium.unmapped_is_zero else 0
        return bytes((0, _LBPU | _LBPWS | _LBPWS10 | reads_zeros, _THIN, 0))

    def extended_inquiry(self) -> bytearray:
        data = super().extended_inquiry()
        data[1] |= 0x10  # GROUP_SUP: a CDB may name any group; nothing is counted by them
        data[2] |= 0x01 if self.medium.has_cache else 0  # V_SUP
        return data

    # ---- mode pages --------------------------------------------------------------------------

    def mode_pages(self) -> Iterable[ModePage]:
        caches = _WCE if self.medium.has_cache else 0
        return (
            *super().mode_pages(),
            ModePage(_ERROR_RECOVERY, bytes(10)),
            DISCONNECT_PAGE,
            ModePage(_CACHING, bytes((caches, *bytes(17))), bytes((caches, *bytes(17)))),
            EXCEPTIONS_PAGE,
        )

    @property
    def caches_writes(self) -> bool:
        return bool(self.mode_page(_CACHING)[0] & _WCE)

    def device_specific_parameter(self) -> int:
        return super().device_specific_parameter() | _DPOFUA

    def write_protection(self) -> Sense | None:
        return HARDWARE_PROTECTED if self.medium.store.read_only else super().write_protection()

    def block_descriptor(self, long: bool) -> bytes:
        blocks, size = self.medium.blocks, self.medium.block_size
        if long:
            return struct.pack(">QxxxxI", blocks, size)
        return struct.pack(">II", min(blocks, 0xFFFFFFFF), size)

    def select_block_descriptor(self, descriptor: bytes, place: int) -> None:
        """The size that the disk has, or none; the largest number stands for all of it."""
        count = descriptor[: len(descriptor) // 2]
        wanted, size = int.from_bytes(count, "big"), int.from_bytes(descriptor[-3:], "big")
        everything = (1 << 8 * len(count)) - 1
        if wanted not in (0, everything, self.medium.blocks):
            raise invalid_parameter(place)
        if size != self.medium.block_size:
            raise invalid_parameter(place + len(descriptor) - 3)


def _characteristics() -> bytes:
    """It does not rotate; what SANITIZE has erased can be read (WABEREQ)."""
    return struct.pack(">HxB56x", 1, 0x40)
