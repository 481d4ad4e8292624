"""EFI memory maps: a firmware's, the memory that is taken from it, and those of guests."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any

from pvdrivers._core import ffi, lib
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.errors import check
from pvdrivers.sim.machine import Machine
from pvdrivers.sim.memory_map import MemoryExtent, parse_size

EFI_PAGE_SIZE = 1 << lib.EFI_PAGE_SHIFT
GRANULE = 16 << 20
"""Xen's, in bytes; that of a Linux kernel is this one or 64 MiB."""
FIRMWARE_END = int(lib.PV_IA64_FIRMWARE_END)
MEMMAP_INFO_PFN = int(lib.PV_IA64_MEMMAP_INFO_PFN)
START_INFO_PFN = int(lib.PV_IA64_START_INFO_PFN)
XENSTORE_PFN = int(lib.PV_IA64_XENSTORE_PFN)
CONSOLE_PFN = int(lib.PV_IA64_CONSOLE_PFN)
MAX_DESCRIPTORS = int(lib.PV_EFI_MAX_DESCRIPTORS)
_MAX_EXTENTS = 1024  # of a machine


class MemoryType(IntEnum):
    """What the firmware has in a piece of memory."""

    RESERVED = lib.EFI_RESERVED_TYPE
    LOADER_CODE = lib.EFI_LOADER_CODE
    LOADER_DATA = lib.EFI_LOADER_DATA
    BOOT_SERVICES_CODE = lib.EFI_BOOT_SERVICES_CODE
    BOOT_SERVICES_DATA = lib.EFI_BOOT_SERVICES_DATA
    RUNTIME_SERVICES_CODE = lib.EFI_RUNTIME_SERVICES_CODE
    RUNTIME_SERVICES_DATA = lib.EFI_RUNTIME_SERVICES_DATA
    CONVENTIONAL = lib.EFI_CONVENTIONAL_MEMORY
    UNUSABLE = lib.EFI_UNUSABLE_MEMORY
    ACPI_RECLAIM = lib.EFI_ACPI_RECLAIM_MEMORY
    ACPI_NVS = lib.EFI_ACPI_MEMORY_NVS
    MMIO = lib.EFI_MEMORY_MAPPED_IO
    PORT_SPACE = lib.EFI_MEMORY_MAPPED_IO_PORT_SPACE
    PAL_CODE = lib.EFI_PAL_CODE


class Attribute(IntFlag):
    """What a piece of memory can do."""

    UC = lib.EFI_MEMORY_UC
    WC = lib.EFI_MEMORY_WC
    WT = lib.EFI_MEMORY_WT
    WB = lib.EFI_MEMORY_WB
    UCE = lib.EFI_MEMORY_UCE
    WP = lib.EFI_MEMORY_WP
    RP = lib.EFI_MEMORY_RP
    XP = lib.EFI_MEMORY_XP
    RUNTIME = lib.EFI_MEMORY_RUNTIME


@dataclass(frozen=True, slots=True)
class EfiDescriptor:
    """One line of a map: bytes, multiples of 4 KiB."""

    type: MemoryType
    start: int
    size: int
    attribute: Attribute = Attribute.WB

    @property
    def end(self) -> int:
        return self.start + self.size

    def __str__(self) -> str:
        return f"{self.start:#x}-{self.end:#x} {self.type.name} {self.attribute.name or ''}"


EfiMap = Sequence[EfiDescriptor]


def usable_memory(efi_map: EfiMap, granule: int = GRANULE) -> list[MemoryExtent]:
    """The memory that Xen or Linux takes: what lies in granules that are WB from end to end, in
    pages of 16 KiB. MachineError(EINVAL): the map is not one, or the granule no power of two."""
    extents = ffi.new("struct pv_memory_extent[]", _MAX_EXTENTS)
    lines = _encode(efi_map)
    found = lib.pv_efi_usable_memory(lines, len(efi_map), granule, extents, _MAX_EXTENTS)
    count = check(found, "the memory of an EFI map")
    return [MemoryExtent(extent.start, extent.size) for extent in extents[0:count]]


