"""Single pages: who has one and who uses it, and pages that are taken out of use."""

import ctypes
import errno
import struct
from collections.abc import Iterator

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import (
    Domain,
    DomainState,
    Machine,
    MachineError,
    MemoryExtent,
    PageType,
    PageUse,
)
from pvdrivers.sim.pages import Offlined, OfflineStatus
from tests.pvdrivers.sim.hypercalls.by_number import address_of, hypercall

FRAME = 4096
OFFLINED, PENDING = OfflineStatus.OFFLINED, OfflineStatus.OWNED | OfflineStatus.PENDING


@pytest.fixture
def machine() -> Iterator[Machine]:
    """With a hole from 16 to 32 MiB."""
    with Machine([MemoryExtent(0, 16 << 20), MemoryExtent(32 << 20, 16 << 20)]) as made:
        made.create_domain(memory="4M", privileged=True)
        yield made


@pytest.fixture
def guest(machine: Machine) -> Domain:
    return machine.create_domain(memory="4M")


def unused(machine: Machine) -> int:
    """A frame in the middle of free memory."""
    return next(
        mfn for mfn in range(1000, 12288) if machine.has_frame(mfn) and is_free(machine, mfn)
    )


def is_free(machine: Machine, mfn: int) -> bool:
    return machine.pages.info(mfn).use is PageUse.FREE


# ---- What is known of a page -------------------------------------------------


def test_a_domains_page(machine: Machine, guest: Domain) -> None:
    mfn = guest.gfn_to_mfn(100)
    info = machine.pages.info(mfn)
    assert (info.owner, info.gfn, info.allocated, info.count) == (guest.domid, 100, True, 1)
    assert (info.use, info.type, info.xen_heap, info.broken) == (
        PageUse.INUSE,
        PageType.NONE,
        False,
        False,
    )
    assert machine.pages.gfn_of(mfn) == 100


def test_a_writable_map_is_a_type_reference_and_a_readonly_one_is_none(
    machine: Machine, guest: Domain
) -> None:
    dom0 = machine.domain(0).hypervisor
    pages = guest.hypervisor.allocate_pages(2)
    mfns = [
        guest.gfn_to_mfn(lib.pv_domain_page_to_gfn(guest.hypervisor.cdata, pages.address + at))
        for at in (0, FRAME)
    ]
    refs = guest.hypervisor.grant_pages(0, pages)
    writable, readonly = dom0.map_grants(1, refs[:1]), dom0.map_grants(1, refs[1:], readonly=True)
    first, second = (machine.pages.info(mfn) for mfn in mfns)
    assert (first.count, first.type, first.type_count) == (2, PageType.WRITABLE, 1)
    assert (second.count, second.type, second.type_count) == (2, PageType.NONE, 0)
    again = dom0.map_grants(1, refs[:1])
    assert machine.pages.info(mfns[0]).type_count == 2
    for mapped in (writable, readonly, again):
        dom0.unmap_grants(mapped)
    assert [machine.pages.info(mfn).count for mfn in mfns] == [1, 1]
    assert machine.pages.info(mfns[0]).type is PageType.NONE


def test_a_page_of_event_channels_is_written_to(machine: Machine, guest: Domain) -> None:
    info = ffi.new("struct vcpu_register_vcpu_info *", {"mfn": 20, "offset": 64})
    assert lib.pv_vcpu_op_register_vcpu_info(machine.cdata, guest.domid, 0, 0, info) == 0
    page = machine.pages.info(guest.gfn_to_mfn(20))
    assert (page.count, page.type, page.type_count) == (2, PageType.WRITABLE, 1)


