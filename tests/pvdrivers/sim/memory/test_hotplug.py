"""Memory that is added while the machine runs: cells that its map says are absent at first."""

import errno
import struct
from collections.abc import Iterator

import pytest

from pvdrivers.sim import MEMORY_MAPS, Machine, MachineError, MemoryExtent
from pvdrivers.sim.machine import NodeMemory
from tests.pvdrivers.sim.hypercalls.by_number import hypercall

MIB, GIB = 1 << 20, 1 << 30
FRAME = 4096
CELL = MemoryExtent(64 * MIB, 32 * MIB, 1, present=False)
LATE = MemoryExtent(128 * MIB, 2 * MIB, 0, present=False)
PLATFORM_OP, MEM_HOTADD, VERSION = 7, 59, 0x03000001


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine([MemoryExtent(0, 32 * MIB), CELL, LATE]) as made:
        made.create_domain(memory="8M", privileged=True)
        yield made


def test_a_cell_is_a_hole_until_it_is_added(machine: Machine) -> None:
    first, last = CELL.start // FRAME, CELL.end // FRAME - 1
    assert not machine.has_frame(first)
    assert (machine.total_memory, len(machine.nodes)) == (32 * MIB, 1)
    dense = machine.frame_table.dense
    with pytest.raises(MachineError):
        machine.create_domain(memory="32M")
    machine.add_memory(CELL)
    assert machine.has_frame(first)
    assert machine.has_frame(last)
    assert not machine.has_frame(last + 1)
    assert (machine.total_memory, len(machine.nodes)) == (64 * MIB, 2)
    assert machine.nodes[1] == NodeMemory(32 * MIB, 32 * MIB, 32 * MIB, 0)
    assert machine.frame_table.dense > dense
    guest = machine.create_domain(memory="32M")
    assert {guest.gfn_to_mfn(gfn) for gfn in range(guest.info.pages)} == set(range(first, last + 1))
    assert machine.pages.gfn_of(last) == guest.info.pages - 1
    pages = guest.hypervisor.allocate_pages(3)
    pages.view[:] = b"x" * pages.size
    guest.destroy()
    assert machine.nodes[1].free == 32 * MIB


def test_memory_of_a_node_that_is_there(machine: Machine) -> None:
    machine.add_memory(LATE)
    assert [node.total for node in machine.nodes] == [34 * MIB]
    machine.add_memory(CELL)
    assert [node.total for node in machine.nodes] == [34 * MIB, 32 * MIB]


@pytest.mark.parametrize(
    "wrong",
    [
        MemoryExtent(0, 32 * MIB),  # it is there
        MemoryExtent(32 * MIB, 32 * MIB),  # a hole
        MemoryExtent(CELL.start, CELL.size, 0),  # of another node
        MemoryExtent(CELL.start, 16 * MIB, 1),  # a part of it
        MemoryExtent(CELL.start + 2 * MIB, CELL.size - 2 * MIB, 1),
        MemoryExtent(CELL.start, CELL.size + 2 * MIB, 1),
    ],
)
def test_what_is_no_absent_extent_is_refused(machine: Machine, wrong: MemoryExtent) -> None:
    with pytest.raises(MachineError, match=f"adding the memory from {wrong.start:#x}") as refused:
        machine.add_memory(wrong)
    assert refused.value.errno == errno.EINVAL
    assert machine.total_memory == 32 * MIB


def test_it_is_added_once(machine: Machine) -> None:
    machine.add_memory(CELL)
    with pytest.raises(MachineError) as refused:
        machine.add_memory(CELL)
    assert refused.value.errno == errno.EINVAL
    assert machine.total_memory == 64 * MIB


@pytest.mark.parametrize(
    "extents",
    [
        [CELL],  # a machine without memory
        [MemoryExtent(0, MIB), MemoryExtent(3 * MIB, 2 * MIB, present=False)],
        [MemoryExtent(0, MIB), MemoryExtent(2 * MIB, 3 * MIB, present=False)],
        [MemoryExtent(0, MIB), MemoryExtent(4 * GIB - 2 * MIB, 4 * MIB, present=False)],
    ],
)
def test_maps_that_cannot_be(extents: list[MemoryExtent]) -> None:
    with pytest.raises(MachineError) as refused:
        Machine(extents)
    assert refused.value.errno == errno.EINVAL


def test_a_machine_like_primequest_grows() -> None:
    with Machine("primequest-hotplug") as machine:
        assert (machine.total_memory, len(machine.nodes)) == (128 * GIB, 2)
        for extent in MEMORY_MAPS["primequest-hotplug"].extents:
            if not extent.present:
                machine.add_memory(extent)
        assert (machine.total_memory, len(machine.nodes)) == (256 * GIB, 4)
        guest = machine.create_domain(memory="200G")
        step = GIB // FRAME
        mfns = [guest.gfn_to_mfn(gfn) for gfn in range(0, guest.info.pages, step)]
        assert all(machine.has_frame(mfn) and machine.has_frame(mfn + step - 1) for mfn in mfns)
        assert machine.frame_table.resident < 1 << 20


def test_a_board_is_removed_by_offlining_its_pages(machine: Machine) -> None:
    machine.add_memory(LATE)
    for mfn in range(LATE.start // FRAME, LATE.end // FRAME):
        machine.pages.offline(mfn)
    assert machine.nodes[0].offlined == LATE.size
    free = machine.free_memory
    guest = machine.create_domain(memory=free)
    assert max(guest.gfn_to_mfn(gfn) for gfn in range(guest.info.pages)) < 32 * MIB // FRAME


# ---- By hypercall ------------------------------------------------------------


def mem_hotadd(
    machine: Machine, spfn: int, epfn: int, pxm: int, caller: int = 0, version: int = VERSION
) -> int:
    argument = struct.pack("<IIQQII", MEM_HOTADD, version, spfn, epfn, pxm, 0)
    return hypercall(machine, caller, PLATFORM_OP, bytearray(argument.ljust(136, b"\0")))


def test_domain_0_says_that_memory_is_there(machine: Machine) -> None:
    guest = machine.create_domain(memory="1M")
    start, end = CELL.start // FRAME, CELL.end // FRAME
    assert mem_hotadd(machine, start, end, 1, caller=guest.domid) == -errno.EPERM
    assert mem_hotadd(machine, start, end, 1, version=VERSION - 1) == -errno.EACCES
    for wrong in ((end, start, 1), (start, start, 1), (start, end, 0), (start, end - 1, 1)):
        assert mem_hotadd(machine, *wrong) == -errno.EINVAL
    assert mem_hotadd(machine, start, 1 << 60, 1) == -errno.EINVAL
    assert mem_hotadd(machine, start, end, 1) == 0
    assert mem_hotadd(machine, start, end, 1) == -errno.EINVAL
    assert machine.nodes[1].free == CELL.size
