"""The hypercalls of ia64 guests on their physmap, and the buffers that they pass."""

import errno
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvdrivers._core import ffi, lib
from pvdrivers.ring import Abi
from pvdrivers.sim import Domain, Machine, MachineError
from pvdrivers.sim.ia64.efi import MEMMAP_INFO_PFN, domu_map, machine_with
from pvdrivers.sim.ia64.firmware_maps import HP_ZX1
from pvdrivers.sim.ia64.hypercalls import (
    NO_PAGE,
    Dom0vp,
    GuestBuffer,
    dom0vp_op,
    get_memmap,
    machine_memory_map,
)
from tests.pvdrivers.sim.error_of import error_of

PAGE = 16384
BEYOND = 0x100000  # a guest frame that no guest here has memory at
SHARED_INFO = int(lib.PV_IA64_SHARED_INFO_GFN)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with machine_with(HP_ZX1) as machine:
        yield machine


@pytest.fixture
def dom0(machine: Machine) -> Domain:
    return machine.create_domain(abi=Abi.IA64, memory="32M", privileged=True)


@pytest.fixture
def guest(dom0: Domain) -> Domain:
    return dom0.machine.create_domain(abi=Abi.IA64, memory="8M")


def write(domain: Domain, gfn: int, data: bytes) -> None:
    pages = domain.hypervisor.map_foreign(domain.domid, [gfn])
    pages.view[: len(data)] = data
    domain.hypervisor.unmap_foreign(domain.domid, pages)


def read(domain: Domain, gfn: int, size: int = PAGE) -> bytes:
    pages = domain.hypervisor.map_foreign(domain.domid, [gfn], True)
    data = bytes(pages.view[:size])
    domain.hypervisor.unmap_foreign(domain.domid, pages)
    return data


# ---- The table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 4, 8, 10, 15, 1 << 32, (1 << 64) - 1])
def test_what_is_not_there_says_so(dom0: Domain, number: int) -> None:
    values = ffi.new("uint64_t[4]")
    result = lib.pv_ia64_dom0vp_op(dom0.machine.cdata, dom0.domid, number, values)
    assert result == -errno.ENOSYS


@pytest.mark.parametrize(
    "op", [Dom0vp.IOREMAP, Dom0vp.ADD_PHYSMAP, Dom0vp.ADD_PHYSMAP_WITH_GMFN, Dom0vp.ADD_IO_SPACE]
)
def test_a_guest_may_not(guest: Domain, op: Dom0vp) -> None:
    assert error_of(dom0vp_op, guest, op, BEYOND, 0, 0, 0) == errno.EPERM


def test_an_x86_domain_has_no_such_hypercall(dom0: Domain) -> None:
    x86 = dom0.machine.create_domain(memory="4M", privileged=True)
    assert error_of(dom0vp_op, x86, Dom0vp.PHYSTOMACH, 0) == errno.ENOSYS


# ---- Translation ---------------------------------------------------------------------------------


def test_pages_translate_there_and_back(dom0: Domain, guest: Domain) -> None:
    for gfn in (0, 17, 511):
        mfn = dom0vp_op(guest, Dom0vp.PHYSTOMACH, gfn)
        assert mfn == guest.gfn_to_mfn(gfn) >> 2
        assert dom0vp_op(dom0, Dom0vp.MACHTOPHYS, mfn) == gfn
    xens = dom0vp_op(guest, Dom0vp.PHYSTOMACH, SHARED_INFO)
    assert xens == guest.gfn_to_mfn(SHARED_INFO) >> 2
    assert dom0vp_op(guest, Dom0vp.MACHTOPHYS, xens) == NO_PAGE


@pytest.mark.parametrize("page", [512, BEYOND, (1 << 64) - 1], ids=hex)
def test_no_page_is_no_page(guest: Domain, page: int) -> None:
    assert dom0vp_op(guest, Dom0vp.PHYSTOMACH, page) == NO_PAGE


