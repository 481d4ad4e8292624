"""The P2M table that a domain sees: what it says is what the hypercalls say, whatever happens."""

import errno
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pvdrivers._core import lib
from pvdrivers.ring import Abi
from pvdrivers.sim import Domain, Machine
from pvdrivers.sim.ia64.efi import Attribute, EfiDescriptor, MemoryType, domu_map, machine_with
from pvdrivers.sim.ia64.firmware_maps import HP_ZX1
from pvdrivers.sim.ia64.hypercalls import (
    ENTRIES_PER_PAGE,
    NO_PAGE,
    Dom0vp,
    GuestBuffer,
    Pte,
    decode_pte,
    dom0vp_op,
    expose_foreign_p2m,
    expose_p2m,
    unexpose_foreign_p2m,
)
from tests.pvdrivers.sim.error_of import error_of

PAGE = 16384
PLACE = 0x200000  # beyond any guest's memory here
MIB_32 = ENTRIES_PER_PAGE * PAGE  # what one page of entries tells of
OWN = Pte.PRESENT | Pte.ACCESSED | Pte.DIRTY | Pte.PRIVILEGE_1 | Pte.RWX | Pte.EXCEPTION_DEFERRAL


@pytest.fixture
def machine() -> Iterator[Machine]:
    with machine_with(HP_ZX1) as machine:
        yield machine


@pytest.fixture
def dom0(machine: Machine) -> Domain:
    return machine.create_domain(abi=Abi.IA64, memory="32M", privileged=True)


@pytest.fixture
def guest(dom0: Domain) -> Domain:
    return dom0.machine.create_domain(abi=Abi.IA64, memory="40M")


def refused(number: int, domain: Domain, op: Dom0vp, *args: int) -> bool:
    return error_of(dom0vp_op, domain, op, *args) == number


def entries(viewer: Domain, place: int, pages: int = 1) -> list[int]:
    """What the viewer reads there, through its own guest-physical addresses."""
    window = viewer.hypervisor.map_foreign(viewer.domid, [place + n for n in range(pages)], True)
    data = list(memoryview(bytes(window.view)).cast("Q"))
    viewer.hypervisor.unmap_foreign(viewer.domid, window)
    return data


def is_true(table: list[int], domain: Domain) -> bool:
    """Whether each entry names the page that the hypercall names."""
    pages = [decode_pte(entry)[0] for entry in table]
    return pages == [dom0vp_op(domain, Dom0vp.PHYSTOMACH, gfn) for gfn in range(len(table))]


# ---- One's own -----------------------------------------------------------------------------------


def test_a_domain_sees_its_own_table(guest: Domain) -> None:
    expose_p2m(guest, PLACE, 2 * ENTRIES_PER_PAGE)
    table = entries(guest, PLACE, 2)
    assert decode_pte(table[17]) == (guest.gfn_to_mfn(17) >> 2, OWN | Pte.PGC_ALLOCATED)
    assert is_true(table[:2560], guest)
    assert table[2560:] == [0] * 1536, "beyond its 40 MiB"


def test_a_part_of_it_is_enough(guest: Domain) -> None:
    expose_p2m(guest, PLACE, ENTRIES_PER_PAGE, gfn=ENTRIES_PER_PAGE)
    assert decode_pte(entries(guest, PLACE)[3])[0] == guest.gfn_to_mfn(2048 + 3) >> 2
    assert refused(errno.EAGAIN, guest, Dom0vp.EXPOSE_P2M, 0, PLACE, MIB_32, 2048)
    assert decode_pte(entries(guest, PLACE)[3])[0] == guest.gfn_to_mfn(2048 + 3) >> 2


def test_a_table_is_read_only_and_can_be_zapped(guest: Domain) -> None:
    expose_p2m(guest, PLACE, 2 * ENTRIES_PER_PAGE)
    with pytest.raises(OSError, match="14"):
        guest.hypervisor.map_foreign(guest.domid, [PLACE])
    buffer = GuestBuffer(guest, PAGE)
    assert refused(errno.EFAULT, guest, Dom0vp.GET_MEMMAP, guest.domid, 1 << 63 | PLACE * PAGE)
    buffer.close()
    dom0vp_op(guest, Dom0vp.ZAP_PHYSMAP, PLACE)
    with pytest.raises(OSError, match="14"):
        entries(guest, PLACE)
    assert decode_pte(entries(guest, PLACE + 1)[3])[0] == guest.gfn_to_mfn(2048 + 3) >> 2


@pytest.mark.parametrize(
    "args",
    [
        (0, PLACE, MIB_32, 0),
        (0, PLACE, MIB_32, 1024),
        (0, PLACE, MIB_32 + 1, 2048),
        (0, PLACE, PAGE, 2048),
        (1, PLACE, MIB_32, 2048),
        (0, PLACE + 1, MIB_32, 2048),
        (0, 0, MIB_32, 2048),
        (0, int(lib.PV_IA64_SHARED_INFO_GFN), MIB_32, 2048),
        (0, 1 << 36, MIB_32, 2048),
        (0, PLACE, 3 * MIB_32, 2048),
        ((1 << 64) - 2048, PLACE, MIB_32, 2048),
    ],
    ids=(
        "no granule|half a granule|half a page|one page|inside a page|place|its memory|Xen's pages"
        "|beyond all addresses|more than it has|wraps"
    ).split("|"),
)
def test_what_cannot_be_shown_is_refused(guest: Domain, args: tuple[int, ...]) -> None:
    assert refused(errno.EINVAL, guest, Dom0vp.EXPOSE_P2M, *args)