def test_a_page_that_was_given_back_but_is_mapped(machine: Machine, guest: Domain) -> None:
    dom0, pages = machine.domain(0).hypervisor, guest.hypervisor.allocate_pages(1)
    gfn = lib.pv_domain_page_to_gfn(guest.hypervisor.cdata, pages.address)
    mfn = guest.gfn_to_mfn(gfn)
    mapped = dom0.map_grants(1, guest.hypervisor.grant_pages(0, pages))
    assert guest.reservation.decrease([gfn]) == 1
    info = machine.pages.info(mfn)
    assert (info.use, info.owner, info.allocated, info.count, info.gfn) == (
        PageUse.INUSE,
        guest.domid,
        False,
        1,
        None,
    )
    dom0.unmap_grants(mapped)
    assert (machine.pages.info(mfn).use, machine.pages.info(mfn).owner) == (PageUse.FREE, None)


def test_pages_that_xen_shares_with_a_domain(machine: Machine, guest: Domain) -> None:
    entries = ffi.new("struct pv_grant_entries *")
    assert lib.pv_gnttab_entries(machine.cdata, guest.domid, entries) == 0
    setup, frames = ffi.new("struct gnttab_setup_table_x86_64 *"), ffi.new("uint64_t[1]")
    setup.dom, setup.nr_frames = lib.DOMID_SELF, 1
    setup.frame_list = address_of(frames)
    assert lib.pv_gnttab_op_setup_table(machine.cdata, guest.domid, setup) == 0
    info = machine.pages.info(frames[0])
    assert (info.xen_heap, info.owner, info.use) == (True, guest.domid, PageUse.INUSE)
    assert (info.type, info.gfn) == (PageType.WRITABLE, None)
    guest.destroy()
    info = machine.pages.info(frames[0])
    assert (info.xen_heap, info.owner, info.use) == (True, None, PageUse.FREE)


def test_nothing_is_in_a_hole(machine: Machine) -> None:
    for mfn in (4096, 8191, 12288 + (1 << 40)):
        with pytest.raises(MachineError) as refused:
            machine.pages.info(mfn)
        assert refused.value.errno == errno.EFAULT
        assert machine.pages.gfn_of(mfn) is None
        for call in (machine.pages.offline, machine.pages.online):
            with pytest.raises(MachineError) as refused:
                call(mfn)
            assert refused.value.errno == errno.EINVAL


def test_asking_of_terabytes_costs_nothing() -> None:
    with Machine("primequest-64t") as machine:
        guest = machine.create_domain(memory="1T")
        before = machine.frame_table.resident
        for gfn in range(0, 1 << 28, 1 << 22):
            assert machine.pages.gfn_of(guest.gfn_to_mfn(gfn + 12345)) == gfn + 12345
        last = (75 + 4 << 40) // FRAME - 1
        assert is_free(machine, last)
        assert machine.frame_table.resident == before
        assert machine.pages.offline(last).status is OFFLINED
        assert machine.frame_table.resident < before + (1 << 20)


# ---- Pages are taken out of use ----------------------------------------------


def test_a_free_page_leaves_the_heap_at_once(machine: Machine) -> None:
    free, mfn = machine.free_memory, unused(machine)
    assert machine.pages.offline(mfn) == Offlined(OFFLINED, None)
    assert machine.pages.offline(mfn) == Offlined(OFFLINED, None)
    assert machine.pages.info(mfn).use is PageUse.OFFLINED
    assert machine.free_memory == free - FRAME
    assert machine.nodes[0].offlined == FRAME
    everything = machine.create_domain(memory=machine.free_memory)
    assert machine.free_memory == 0
    assert mfn not in {everything.gfn_to_mfn(gfn) for gfn in range(everything.info.pages)}
    everything.destroy()
    assert machine.pages.online(mfn)
    assert not machine.pages.online(mfn)
    assert machine.free_memory == free
    machine.create_domain(memory=16 << 20)  # whole blocks again