@pytest.mark.parametrize("page", [0xA0000 >> 14, 2 << 30 >> 14, (1 << 64) - 1], ids=hex)
def test_holes_and_foreign_sizes_are_nobodys_pages(dom0: Domain, page: int) -> None:
    assert dom0vp_op(dom0, Dom0vp.MACHTOPHYS, page) == NO_PAGE
    x86 = dom0.machine.create_domain(memory="4M")
    assert dom0vp_op(dom0, Dom0vp.MACHTOPHYS, x86.gfn_to_mfn(500) >> 2) == NO_PAGE


# ---- I/O space -----------------------------------------------------------------------------------


def test_io_space_is_at_its_own_address_and_no_memory(dom0: Domain) -> None:
    address = 0x90000123
    assert dom0vp_op(dom0, Dom0vp.IOREMAP, address, 3 * PAGE) == address
    for page in range(address >> 14, (address + 3 * PAGE >> 14) + 1):
        assert dom0vp_op(dom0, Dom0vp.PHYSTOMACH, page) == page
        with pytest.raises(MachineError):
            dom0.gfn_to_mfn(page)
    assert dom0vp_op(dom0, Dom0vp.IOREMAP, address, 0) == address, "again, and Linux' size 0"
    dom0vp_op(dom0, Dom0vp.ZAP_PHYSMAP, (address >> 14) + 1)
    pages = [dom0vp_op(dom0, Dom0vp.PHYSTOMACH, (address >> 14) + n) for n in range(3)]
    assert pages == [address >> 14, NO_PAGE, (address >> 14) + 2]


@pytest.mark.parametrize(
    ("address", "size"),
    [(5 << 30, PAGE), (0x3F600000, PAGE), (0x80000000 - PAGE, 1 << 40), ((1 << 64) - 1, 2)],
    ids=["memory", "runtime data", "into memory", "wraps"],
)
def test_what_is_not_io_is_not_remapped(dom0: Domain, address: int, size: int) -> None:
    assert error_of(dom0vp_op, dom0, Dom0vp.IOREMAP, address, size) == errno.EINVAL


def test_io_spaces_come_in_order(dom0: Domain) -> None:
    assert dom0vp_op(dom0, Dom0vp.ADD_IO_SPACE, 0, 0, 0) == 0, "the legacy one"
    assert error_of(dom0vp_op, dom0, Dom0vp.ADD_IO_SPACE, 1 << 40, 1, 2) == errno.EINVAL
    for number in range(1, 16):
        assert dom0vp_op(dom0, Dom0vp.ADD_IO_SPACE, number << 40, 1, number) == 0
    assert error_of(dom0vp_op, dom0, Dom0vp.ADD_IO_SPACE, 1 << 45, 1, 16) == errno.EINVAL


# ---- Pages of others -----------------------------------------------------------------------------


def test_a_foreign_page_is_the_owners(dom0: Domain, guest: Domain) -> None:
    write(guest, 20, b"from the guest")
    dom0vp_op(dom0, Dom0vp.ADD_PHYSMAP_WITH_GMFN, BEYOND, 20, 0, guest.domid)
    mfn = dom0vp_op(guest, Dom0vp.PHYSTOMACH, 21)
    dom0vp_op(dom0, Dom0vp.ADD_PHYSMAP, BEYOND + 1, mfn, 0, guest.domid)
    assert read(dom0, BEYOND, 14) == b"from the guest"
    write(dom0, BEYOND + 1, b"from dom0")
    assert read(guest, 21, 9) == b"from dom0"
    dom0vp_op(dom0, Dom0vp.ZAP_PHYSMAP, BEYOND)
    assert dom0vp_op(dom0, Dom0vp.PHYSTOMACH, BEYOND) == NO_PAGE
    assert read(guest, 20, 14) == b"from the guest", "the owner keeps it"


def test_a_read_only_page_cannot_be_written(dom0: Domain, guest: Domain) -> None:
    dom0vp_op(dom0, Dom0vp.ADD_PHYSMAP_WITH_GMFN, BEYOND, 20, 1, guest.domid)
    assert read(dom0, BEYOND, 4) == bytes(4)
    with pytest.raises(OSError, match="14"):
        write(dom0, BEYOND, b"no")


