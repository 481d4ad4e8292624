"""Where a machine's memory is: sizes, extents with holes between them, and maps known by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pvdrivers.ring.errors import UsageError

KIB, MIB, GIB, TIB = (1 << shift for shift in (10, 20, 30, 40))
UNITS = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}


@dataclass(frozen=True, slots=True)
class MemoryExtent:
    """Machine memory from `start` on, `size` bytes, of a NUMA node (0 to 255); what no extent
    covers is a hole. One that is not `present` is a hole until `Machine.add_memory`: a multiple of
    2 MiB from such a one on, and not on both sides of 4 GiB."""

    start: int
    size: int
    node: int = 0
    present: bool = True

    @property
    def end(self) -> int:
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """`about`: what has such a map, and how it is known."""

    about: str
    extents: Sequence[MemoryExtent]

    @property
    def present(self) -> list[MemoryExtent]:
        """The extents that are there at first."""
        return [extent for extent in self.extents if extent.present]

    @property
    def size(self) -> int:
        """Of what is there at first."""
        return sum(extent.size for extent in self.present)


def parse_size(size: int | str) -> int:
    """Bytes of a size such as 4096, "64M" or "2T" (powers of 1024)."""
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"(\d+)([KMGT]?)(?:i?B)?", size.strip(), re.IGNORECASE)
    if match is None:
        raise UsageError(f"{size!r} is not a size: write a number and K, M, G or T, such as 64M")
    return int(match[1]) * UNITS[match[2].upper()]


def cells(count: int, memory: int | str, stride: int | str) -> list[MemoryExtent]:
    """`count` cells of `memory` each, one every `stride` bytes of address, as on PRIMEQUEST. Each
    is a node."""
    size, step = parse_size(memory), parse_size(stride)
    return [MemoryExtent(cell * step, size, cell) for cell in range(count)]


# ---- Maps by name ------------------------------------------------------------

ALTIX_NODE_SHIFT = 38
ALTIX_CACHEABLE = 0x30_0000_0000  # of each node: 64 GiB, to the end of what the node has


def _zx1() -> list[MemoryExtent]:
    return [
        MemoryExtent(0, 1 * GIB),
        MemoryExtent(4 * GIB, 252 * GIB),
        MemoryExtent(257 * GIB, 3 * GIB),
    ]


def _altix(nodes: int, memory: int) -> list[MemoryExtent]:
    return [
        MemoryExtent((node << ALTIX_NODE_SHIFT) + ALTIX_CACHEABLE, memory, node)
        for node in range(nodes)
    ]


def _primequest(count: int, memory: int, stride: int) -> list[MemoryExtent]:
    """The first cell leaves 2 to 4 GiB to devices, and goes on behind them."""
    low = 2 * GIB
    return [
        MemoryExtent(0, low),
        MemoryExtent(4 * GIB, memory - low),
        *cells(count, memory, stride)[1:],
    ]


def _half_of(extents: Sequence[MemoryExtent]) -> list[MemoryExtent]:
    """The upper half of the cells is absent."""
    first_absent = (extents[-1].node + 1) // 2
    return [replace(extent, present=extent.node < first_absent) for extent in extents]


_ALTIX = "SGI Altix: a node's number in address bits 49:38, its memory from 0x3000000000 on"
_PRIMEQUEST = "like Fujitsu PRIMEQUEST, of which no map is public: cells with holes between them"

MEMORY_MAPS = {
    "zx1": MemoryMap("HP zx1: 0 to 1, 4 to 256 and 257 to 260 GiB", _zx1()),
    "altix": MemoryMap(f"{_ALTIX}; 8 nodes of 32 GiB", _altix(8, 32 * GIB)),
    "altix-2t": MemoryMap(f"{_ALTIX}; 32 nodes of 64 GiB", _altix(32, 64 * GIB)),
    "primequest": MemoryMap(
        f"{_PRIMEQUEST}; 4 of 64 GiB, one every 256 GiB", _primequest(4, 64 * GIB, 256 * GIB)
    ),
    "primequest-2t": MemoryMap(
        f"{_PRIMEQUEST}; 8 of 256 GiB, one every 512 GiB", _primequest(8, 256 * GIB, 512 * GIB)
    ),
    "primequest-hotplug": MemoryMap(
        f"{_PRIMEQUEST}; 4 of 64 GiB, one every 256 GiB, of which 2 are there at first",
        _half_of(_primequest(4, 64 * GIB, 256 * GIB)),
    ),
    "primequest-64t": MemoryMap(
        f"{_PRIMEQUEST}; 16 of 4 TiB, one every 5 TiB", _primequest(16, 4 * TIB, 5 * TIB)
    ),
}


def memory_extents(memory: int | str | Sequence[MemoryExtent]) -> Sequence[MemoryExtent]:
    """The extents of a size, of a map's name, or themselves. UsageError: a text that is neither."""
    if isinstance(memory, str) and memory in MEMORY_MAPS:
        return MEMORY_MAPS[memory].extents
    if not isinstance(memory, int | str):
        return memory
    try:
        return [MemoryExtent(0, parse_size(memory))]
    except UsageError:
        names = ", ".join(MEMORY_MAPS)
        raise UsageError(
            f"{memory!r} is neither a size, such as 64M, nor a memory map: {names}"
        ) from None