def dom0_map(efi_map: EfiMap, memory: int | str, end: int = 1 << 63) -> list[EfiDescriptor]:
    """dom0's map on a machine with this one: at most `memory` of its own, below `end`."""
    size = parse_size(memory)
    out = ffi.new("struct efi_memory_desc[]", MAX_DESCRIPTORS)
    lines = _encode(efi_map)
    count = lib.pv_efi_dom0_map(lines, len(efi_map), size, end, out, MAX_DESCRIPTORS)
    return _decode(out[0 : check(count, "dom0's EFI map")])


def domu_map(memory: int | str) -> list[EfiDescriptor]:
    """The map of any other guest with so much memory."""
    out = ffi.new("struct efi_memory_desc[]", MAX_DESCRIPTORS)
    count = lib.pv_efi_domu_map(parse_size(memory), out, MAX_DESCRIPTORS)
    return _decode(out[0 : check(count, "a guest's EFI map")])


def set_efi_map(machine: Machine, efi_map: EfiMap) -> None:
    """Tells a machine without domains what its firmware says.

    Raises UsageError when the map is not one, or does not have all memory of the machine as usable.
    """
    if len(efi_map) > MAX_DESCRIPTORS:
        raise UsageError(f"{len(efi_map)} lines: a machine's EFI map has {MAX_DESCRIPTORS} at most")
    lines = _encode(efi_map)
    if lib.pv_efi_check(lines, len(efi_map)):
        raise UsageError("an EFI map's lines ascend, do not overlap, and have a size")
    result = lib.pv_machine_set_efi_map(machine.cdata, lines, len(efi_map))
    if result == -errno.EINVAL:
        raise UsageError("the machine has memory that is not usable in the EFI map")
    check(result, "setting the EFI map")


def machine_with(efi_map: EfiMap, *, granule: int = GRANULE, **settings: Any) -> Machine:
    """A machine with this firmware's map and the memory that Xen takes of it; `settings` as
    Machine has them."""
    machine = Machine(usable_memory(efi_map, granule), **settings)
    set_efi_map(machine, efi_map)
    return machine


def encode_map(efi_map: EfiMap) -> bytes:
    """The map as xen_ia64_memmap_info and its lines."""
    lines = _encode(efi_map)
    info = ffi.new("struct xen_ia64_memmap_info *")
    info.efi_memmap_size = ffi.sizeof(lines)
    info.efi_memdesc_size = ffi.sizeof("struct efi_memory_desc")
    info.efi_memdesc_version = lib.EFI_MEMORY_DESCRIPTOR_VERSION
    return bytes(ffi.buffer(info)) + bytes(ffi.buffer(lines))


def decode_map(data: bytes) -> list[EfiDescriptor]:
    """The map behind a xen_ia64_memmap_info. Raises UsageError when `data` is none."""
    head, line = ffi.sizeof("struct xen_ia64_memmap_info"), ffi.sizeof("struct efi_memory_desc")
    info = ffi.new("struct xen_ia64_memmap_info *")
    ffi.memmove(info, data[:head].ljust(head, b"\0"), head)
    size, step = int(info.efi_memmap_size), int(info.efi_memdesc_size)
    if step < line or size % step or head + size > len(data):
        raise UsageError(f"{len(data)} bytes that hold no EFI map of {size} bytes")
    lines = ffi.new("struct efi_memory_desc[]", size // step)
    for i in range(size // step):
        ffi.memmove(lines + i, data[head + i * step : head + i * step + line], line)
    if any(md.type >= lib.EFI_MAX_MEMORY_TYPE for md in lines):
        raise UsageError("an EFI map with an unknown type of memory")
    return _decode(lines)


def _encode(efi_map: EfiMap) -> Any:
    lines = ffi.new("struct efi_memory_desc[]", len(efi_map))
    for md, line in zip(lines, efi_map, strict=True):
        if line.start % EFI_PAGE_SIZE or line.size % EFI_PAGE_SIZE:
            raise UsageError(f"{line}: an EFI map has pages of 4 KiB")
        md.type, md.phys_addr, md.attribute = line.type, line.start, line.attribute
        md.num_pages = line.size // EFI_PAGE_SIZE
    return lines


def _decode(lines: Iterable[Any]) -> list[EfiDescriptor]:
    return [
        EfiDescriptor(
            MemoryType(md.type),
            md.phys_addr,
            md.num_pages * EFI_PAGE_SIZE,
            Attribute(md.attribute),
        )
        for md in lines
    ]