def test_a_page_in_use_is_offlined_when_it_is_freed(machine: Machine, guest: Domain) -> None:
    mfn, other = guest.gfn_to_mfn(700), guest.gfn_to_mfn(701)
    assert machine.pages.offline(mfn) == Offlined(PENDING, guest.domid)
    assert machine.pages.info(mfn).use is PageUse.OFFLINING
    assert machine.pages.info(other).use is PageUse.INUSE
    assert guest.gfn_to_mfn(700) == mfn
    free = machine.free_memory
    assert guest.reservation.decrease([700, 701]) == 2
    assert machine.pages.info(mfn).use is PageUse.OFFLINED
    assert machine.free_memory == free + FRAME
    assert guest.reservation.populate([700])[0] != mfn


@pytest.mark.parametrize("abi", list(Abi))
def test_a_domains_end_offlines_its_page(machine: Machine, abi: Abi) -> None:
    free = machine.free_memory
    guest = machine.create_domain(memory="4M", abi=abi)
    per_page = guest.info.page_size // FRAME
    mfn = guest.gfn_to_mfn(30)
    for frame in range(mfn, mfn + per_page):
        assert machine.pages.offline(frame) == Offlined(PENDING, guest.domid)
    guest.destroy()
    assert {machine.pages.info(mfn + i).use for i in range(per_page)} == {PageUse.OFFLINED}
    assert machine.free_memory == free - per_page * FRAME


def test_a_page_that_waits_can_come_back(machine: Machine, guest: Domain) -> None:
    free, mfn = machine.free_memory, guest.gfn_to_mfn(3)
    machine.pages.offline(mfn)
    assert machine.pages.online(mfn)
    guest.destroy()
    assert machine.free_memory == free + (4 << 20)
    assert is_free(machine, mfn)


def test_a_page_that_waits_goes_to_another_domain(machine: Machine, guest: Domain) -> None:
    """What is to be done with a page is not forgotten when its owner changes."""
    other = machine.create_domain(memory="4M")
    mfn = guest.gfn_to_mfn(40)
    machine.pages.offline(mfn)
    assert other.reservation.decrease([50]) == 1
    entries = ffi.new("struct pv_grant_entries *")
    assert lib.pv_gnttab_entries(machine.cdata, other.domid, entries) == 0
    lib.pv_grant_publish_transfer(entries, 9, guest.domid, 50)
    transfer = ffi.new("struct gnttab_transfer_x86_64[1]")
    transfer[0].mfn, transfer[0].domid, transfer[0].ref = 40, other.domid, 9
    assert lib.pv_gnttab_op_transfer(machine.cdata, guest.domid, transfer, 1) == 0
    assert transfer[0].status == 0
    assert other.gfn_to_mfn(50) == mfn
    info = machine.pages.info(mfn)
    assert (info.use, info.owner, info.gfn) == (PageUse.OFFLINING, other.domid, 50)
    other.destroy()
    assert machine.pages.info(mfn).use is PageUse.OFFLINED


def test_a_broken_page_never_comes_back(machine: Machine, guest: Domain) -> None:
    mfn = unused(machine)
    assert machine.pages.offline(mfn, broken=True).status == OFFLINED | OfflineStatus.BROKEN
    with pytest.raises(MachineError) as refused:
        machine.pages.online(mfn)
    assert refused.value.errno == errno.EINVAL
    used = guest.gfn_to_mfn(5)
    assert machine.pages.offline(used, broken=True) == Offlined(
        PENDING | OfflineStatus.BROKEN, guest.domid
    )
    assert machine.pages.info(used).broken
    assert guest.info.state is DomainState.RUNNING
    assert machine.pages.offline(used).status is OfflineStatus.AGAIN
    assert guest.info.state is DomainState.CRASHED
    guest.destroy()
    assert machine.pages.info(used).use is PageUse.OFFLINED
    assert machine.pages.info(used).broken


# ---- By hypercall ------------------------------------------------------------

SYSCTL, DOMCTL, VERSION = 35, 36, 0x15
PAGE_OFFLINE_OP, GETPAGEFRAMEINFO3 = 14, 61
OFFLINE, ONLINE, QUERY = 1, 2, 3


