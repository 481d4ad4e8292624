"""Where Xen/ia64 keeps things in its own address space, which is what a dump's reader looks for.

There were two maps: the one until June 2007, which crash and makedumpfile know, and the one that
Xen had from then to its end in 2012 (xen/include/asm-ia64/xensystem.h, Xen's commits 3d6a2e5147,
c7a14c94a1 and 4cbfcf6efe).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim.memory_map import MemoryExtent

PAGE_SHIFT = 14
PAGE_SIZE = 1 << PAGE_SHIFT  # bytes; Xen's, in both maps
PAGE_INFO_SIZE = 48  # bytes of struct page_info
M2P_ENTRY_SIZE = 8
INVALID_M2P_ENTRY = (1 << 64) - 1
TABLES_SIZE = 1 << 56  # of the area that the frame table grows up and the M2P down in
SHARED_INFO_SIZE = 1 << 14  # of the area, on any page size
MAPPED_REGS_SIZE = 1 << 12


@dataclass(frozen=True, slots=True)
class VirtualMap:
    """One layout of region 7. Frame numbers (mfn) count pages of 16 KiB."""

    name: str
    uncached: int
    """Machine memory at this offset, uncached."""
    cached: int
    """The same, cached."""
    kernel: int
    """Xen's image."""
    shared_info: int
    """Where a guest has its shared_info unless it has asked for another address."""
    frame_table: int

    @property
    def start(self) -> int:
        """Nothing of Xen's is below."""
        return min(self.uncached, self.cached)

    @property
    def end(self) -> int:
        """Nothing of Xen's is here or above."""
        return 0xF800_0000_0000_0000

    @property
    def frame_table_end(self) -> int:
        """The M2P ends here."""
        return self.frame_table + TABLES_SIZE

    def identity(self, address: int, *, cached: bool = True) -> int:
        """Where Xen has a machine address."""
        return (self.cached if cached else self.uncached) + address

    def mapped_regs(self, vcpu: int) -> int:
        """The page of privileged registers that is shared with a vcpu of the guest that runs."""
        return self.shared_info + SHARED_INFO_SIZE + vcpu * MAPPED_REGS_SIZE

    def page_info(self, mfn: int) -> int:
        """A frame's struct page_info."""
        return self.frame_table + mfn * PAGE_INFO_SIZE

    def m2p(self, max_page: int) -> int:
        """The M2P of a machine whose highest frame is `max_page` - 1.

        Raises UsageError when the M2P would meet the frame table.
        """
        start = self.frame_table_end - max_page * M2P_ENTRY_SIZE
        if start < self.page_info(max_page):
            raise UsageError(f"{max_page} frames have no room in the {self.name} map")
        return start

    def m2p_entry(self, mfn: int, max_page: int) -> int:
        """A frame's entry in it: the guest frame number, or INVALID_M2P_ENTRY."""
        return self.m2p(max_page) + mfn * M2P_ENTRY_SIZE

    def frame_table_pages(self, memory: Iterable[MemoryExtent]) -> list[range]:
        """The addresses at which the frame table has pages: where the machine has memory, and for
        mfn 0. Ascending, in steps of PAGE_SIZE."""
        return _pages(self.frame_table, PAGE_INFO_SIZE, memory)

    def m2p_pages(self, memory: Iterable[MemoryExtent]) -> list[range]:
        """The same of the M2P."""
        memory = list(memory)
        return _pages(self.m2p(max_page(memory)), M2P_ENTRY_SIZE, memory)


def max_page(memory: Iterable[MemoryExtent]) -> int:
    """The highest frame of 16 KiB, plus one."""
    return max(extent.end for extent in memory) >> PAGE_SHIFT


def _pages(table: int, entry: int, memory: Iterable[MemoryExtent]) -> list[range]:
    found: list[range] = []
    frames = [range(1), *(_frames(extent) for extent in memory)]
    for mfns in sorted(frames, key=lambda mfns: mfns.start):
        start = (table + mfns.start * entry) & -PAGE_SIZE
        stop = -(-(table + mfns.stop * entry) // PAGE_SIZE) * PAGE_SIZE
        if found and start <= found[-1].stop:
            start, stop = found[-1].start, max(found.pop().stop, stop)
        found.append(range(start, stop, PAGE_SIZE))
    return found


def _frames(extent: MemoryExtent) -> range:
    return range(extent.start >> PAGE_SHIFT, extent.end >> PAGE_SHIFT)


BEFORE_JUNE_2007 = VirtualMap(
    name="before June 2007",
    uncached=0xE800_0000_0000_0000,
    cached=0xF000_0000_0000_0000,
    kernel=0xF000_0000_0400_0000,
    shared_info=0xF100_0000_0000_0000,
    frame_table=0xF300_0000_0000_0000,
)
LAST = VirtualMap(
    name="last",
    uncached=0xF200_0000_0000_0000,
    cached=0xF000_0000_0000_0000,
    kernel=0xF400_0000_0400_0000,
    shared_info=0xF500_0000_0000_0000,
    frame_table=0xF600_0000_0000_0000,
)
MAPS = (BEFORE_JUNE_2007, LAST)