def test_other_granules_are_not_supported(guest: Domain) -> None:
    assert refused(errno.ENOSYS, guest, Dom0vp.EXPOSE_P2M, 0, PLACE, 2 * MIB_32, 4096)


def test_io_space_in_a_hole_of_dom0s_memory_is_in_it(dom0: Domain) -> None:
    """The VGA window, before and after the table is there."""
    vga = 0xA0000 // PAGE
    dom0vp_op(dom0, Dom0vp.IOREMAP, 0xA0000, PAGE)
    expose_p2m(dom0, PLACE, ENTRIES_PER_PAGE)
    assert decode_pte(entries(dom0, PLACE)[vga]) == (vga, OWN | Pte.UNCACHED)
    dom0vp_op(dom0, Dom0vp.IOREMAP, 0xA4000, PAGE)
    assert decode_pte(entries(dom0, PLACE)[vga + 1]) == (vga + 1, OWN | Pte.UNCACHED)
    dom0vp_op(dom0, Dom0vp.ZAP_PHYSMAP, vga)
    assert entries(dom0, PLACE)[vga] == 0
    assert is_true(entries(dom0, PLACE), dom0)


# ---- Another domain's ----------------------------------------------------------------------------


def memory(domain_map: list[EfiDescriptor]) -> list[EfiDescriptor]:
    return [md for md in domain_map if md.type is MemoryType.CONVENTIONAL]


def test_a_privileged_domain_sees_a_guests_table(dom0: Domain, guest: Domain) -> None:
    handed_back = expose_foreign_p2m(dom0, PLACE, guest.domid, memory(domu_map("40M")))
    assert [(md.start, md.size) for md in handed_back] == [(0, 2 * MIB_32)]
    assert is_true(entries(dom0, PLACE, 2)[:2560], guest)
    dom0vp_op(guest, Dom0vp.ZAP_PHYSMAP, 100)
    assert entries(dom0, PLACE)[100] == 0
    unexpose_foreign_p2m(dom0, PLACE, guest.domid)
    with pytest.raises(OSError, match="14"):
        entries(dom0, PLACE)


def line(start: int, size: int) -> EfiDescriptor:
    return EfiDescriptor(MemoryType.CONVENTIONAL, start, size, Attribute.WB)


def test_lines_apart_are_shown_apart(dom0: Domain) -> None:
    large = dom0.machine.create_domain(abi=Abi.IA64, memory="128M")
    lines = [line(3 * MIB_32 + PAGE, PAGE), line(PAGE, PAGE), line(MIB_32 - PAGE, PAGE)]
    handed_back = expose_foreign_p2m(dom0, PLACE, large.domid, lines)
    assert [(md.start, md.size) for md in handed_back] == [(0, MIB_32), (3 * MIB_32, MIB_32)]
    assert decode_pte(entries(dom0, PLACE + 3)[1])[0] == large.gfn_to_mfn(3 * 2048 + 1) >> 2
    with pytest.raises(OSError, match="14"):
        entries(dom0, PLACE + 1)
    unexpose_foreign_p2m(dom0, PLACE, large.domid)
    for page in (0, 3):
        with pytest.raises(OSError, match="14"):
            entries(dom0, PLACE + page)


def test_a_place_is_one_tables(dom0: Domain, guest: Domain) -> None:
    other = dom0.machine.create_domain(abi=Abi.IA64, memory="40M")
    lines = memory(domu_map("40M"))
    expose_foreign_p2m(dom0, PLACE, guest.domid, lines)
    for domid, place in ((other.domid, PLACE), (guest.domid, PLACE), (other.domid, PLACE - 1)):
        assert error_of(expose_foreign_p2m, dom0, place, domid, lines) == errno.EBUSY
    with pytest.raises(OSError, match="14"):
        entries(dom0, PLACE - 1)  # nothing of a refused one stays
    assert refused(errno.EINVAL, dom0, Dom0vp.UNEXPOSE_FOREIGN_P2M, PLACE, other.domid)
    assert refused(errno.ENOENT, dom0, Dom0vp.UNEXPOSE_FOREIGN_P2M, PLACE + 1, guest.domid)
    assert is_true(entries(dom0, PLACE, 2)[:2560], guest)
    expose_p2m(dom0, PLACE + 2048, ENTRIES_PER_PAGE)
    assert refused(errno.ENOENT, dom0, Dom0vp.UNEXPOSE_FOREIGN_P2M, PLACE + 2048, dom0.domid)


