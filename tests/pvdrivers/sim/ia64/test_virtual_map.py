"""Xen/ia64's two virtual maps: what they say of each other, and of machines with holes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import MemoryExtent
from pvdrivers.sim.ia64.virtual_map import (
    BEFORE_JUNE_2007,
    INVALID_M2P_ENTRY,
    LAST,
    M2P_ENTRY_SIZE,
    MAPS,
    PAGE_INFO_SIZE,
    PAGE_SHIFT,
    PAGE_SIZE,
    VirtualMap,
    max_page,
)

GIB = 1 << 30
TIB = 1 << 40
ZX1 = [MemoryExtent(0, GIB), MemoryExtent(4 * GIB, 252 * GIB), MemoryExtent(257 * GIB, 3 * GIB)]
both_maps = pytest.mark.parametrize("layout", MAPS, ids=lambda layout: layout.name)


def bytes_of(pages: list[range]) -> int:
    return sum(part.stop - part.start for part in pages)


def test_shared_info_and_frame_table_are_where_each_maps_readers_look() -> None:
    """crash and makedumpfile have 0xf1 and 0xf3, Xen's last headers 0xf5 and 0xf6."""
    assert [layout.shared_info >> 56 for layout in MAPS] == [0xF1, 0xF5]
    assert [layout.frame_table >> 56 for layout in MAPS] == [0xF3, 0xF6]
    assert BEFORE_JUNE_2007.uncached >> 56 == 0xE8
    assert LAST.identity(0x1000, cached=False) == LAST.identity(0x1000) | 1 << 57


@both_maps
def test_xen_lies_where_bits_60_and_59_differ_or_in_the_uncached_area_before(
    layout: VirtualMap,
) -> None:
    for address in (layout.cached, layout.kernel, layout.shared_info, layout.frame_table):
        assert (address >> 60 ^ address >> 59) & 1
        assert layout.start <= address < layout.end


@both_maps
def test_privileged_registers_follow_shared_info(layout: VirtualMap) -> None:
    assert layout.mapped_regs(0) == layout.shared_info + 16384
    assert layout.mapped_regs(3) - layout.mapped_regs(2) == 4096


@both_maps
def test_the_m2p_ends_with_the_frame_tables_area(layout: VirtualMap) -> None:
    pages = max_page(ZX1)
    assert pages == 260 * GIB >> PAGE_SHIFT
    assert layout.m2p_entry(pages - 1, pages) + M2P_ENTRY_SIZE == layout.frame_table_end
    assert INVALID_M2P_ENTRY >> 63 == 1


def test_two_dense_terabytes_take_the_published_sizes() -> None:
    memory = [MemoryExtent(0, 2 * TIB)]
    assert max_page(memory) == 1 << 27
    assert bytes_of(LAST.frame_table_pages(memory)) == 6 * GIB
    assert bytes_of(LAST.m2p_pages(memory)) == GIB


def test_the_architectures_highest_address_has_room_and_no_more_than_the_area_has() -> None:
    assert LAST.m2p((1 << 50) >> PAGE_SHIFT) > LAST.page_info((1 << 50) >> PAGE_SHIFT)
    with pytest.raises(UsageError, match="no room in the last map"):
        LAST.m2p((1 << 56) // (PAGE_INFO_SIZE + M2P_ENTRY_SIZE) + 1)


def after_each_other(gaps_and_sizes: list[tuple[int, int]]) -> list[MemoryExtent]:
    memory, end = [], 0
    for gap, size in gaps_and_sizes:
        memory.append(MemoryExtent((end + gap) << PAGE_SHIFT, size << PAGE_SHIFT))
        end += gap + size
    return memory


EXTENTS = st.lists(
    st.tuples(st.integers(0, 1 << 22), st.integers(1, 1 << 14)), min_size=1, max_size=8
).map(after_each_other)


@both_maps
@given(memory=EXTENTS, data=st.data())
def test_tables_have_pages_for_memory_and_none_for_holes(
    layout: VirtualMap, memory: list[MemoryExtent], data: st.DataObject
) -> None:
    frames = max_page(memory)
    mfn = data.draw(st.integers(0, frames - 1))
    in_memory = {
        mfn
        for extent in memory
        for mfn in (extent.start >> PAGE_SHIFT, (extent.start + extent.size - 1) >> PAGE_SHIFT)
    } | {0}
    for entry, size, pages in (
        (layout.page_info, PAGE_INFO_SIZE, layout.frame_table_pages(memory)),
        (lambda mfn: layout.m2p_entry(mfn, frames), M2P_ENTRY_SIZE, layout.m2p_pages(memory)),
    ):
        for known in in_memory:
            assert covers(pages, entry(known), size)
        if covers(pages, entry(mfn), size):
            assert near_memory(memory, mfn, PAGE_SIZE // size + 1)
        assert all(a.stop < b.start for a, b in itertools.pairwise(pages))


def covers(pages: list[range], address: int, size: int) -> bool:
    return any(part.start <= address and address + size <= part.stop for part in pages)


def near_memory(memory: list[MemoryExtent], mfn: int, distance: int) -> bool:
    """Whether a frame no further away shares a page of a table with memory, or with mfn 0."""
    return mfn <= distance or any(
        (extent.start >> PAGE_SHIFT) - distance
        <= mfn
        <= (extent.start + extent.size >> PAGE_SHIFT) + distance
        for extent in memory
    )
