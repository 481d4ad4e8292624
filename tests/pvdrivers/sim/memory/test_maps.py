"""Maps by name: where their memory is, and what such a machine costs."""

from itertools import pairwise

import pytest

from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import MEMORY_MAPS, Machine, MachineError, MemoryExtent
from pvdrivers.sim.machine import FrameTable

GIB, TIB = 1 << 30, 1 << 40
FRAME = 4096


def test_the_published_maps_are_as_published() -> None:
    zx1 = [(e.start, e.end) for e in MEMORY_MAPS["zx1"].extents]
    assert zx1 == [(0, GIB), (4 * GIB, 256 * GIB), (257 * GIB, 260 * GIB)]
    for name in ("altix", "altix-2t"):
        for extent in MEMORY_MAPS[name].extents:
            assert extent.start >> 38 == extent.node  # address bits 49:38
            assert extent.start & (1 << 38) - 1 == 0x30_0000_0000
            assert (extent.end - 1) >> 38 == extent.node


def test_the_large_maps_have_their_names_size() -> None:
    sizes = {name: memory.size for name, memory in MEMORY_MAPS.items()}
    assert sizes["altix-2t"] == sizes["primequest-2t"] == 2 * TIB
    assert sizes["primequest-64t"] == 64 * TIB


@pytest.mark.parametrize("name", MEMORY_MAPS)
def test_a_named_map_is_a_machines(name: str) -> None:
    extents = MEMORY_MAPS[name].extents
    assert all(a.end <= b.start for a, b in pairwise(extents))
    with Machine(name) as machine:
        assert machine.free_memory == machine.total_memory == MEMORY_MAPS[name].size
        for extent in extents:
            assert machine.has_frame(extent.start // FRAME) is extent.present
            assert machine.has_frame(extent.end // FRAME - 1) is extent.present
        for before, after in pairwise(extents):
            if before.end < after.start:
                assert not machine.has_frame(before.end // FRAME)
                assert not machine.has_frame(after.start // FRAME - 1)
        there = MEMORY_MAPS[name].present
        assert len(machine.nodes) == there[-1].node + 1
        for node, memory in enumerate(machine.nodes):
            own = [extent for extent in there if extent.node == node]
            low = sum(max(min(e.end, 4 * GIB) - e.start, 0) for e in own)
            assert memory.total == memory.free == sum(extent.size for extent in own)
            assert memory.free_below_4g == low


def frame_table(name: str, guest: str | None = None) -> FrameTable:
    with Machine(name) as machine:
        if guest:
            machine.create_domain(memory=guest)
        return machine.frame_table


def test_the_frame_table_is_where_memory_exists_and_is_used() -> None:
    small, large = frame_table("primequest"), frame_table("primequest-64t")
    assert large.existing == 256 * small.existing
    assert large.dense > large.existing
    assert large.resident < 1 << 20 < small.existing
    assert frame_table("primequest-64t", "4M").resident < 1 << 20
    # A tebibyte in superpages of 1 GiB: a page of the table each.
    assert frame_table("primequest-64t", "1T").resident < 8 << 20 < (1 << 28) * 16


def test_a_text_that_is_no_memory_is_refused_with_the_names() -> None:
    with pytest.raises(UsageError, match=r"'zx2' is neither a size.*64M.*zx1, altix"):
        Machine("zx2")


@pytest.mark.parametrize("node", [256, 1 << 20])
def test_a_node_beyond_the_last_is_refused(node: int) -> None:
    with pytest.raises(MachineError):
        Machine([MemoryExtent(0, 1 << 20, node)])


def test_a_guest_of_a_tebibyte_lies_where_memory_is() -> None:
    with Machine("primequest-2t") as machine:
        guest = machine.create_domain(memory="1T")
        assert guest.info.pages == TIB // FRAME
        assert machine.free_memory == TIB
        step = GIB // FRAME
        mfns = [guest.gfn_to_mfn(gfn) for gfn in range(0, guest.info.pages, step)]
        for first in mfns:
            assert all(machine.has_frame(first + frame) for frame in range(0, step, 511))
        assert len(set(mfns)) == len(mfns)
        # One cell after the other, but what is below 4 GiB.
        assert [node.free // GIB for node in machine.nodes] == [2, 0, 0, 0, 254, 256, 256, 256]
        pages = guest.hypervisor.allocate_pages(4)
        pages.view[:] = bytes([7]) * pages.size
        guest.destroy()
        assert machine.free_memory == 2 * TIB
        assert machine.resident_memory < 64 << 20


def test_memory_below_4g_is_kept_for_who_needs_it() -> None:
    with Machine("primequest") as machine:
        machine.create_domain(memory="32G")
        assert machine.nodes[0].free_below_4g == 2 * GIB


def test_the_node_with_the_most_free_memory_has_a_new_domains_pages() -> None:
    with Machine("altix") as machine:
        for _ in range(8):
            machine.create_domain(memory="8G")
        assert [node.free for node in machine.nodes] == [24 * GIB] * 8
