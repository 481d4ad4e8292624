"""The exchange of pages: what comes, what goes, and that a domain is whole when it cannot be."""

import errno
import struct
from collections.abc import Iterator

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.ring.errors import UsageError
from pvdrivers.sim import Domain, Machine, MachineError, MemoryExtent
from pvdrivers.sim.reservation import Reservation
from tests.pvdrivers.sim.error_of import error_of
from tests.pvdrivers.sim.hypercalls.by_number import address_of, hypercall

FRAME, MIB, GIB = 4096, 1 << 20, 1 << 30
MEMORY_OP, EXCHANGE = 12, 11
DOMID_SELF = 0x7FF0
PAGES = 1024


@pytest.fixture
def machine() -> Iterator[Machine]:
    extents = [MemoryExtent(0, 64 * MIB), MemoryExtent(4 * GIB, 256 * MIB)]
    with Machine(extents) as made:
        made.create_domain(memory="1M", privileged=True)
        made.create_domain(memory="4M", max_memory="8M")
        yield made


@pytest.fixture
def guest(machine: Machine) -> Domain:
    return machine.domain(1)


def frames_of(domain: Domain) -> dict[int, int]:
    """By gfn."""
    found = {}
    for gfn in range(domain.info.physmap_pages):
        try:
            found[gfn] = domain.gfn_to_mfn(gfn)
        except MachineError:
            continue
    return found


def test_scattered_pages_for_memory_in_one_piece_below_4_gib(
    machine: Machine, guest: Domain
) -> None:
    before, free = frames_of(guest), machine.free_memory
    given = [900, 3, 77, 500, 501, 20, 1000, 999]
    (mfn,) = guest.reservation.exchange(given, 0, [1200], 3, address_bits=32)
    assert mfn % 8 == 0
    assert mfn + 8 <= GIB // FRAME
    after = frames_of(guest)
    assert [after.pop(1200 + i) for i in range(8)] == list(range(mfn, mfn + 8))
    assert after == {gfn: frame for gfn, frame in before.items() if gfn not in given}
    assert guest.reservation.current == PAGES
    assert machine.free_memory == free


def test_memory_in_one_piece_for_single_pages_at_the_same_gfns(
    machine: Machine, guest: Domain
) -> None:
    """As a kernel gets rid of a buffer; what comes is zeros."""
    before = frames_of(guest)
    view = machine.domain(0).hypervisor.map_foreign(1, [512], readonly=False).view
    view[:4] = b"data"
    gfns = list(range(512, 1024))
    frames = guest.reservation.exchange([512], 9, gfns, 0)
    assert [guest.gfn_to_mfn(gfn) for gfn in gfns] == frames
    assert not set(frames).intersection(before.values())
    assert not any(machine.domain(0).hypervisor.map_foreign(1, [512]).view)
    assert all(guest.gfn_to_mfn(gfn) == before[gfn] for gfn in range(512))


def test_pages_of_ia64(machine: Machine) -> None:
    domain = machine.create_domain(abi=Abi.IA64, memory="1M")
    assert error_of(domain.reservation.exchange, [10, 20], 0, [20], 1) == errno.EINVAL
    assert domain.reservation.decrease([21]) == 1
    (mfn,) = domain.reservation.exchange([10, 20], 0, [20], 1)
    assert [domain.gfn_to_mfn(gfn) for gfn in (20, 21)] == [mfn, mfn + 4]


@pytest.mark.parametrize(
    ("given", "order", "to", "to_order"),
    [
        pytest.param([5, 5], 0, [1100], 1, id="a page is named twice"),
        pytest.param([5, 1100], 0, [1102], 1, id="a page is not there"),
        pytest.param([5, 2**64 - 1], 0, [1100], 1, id="a page of no physmap"),
        pytest.param([6], 1, [1100, 1100], 0, id="a place is named twice"),
        pytest.param([4], 2, [1100, 1101], 1, id="two places overlap"),
        pytest.param([6], 1, [1100, 5], 0, id="another page is at a place"),
        pytest.param([6], 1, [1100, 2048], 0, id="a place beyond the physmap"),
        pytest.param([5], 0, [2**64 - 1], 0, id="a place in no physmap"),
    ],
)
def test_what_cannot_be_leaves_the_domain_whole(
    machine: Machine, guest: Domain, given: list[int], order: int, to: list[int], to_order: int
) -> None:
    before, free = frames_of(guest), machine.free_memory
    exchange = guest.reservation.exchange
    assert error_of(exchange, given, order, to, to_order) == errno.EINVAL
    assert frames_of(guest) == before
    assert machine.free_memory == free
    assert exchange([5, 6], 0, [1100], 1)  # what had been about to leave is as it was


def test_without_such_memory_the_domain_is_whole(machine: Machine, guest: Domain) -> None:
    low = machine.available_memory(max_width=32) // FRAME
    filler = machine.create_domain(memory="1M", max_memory="1G")
    assert len(filler.reservation.increase(low - 3, address_bits=32)) == low - 3
    before, free = frames_of(guest), machine.free_memory
    exchange = guest.reservation.exchange
    given = range(100, 104)  # three could be had
    assert error_of(exchange, [100], 2, given, 0, address_bits=32) == errno.ENOMEM
    assert frames_of(guest) == before
    assert machine.free_memory == free
    Reservation(machine, filler.domid, caller=0).claim(
        filler.info.pages + machine.free_memory // FRAME
    )
    assert error_of(exchange, [100], 0, [100], 0) == errno.ENOMEM