def toolstack(machine: Machine, caller: int, op: int, argument: bytes) -> int:
    return hypercall(machine, caller, op, bytearray(argument.ljust(144, b"\0")))


def page_offline_op(
    machine: Machine, cmd: int, start: int, end: int, caller: int = 0
) -> tuple[int, list[int]]:
    status = (ctypes.c_uint32 * max(end - start + 1, 1))()
    argument = struct.pack(
        "<IIIIIxxxxQ", PAGE_OFFLINE_OP, VERSION, cmd, start, end, ctypes.addressof(status)
    )
    return toolstack(machine, caller, SYSCTL, argument), list(status)


def test_a_range_of_pages(machine: Machine, guest: Domain) -> None:
    owned, free = guest.gfn_to_mfn(9), unused(machine)
    assert page_offline_op(machine, OFFLINE, free, free + 1) == (0, [2, 2])
    assert page_offline_op(machine, OFFLINE, owned, owned) == (0, [guest.domid << 16 | 1 << 12 | 4])
    assert page_offline_op(machine, QUERY, free, free + 2) == (0, [2, 2, 0])
    assert page_offline_op(machine, QUERY, owned, owned) == (0, [8])
    assert page_offline_op(machine, ONLINE, free, free + 2) == (0, [2, 2, 0])
    assert page_offline_op(machine, QUERY, free, free) == (0, [0])


def test_a_range_that_reaches_into_a_hole(machine: Machine) -> None:
    result, status = page_offline_op(machine, QUERY, 4094, 4098)
    assert result == -errno.EINVAL
    assert status == [0, 0, 1, 1, 1]  # from the hole on, PG_OFFLINE_INVALID


def test_ranges_that_are_refused(machine: Machine, guest: Domain) -> None:
    assert page_offline_op(machine, 4, 0, 0)[0] == -errno.EINVAL
    assert page_offline_op(machine, OFFLINE, 5, 4)[0] == -errno.EINVAL
    assert page_offline_op(machine, OFFLINE, 0, 0, caller=guest.domid)[0] == -errno.EPERM
    argument = struct.pack("<IIIIIxxxxQ", PAGE_OFFLINE_OP, VERSION, QUERY, 0, 1 << 31, 8)
    assert toolstack(machine, 0, SYSCTL, argument) == -errno.ENOMEM
    argument = struct.pack("<IIIIIxxxxQ", PAGE_OFFLINE_OP, VERSION, QUERY, 0, 0, 8)
    assert toolstack(machine, 0, SYSCTL, argument) == -errno.EFAULT


def test_a_page_of_xens(machine: Machine) -> None:
    """The shared pages lie behind memory; Xen says that they are DOMID_XEN's."""
    first = (48 << 20) // FRAME
    assert machine.has_frame(first)
    result, status = page_offline_op(machine, OFFLINE, first, first)
    assert (result, status) == (-errno.EPERM, [0x7FF2 << 16 | 1 << 8 | 8])
    assert page_offline_op(machine, QUERY, first, first)[0] == -errno.EINVAL


def test_what_a_domains_frames_are(machine: Machine, guest: Domain) -> None:
    machine.pages.offline(guest.gfn_to_mfn(8), broken=True)
    guest.reservation.decrease([9])
    gfns = (ctypes.c_uint64 * 4)(7, 8, 9, 1 << 40)

    def ask(count: int) -> int:
        argument = struct.pack(
            "<IIHxxxxxxQQ", GETPAGEFRAMEINFO3, VERSION, guest.domid, count, ctypes.addressof(gfns)
        )
        return toolstack(machine, 0, DOMCTL, argument)

    assert ask(4) == 0
    assert [word >> 28 for word in gfns] == [0, 0xD, 0xF, 0xF]
    assert ask(1025) == -errno.E2BIG