def test_a_page_that_the_owner_gives_up_is_gone(dom0: Domain, guest: Domain) -> None:
    for n in range(2):
        dom0vp_op(dom0, Dom0vp.ADD_PHYSMAP_WITH_GMFN, BEYOND + n, 20 + n, 0, guest.domid)
    dom0vp_op(guest, Dom0vp.ZAP_PHYSMAP, 20)
    assert dom0vp_op(dom0, Dom0vp.PHYSTOMACH, BEYOND) == NO_PAGE
    guest.destroy()
    dom0.machine.create_domain(domid=guest.domid, abi=Abi.IA64, memory="8M")
    assert dom0vp_op(dom0, Dom0vp.PHYSTOMACH, BEYOND + 1) == NO_PAGE


def test_pages_that_may_not_be_added(dom0: Domain, guest: Domain) -> None:
    add = Dom0vp.ADD_PHYSMAP_WITH_GMFN
    for args in (
        (20, 20, 0, guest.domid),  # where dom0 has memory
        (SHARED_INFO, 20, 0, guest.domid),  # where it has Xen's pages
        (1 << 40, 20, 0, guest.domid),  # beyond all addresses
        (BEYOND, 5000, 0, guest.domid),  # no page of the owner's
        (BEYOND, SHARED_INFO, 0, guest.domid),
        (BEYOND, 20, 2, guest.domid),  # ASSIGN_nocache is Xen's own
        (BEYOND, 20, 8, guest.domid),
        (BEYOND, 20, 0, dom0.domid),  # its own
    ):
        assert error_of(dom0vp_op, dom0, add, *args) == errno.EINVAL, args
    assert error_of(dom0vp_op, dom0, add, BEYOND, 20, 0, 99) == errno.ESRCH
    not_the_guests = dom0vp_op(dom0, Dom0vp.PHYSTOMACH, 20)
    for mfn in (not_the_guests, 0xA0000 >> 14, (1 << 64) - 1):
        call = (Dom0vp.ADD_PHYSMAP, BEYOND, mfn, 0, guest.domid)
        assert error_of(dom0vp_op, dom0, *call) == errno.EINVAL


def test_zapped_memory_is_the_machines_again(guest: Domain) -> None:
    free, pages = guest.machine.free_memory, guest.info.pages
    dom0vp_op(guest, Dom0vp.ZAP_PHYSMAP, 100)
    dom0vp_op(guest, Dom0vp.ZAP_PHYSMAP, 100)
    assert guest.machine.free_memory == free + PAGE
    assert guest.info.pages == pages - 1
    assert error_of(dom0vp_op, guest, Dom0vp.ZAP_PHYSMAP, 101, 1) == errno.ENOSYS


def test_a_page_that_a_peer_maps_is_not_zapped(dom0: Domain, guest: Domain) -> None:
    page = guest.hypervisor.allocate_pages(1)
    gref = guest.hypervisor.grant_access(dom0.domid, page.address)
    mapped = dom0.hypervisor.map_grants(guest.domid, [gref])
    gfn = lib.pv_domain_page_to_gfn(guest.hypervisor.cdata, page.address)
    assert error_of(dom0vp_op, guest, Dom0vp.ZAP_PHYSMAP, gfn) == errno.EBUSY
    dom0.hypervisor.unmap_grants(mapped)


# ---- Maps and buffers ----------------------------------------------------------------------------


def test_dom0_gets_the_firmwares_map_as_it_is(dom0: Domain) -> None:
    assert machine_memory_map(dom0) == HP_ZX1
    size = 24 + 40 * len(HP_ZX1)
    assert machine_memory_map(dom0, size) == HP_ZX1
    assert error_of(machine_memory_map, dom0, size - 1) == errno.EINVAL


def test_others_do_not(guest: Domain) -> None:
    assert error_of(machine_memory_map, guest) == errno.EINVAL
    with Machine("64M") as machine:
        dom0 = machine.create_domain(abi=Abi.IA64, memory="8M", privileged=True)
        assert error_of(machine_memory_map, dom0) == errno.ENOSYS


def test_a_domains_map_is_copied(dom0: Domain, guest: Domain) -> None:
    assert get_memmap(dom0, guest.domid) == domu_map("8M")
    assert get_memmap(guest, lib.DOMID_SELF) == domu_map("8M")
    assert error_of(get_memmap, guest, dom0.domid) == errno.EPERM
    assert error_of(get_memmap, dom0, 77) == errno.ESRCH


