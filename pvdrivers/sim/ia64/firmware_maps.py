"""EFI maps of machines known by name, as a machine of that name in memory_map.MEMORY_MAPS has its
memory. What else their firmware has is at addresses of our own."""

from collections.abc import Sequence

from pvdrivers.sim.ia64.efi import Attribute, EfiDescriptor, MemoryType
from pvdrivers.sim.memory_map import (
    ALTIX_CACHEABLE,
    ALTIX_NODE_SHIFT,
    GIB,
    MEMORY_MAPS,
    MIB,
    MemoryExtent,
)

_CACHED = Attribute.UC | Attribute.WB
_RUNTIME = Attribute.WB | Attribute.RUNTIME


def _line(start: int, end: int, type: MemoryType, attribute: Attribute) -> EfiDescriptor:
    return EfiDescriptor(type, start, end - start, attribute)


def _memory(start: int, end: int) -> EfiDescriptor:
    return _line(start, end, MemoryType.CONVENTIONAL, _CACHED)


def _firmware(start: int) -> list[EfiDescriptor]:
    """12 MiB of WB memory."""
    return [
        _line(start, start + 0x200000, MemoryType.BOOT_SERVICES_CODE, _CACHED),
        _line(start + 0x200000, start + 0x401000, MemoryType.RUNTIME_SERVICES_CODE, _RUNTIME),
        _line(start + 0x401000, start + 0x480000, MemoryType.RUNTIME_SERVICES_DATA, _RUNTIME),
        _line(start + 0x480000, start + 0x4C0000, MemoryType.ACPI_RECLAIM, Attribute.WB),
        _line(start + 0x4C0000, start + 0x4D0000, MemoryType.ACPI_NVS, _RUNTIME),
        _line(start + 0x4D0000, start + 0x800000, MemoryType.UNUSABLE, Attribute.WB),
        _line(start + 0x800000, start + 0xC00000, MemoryType.PAL_CODE, _RUNTIME),
    ]


def _low_memory(end: int) -> list[EfiDescriptor]:
    """From 0 on, with a PC's holes, and firmware at its end."""
    return [
        _line(0x0, 0x1000, MemoryType.BOOT_SERVICES_DATA, _CACHED),
        _memory(0x1000, 0xA0000),
        _line(0xA0000, 0xC0000, MemoryType.MMIO, Attribute.UC),
        _line(0xC0000, 0x100000, MemoryType.RESERVED, _CACHED | Attribute.WP),
        _memory(0x100000, 0x4000000),
        _line(0x4000000, 0x5000000, MemoryType.LOADER_CODE, _CACHED),
        _memory(0x5000000, end - 0xC00000),
        *_firmware(end - 0xC00000),
        _line(0x80000000, 0xFED00000, MemoryType.MMIO, Attribute.UC),
        _line(0xFF800000, 0x100000000, MemoryType.RUNTIME_SERVICES_CODE, Attribute.UC),
    ]


def _ports(end: int) -> EfiDescriptor:
    return _line(end - 64 * MIB, end, MemoryType.PORT_SPACE, Attribute.UC)


# ---- Maps ----------------------------------------------------------------------------------------

HP_ZX1 = [
    *_low_memory(1 * GIB),
    _memory(4 * GIB, 256 * GIB),
    _memory(257 * GIB, 260 * GIB),
    _ports(1 << 58),
]
"""Memory at 0-1, 4-256 and 257-260 GiB."""


def _altix(extents: Sequence[MemoryExtent]) -> list[EfiDescriptor]:
    """Each node has registers, and from its first cacheable address on firmware, of which the
    first node's is EFI's own."""
    lines = []
    for extent in extents:
        registers = extent.start - ALTIX_CACHEABLE + (8 << 32)
        firmware = (
            _firmware(extent.start)
            if extent.start >> ALTIX_NODE_SHIFT == 0
            else [_line(extent.start, extent.start + MIB, MemoryType.RESERVED, Attribute.WB)]
        )
        lines += [
            _line(registers, registers + GIB, MemoryType.MMIO, Attribute.UC),
            *firmware,
            _memory(firmware[-1].end, extent.end),
        ]
    return [*lines, _ports(1 << 50)]


def _primequest(extents: Sequence[MemoryExtent]) -> list[EfiDescriptor]:
    """The first cell is like a zx1 to 4 GiB. Each other cell keeps a page at its end for itself,
    uncached: it costs a granule."""
    low, high, *cells = extents
    lines = [*_low_memory(low.end), _memory(high.start, high.end)]
    for cell in cells:
        own = cell.end - 0x4000
        lines += [
            _memory(cell.start, own),
            _line(own, cell.end, MemoryType.RESERVED, Attribute.UC),
        ]
    return [*lines, _ports(1 << 50)]


ALTIX = _altix(MEMORY_MAPS["altix"].extents)
"""8 nodes of 32 GiB from 0x3000000000 of each; nothing is lower."""
PRIMEQUEST = _primequest(MEMORY_MAPS["primequest"].extents)
"""4 cells of 64 GiB."""

FIRMWARE_MAPS = {
    "zx1": HP_ZX1,
    "altix": ALTIX,
    "altix-2t": _altix(MEMORY_MAPS["altix-2t"].extents),
    "primequest": PRIMEQUEST,
    "primequest-2t": _primequest(MEMORY_MAPS["primequest-2t"].extents),
    "primequest-hotplug": _primequest(MEMORY_MAPS["primequest-hotplug"].present),
    "primequest-64t": _primequest(MEMORY_MAPS["primequest-64t"].extents),
}
"""By the names of memory_map.MEMORY_MAPS. A cell that is absent is no memory for the firmware."""