def test_who_may_not_see_it(dom0: Domain, guest: Domain) -> None:
    buffer = GuestBuffer(dom0, PAGE)
    x86 = dom0.machine.create_domain(memory="4M")
    foreign = Dom0vp.EXPOSE_FOREIGN_P2M
    assert refused(errno.EPERM, guest, foreign, PLACE, dom0.domid, buffer.handle, 0)
    assert refused(errno.EPERM, guest, Dom0vp.UNEXPOSE_FOREIGN_P2M, PLACE, dom0.domid)
    for domid in (dom0.domid, x86.domid, 77, 1 << 40):
        assert refused(errno.EINVAL, dom0, foreign, PLACE, domid, buffer.handle, 0)
    assert refused(errno.EFAULT, dom0, foreign, PLACE, guest.domid, 1 << 63 | 1 << 45, 0)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        domu_map("40M"),
        [line(0, 64 << 20), line(32 << 20, 4096)],
        [line(0, 1 << 40)],
        [line((1 << 64) - 4096, 4096)],
    ],
    ids=["empty", "with its ports", "overlapping", "more than it has", "at the end"],
)
def test_a_map_of_what_is_no_memory_is_refused(
    dom0: Domain, guest: Domain, lines: list[EfiDescriptor]
) -> None:
    assert error_of(expose_foreign_p2m, dom0, PLACE, guest.domid, lines) == errno.EINVAL


def test_a_table_ends_with_its_domain(dom0: Domain, guest: Domain) -> None:
    expose_foreign_p2m(dom0, PLACE, guest.domid, memory(domu_map("40M")))
    guest.destroy()
    with pytest.raises(OSError, match="14"):
        entries(dom0, PLACE)
    again = dom0.machine.create_domain(domid=guest.domid, abi=Abi.IA64, memory="40M")
    with pytest.raises(OSError, match="14"):
        entries(dom0, PLACE)
    unexpose_foreign_p2m(dom0, PLACE, guest.domid)
    expose_foreign_p2m(dom0, PLACE, again.domid, memory(domu_map("40M")))
    assert is_true(entries(dom0, PLACE, 2)[:2560], again)


# ---- Whatever happens ----------------------------------------------------------------------------

GFNS = st.one_of(st.integers(16, 40), st.integers(16, 2559), st.sampled_from([512, 1023, 1024]))


class Changes(RuleBasedStateMachine):
    """Both domains see the guest's table while it loses, gets and gives pages."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = machine_with(HP_ZX1)
        self.dom0 = self.machine.create_domain(abi=Abi.IA64, memory="32M", privileged=True)
        self.guest = self.machine.create_domain(abi=Abi.IA64, memory="40M")
        expose_p2m(self.guest, PLACE, 2 * ENTRIES_PER_PAGE)
        expose_foreign_p2m(self.dom0, PLACE, self.guest.domid, memory(domu_map("40M")))

    def teardown(self) -> None:
        self.machine.close()

    @rule(gfn=GFNS)
    def zap(self, gfn: int) -> None:
        dom0vp_op(self.guest, Dom0vp.ZAP_PHYSMAP, gfn)

    @rule(gfn=GFNS, order=st.sampled_from([0, 1, 9]))
    def decrease(self, gfn: int, order: int) -> None:
        self.guest.reservation.decrease([gfn & -(1 << order)], order)

    @rule(gfn=GFNS, order=st.sampled_from([0, 1, 9]))
    def populate(self, gfn: int, order: int) -> None:
        self.guest.reservation.populate([gfn & -(1 << order)], order)

    @rule()
    def grant(self) -> None:
        """A page that is used singly takes its superpage apart."""
        pages = self.guest.hypervisor.allocate_pages(1)
        self.guest.hypervisor.grant_access(self.dom0.domid, pages.address)

    @invariant()
    def both_see_what_is_there(self) -> None:
        table = entries(self.guest, PLACE, 2)
        assert is_true(table[:2560], self.guest)
        assert table == entries(self.dom0, PLACE, 2)


def test_the_table_is_true_after_every_change() -> None:
    run_state_machine_as_test(
        Changes, settings=settings(max_examples=15, stateful_step_count=12, deadline=None)
    )


@settings(deadline=None, max_examples=30)
@given(memory_mib=st.integers(1, 80), gfn=st.integers(0, 3))
def test_any_size_of_memory(memory_mib: int, gfn: int) -> None:
    with machine_with(HP_ZX1) as machine:
        guest = machine.create_domain(abi=Abi.IA64, memory=memory_mib << 20)
        pages = -(-memory_mib // 32) - gfn
        if pages <= 0:
            return
        expose_p2m(guest, PLACE, pages * ENTRIES_PER_PAGE, gfn * ENTRIES_PER_PAGE)
        found = [decode_pte(entry)[0] for entry in entries(guest, PLACE, pages)]
        first = gfn * ENTRIES_PER_PAGE
        assert found == [
            dom0vp_op(guest, Dom0vp.PHYSTOMACH, first + n)
            if first + n < memory_mib * 64
            else NO_PAGE
            for n in range(len(found))
        ]
