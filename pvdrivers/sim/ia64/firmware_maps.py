"""EFI maps of machines, to make simulated ones of (`efi.machine_with`)."""

from pvdrivers.sim.ia64.efi import Attribute, EfiDescriptor, MemoryType

_GIB = 1 << 30
_CACHED = Attribute.UC | Attribute.WB
_RUNTIME = Attribute.WB | Attribute.RUNTIME


def _line(start: int, end: int, type: MemoryType, attribute: Attribute) -> EfiDescriptor:
    return EfiDescriptor(type, start, end - start, attribute)


HP_ZX1 = [
    _line(0x0, 0x1000, MemoryType.BOOT_SERVICES_DATA, _CACHED),
    _line(0x1000, 0xA0000, MemoryType.CONVENTIONAL, _CACHED),
    _line(0xA0000, 0xC0000, MemoryType.MMIO, Attribute.UC),
    _line(0xC0000, 0x100000, MemoryType.RESERVED, _CACHED | Attribute.WP),
    _line(0x100000, 0x4000000, MemoryType.CONVENTIONAL, _CACHED),
    _line(0x4000000, 0x5000000, MemoryType.LOADER_CODE, _CACHED),
    _line(0x5000000, 0x3F400000, MemoryType.CONVENTIONAL, _CACHED),
    _line(0x3F400000, 0x3F600000, MemoryType.BOOT_SERVICES_CODE, _CACHED),
    _line(0x3F600000, 0x3F801000, MemoryType.RUNTIME_SERVICES_CODE, _RUNTIME),
    _line(0x3F801000, 0x3F880000, MemoryType.RUNTIME_SERVICES_DATA, _RUNTIME),
    _line(0x3F880000, 0x3F8C0000, MemoryType.ACPI_RECLAIM, Attribute.WB),
    _line(0x3F8C0000, 0x3F8D0000, MemoryType.ACPI_NVS, _RUNTIME),
    _line(0x3F8D0000, 0x3FC00000, MemoryType.UNUSABLE, Attribute.WB),
    _line(0x3FC00000, 0x40000000, MemoryType.PAL_CODE, _RUNTIME),
    _line(0x80000000, 0xFED00000, MemoryType.MMIO, Attribute.UC),
    _line(0xFF800000, 0x100000000, MemoryType.RUNTIME_SERVICES_CODE, Attribute.UC),
    _line(4 * _GIB, 256 * _GIB, MemoryType.CONVENTIONAL, _CACHED),
    _line(257 * _GIB, 260 * _GIB, MemoryType.CONVENTIONAL, _CACHED),
    _line(0x3FFFFFFFC000000, 0x400000000000000, MemoryType.PORT_SPACE, Attribute.UC),
]
"""Memory at 0-1, 4-256 and 257-260 GiB, as an HP zx1 has it; the other lines are such as its
firmware has, at addresses of our own."""