def test_a_page_in_use_stays(machine: Machine, guest: Domain) -> None:
    pages = guest.hypervisor.allocate_pages(1)
    gfn = lib.pv_domain_page_to_gfn(guest.hypervisor.cdata, pages.address)
    dom0 = machine.domain(0).hypervisor
    mapped = dom0.map_grants(1, guest.hypervisor.grant_pages(0, pages))
    before = frames_of(guest)
    assert error_of(guest.reservation.exchange, [5, gfn], 0, [1100], 1) == errno.EINVAL
    assert frames_of(guest) == before
    dom0.unmap_grants(mapped)
    assert guest.reservation.exchange([5, gfn], 0, [1100], 1)


def test_who_may_and_what_is_too_large(machine: Machine, guest: Domain) -> None:
    assert error_of(guest.reservation.exchange, [0], 10, [1024], 10) == errno.EPERM
    by_dom0 = Reservation(machine, 1, caller=0)
    assert by_dom0.exchange([0], 10, [1024], 10)
    assert error_of(by_dom0.exchange, [0], 19, [0], 19) == errno.EPERM
    by_guest = Reservation(machine, 0, caller=1)
    assert error_of(by_guest.exchange, [20], 0, [20], 0) == errno.EPERM
    nobody = Reservation(machine, 9, caller=0)
    assert error_of(nobody.exchange, [20], 0, [20], 0) == errno.ESRCH
    with pytest.raises(UsageError, match="both must be as many pages"):
        guest.reservation.exchange([5], 1, [1100], 0)


def test_steps_before_one_that_cannot_be_are_done(machine: Machine, guest: Domain) -> None:
    done = guest.reservation.exchange([5, 6, 1100, 7], 0, [1200, 1201, 1202, 1203], 0)
    assert done == [guest.gfn_to_mfn(1200), guest.gfn_to_mfn(1201)]
    assert guest.gfn_to_mfn(7)
    assert guest.reservation.current == PAGES


# ---- By Xen's numbers --------------------------------------------------------


class Lists:
    """The argument of an exchange, with its lists."""

    def __init__(self, given: list[int], order: int, to: list[int], to_order: int) -> None:
        self.given = ffi.new("uint64_t[]", given)
        self.to = ffi.new("uint64_t[]", to)
        self.fields = [
            *(address_of(self.given), len(given), order, 0, DOMID_SELF),
            *(address_of(self.to), len(to), to_order, 0, DOMID_SELF),
            0,
        ]

    def make(self, machine: Machine, caller: int = 1) -> tuple[int, int]:
        """The result, and how many extents were exchanged."""
        argument = bytearray(struct.pack("<QQIIH6xQQIIH6xQ", *self.fields))
        result = hypercall(machine, caller, MEMORY_OP, EXCHANGE, argument)
        return result, struct.unpack_from("<Q", argument, 64)[0]


def test_many_steps_by_number(machine: Machine, guest: Domain) -> None:
    lists = Lists(list(range(100, 116)), 0, [1100, 1104, 1108, 1112], 2)
    assert lists.make(machine) == (0, 16)
    assert list(lists.to) == [guest.gfn_to_mfn(gfn) for gfn in (1100, 1104, 1108, 1112)]
    assert guest.gfn_to_mfn(1111) == lists.to[2] + 3


def test_how_much_was_done_by_number(machine: Machine, guest: Domain) -> None:
    lists = Lists(list(range(100, 116)), 0, [1100, 1104, 1023, 1112], 2)
    assert lists.make(machine) == (-errno.EINVAL, 8)
    assert list(lists.to)[2:] == [1023, 1112]
    lists.to[2] = 1108
    lists.fields[10] = 8  # and goes on from there
    assert lists.make(machine) == (0, 16)
    assert guest.reservation.current == PAGES
    assert lists.make(machine) == (-errno.EINVAL, 8)  # these pages are gone
    lists.fields[10] = 16
    assert lists.make(machine) == (0, 16)


def test_what_is_wrong_by_number(machine: Machine, guest: Domain) -> None:
    before = frames_of(guest)
    for field, value, error in (
        (0, 8, errno.EFAULT),
        (5, 8, errno.EFAULT),
        (1, 3, errno.EINVAL),  # not as many pages
        (1, 1 << 63, errno.EINVAL),
        (2, 10, errno.EINVAL),
        (2, 19, errno.EPERM),
        (7, 1 << 31, errno.EPERM),
        (4, 0, errno.EINVAL),  # another domain
        (10, 5, errno.EINVAL),  # more than there are
    ):
        lists = Lists([100, 101], 1, [1100, 1102], 1)
        lists.fields[field] = value
        assert lists.make(machine) == (-error, lists.fields[10])
    lists = Lists([100], 10, [2000], 10)
    assert lists.make(machine) == (-errno.EPERM, 0)
    lists = Lists([100], 0, [1100], 0)
    lists.fields[4] = lists.fields[9] = 0
    assert lists.make(machine) == (-errno.EPERM, 0)
    lists.fields[4] = lists.fields[9] = 77
    assert lists.make(machine) == (-errno.ESRCH, 0)
    assert frames_of(guest) == before