@pytest.mark.parametrize("size", [PAGE - 23, 1 << 63], ids=["too long", "huge"])
def test_a_map_that_lies_about_its_size_is_not_copied(
    dom0: Domain, guest: Domain, size: int
) -> None:
    write(guest, MEMMAP_INFO_PFN, size.to_bytes(8, "little"))
    assert error_of(get_memmap, dom0, guest.domid) == errno.EFAULT


def test_a_buffer_may_be_in_pieces_anywhere(dom0: Domain, guest: Domain) -> None:
    buffer = GuestBuffer(dom0, 3 * PAGE)
    one, _, three = buffer.addresses
    pieces = [three + PAGE - 10, (1 << 64) - 1, one + 100]
    dom0vp_op(dom0, Dom0vp.GET_MEMMAP, guest.domid, buffer.descriptor(pieces))
    copied = bytes(buffer.view[3 * PAGE - 10 :]) + bytes(buffer.view[100 : 100 + 300])
    assert copied == read(guest, MEMMAP_INFO_PFN, 310)


@pytest.mark.parametrize("spoil", ["magic", "unaligned", "crosses", "too many", "short", "hole"])
def test_a_bad_descriptor_is_refused(dom0: Domain, guest: Domain, spoil: str) -> None:
    buffer = GuestBuffer(dom0, PAGE)
    handle = buffer.descriptor([BEYOND * PAGE] if spoil == "hole" else None)
    if spoil == "short":
        handle = buffer.descriptor([buffer.addresses[0] + PAGE - 8])
    at = handle // PAGE
    if spoil == "magic":
        write(dom0, at, b"XCOM")
    if spoil == "too many":
        write(dom0, at, bytes(read(dom0, at, 4)) + b"\xff" * 4)
    handle += {"unaligned": 4, "crosses": PAGE - 4}.get(spoil, 0)
    wrong = errno.EFAULT if spoil in ("short", "hole") else errno.EINVAL
    assert error_of(dom0vp_op, dom0, Dom0vp.GET_MEMMAP, guest.domid, handle) == wrong
    assert bytes(buffer.view[: PAGE - 8]) == bytes(PAGE - 8)


@pytest.mark.parametrize("gfn", [SHARED_INFO, BEYOND, 1 << 44], ids=hex)
def test_a_buffer_is_memory_of_the_callers_own(dom0: Domain, guest: Domain, gfn: int) -> None:
    dom0vp_op(dom0, Dom0vp.ADD_PHYSMAP_WITH_GMFN, BEYOND, 20, 0, guest.domid)
    handle = int(lib.XENCOMM_INLINE_FLAG) | gfn * PAGE
    assert error_of(dom0vp_op, dom0, Dom0vp.GET_MEMMAP, guest.domid, handle) == errno.EFAULT


NUMBERS = st.one_of(
    st.integers(0, 40),
    st.sampled_from([BEYOND, SHARED_INFO, 1 << 40, 511, 512, (1 << 64) - 1]),
    st.integers(0, (1 << 64) - 1),
)


@settings(deadline=None)
@given(calls=st.lists(st.tuples(st.integers(0, 15), *[NUMBERS] * 4), max_size=30))
def test_no_arguments_do_more_than_they_may(calls: list[tuple[int, int, int, int, int]]) -> None:
    """Each call answers, no frame in a hole is ever somebody's, and all memory comes back."""
    with machine_with(HP_ZX1) as machine:
        free = machine.free_memory
        dom0 = machine.create_domain(abi=Abi.IA64, memory="8M", privileged=True)
        guest = machine.create_domain(abi=Abi.IA64, memory="8M")
        for number, *args in calls:
            for domain in (dom0, guest):
                values = ffi.new("uint64_t[4]", args)
                lib.pv_ia64_dom0vp_op(machine.cdata, domain.domid, number, values)
        for domain in (dom0, guest):
            for gfn in (*range(520), BEYOND, SHARED_INFO):
                try:
                    assert machine.has_frame(domain.gfn_to_mfn(gfn))
                except MachineError:
                    continue
        guest.destroy()
        dom0.destroy()
        assert machine.free_memory == free
