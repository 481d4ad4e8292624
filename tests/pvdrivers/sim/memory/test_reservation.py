"""The memory hypercall: who may change whose memory, and what Xen answers."""

import errno
import struct
from collections.abc import Iterator

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import Domain, Machine, MachineError, MemoryExtent
from pvdrivers.sim.reservation import Reservation
from tests.pvdrivers.sim.error_of import error_of
from tests.pvdrivers.sim.hypercalls.by_number import address_of, hypercall

FRAME, MIB, GIB = 4096, 1 << 20, 1 << 30
MEMORY_OP, SYSCTL, DOMCTL = 12, 35, 36
DOMID_SELF = 0x7FF0


@pytest.fixture
def machine() -> Iterator[Machine]:
    extents = [MemoryExtent(0, 64 * MIB), MemoryExtent(4 * GIB, 2 * GIB, 1)]
    with Machine(extents, max_domain_memory="4G") as made:
        made.create_domain(memory="1M", privileged=True)
        made.create_domain(memory="4M", max_memory="1536M")
        yield made


@pytest.fixture
def guest(machine: Machine) -> Domain:
    return machine.domain(1)


def test_a_superpage_is_populated_and_taken_in_part(machine: Machine, guest: Domain) -> None:
    free = machine.free_memory
    (mfn,) = guest.reservation.populate([1024], order=9)
    assert mfn % 512 == 0
    assert [guest.gfn_to_mfn(1024 + i) for i in (0, 1, 511)] == [mfn, mfn + 1, mfn + 511]
    assert guest.reservation.decrease([1030, 1031]) == 2
    assert error_of(guest.gfn_to_mfn, 1030) == errno.EFAULT
    assert guest.gfn_to_mfn(1032) == mfn + 8
    assert guest.reservation.decrease([1024], order=9) == 0  # up to the first that is not there
    assert error_of(guest.gfn_to_mfn, 1029) == errno.EFAULT
    assert guest.gfn_to_mfn(1032) == mfn + 8
    assert guest.info.pages == 1024 + 512 - 8
    assert machine.free_memory == free - (512 - 8) * FRAME


def test_a_page_that_is_there_is_not_populated_again(guest: Domain) -> None:
    mfn = guest.gfn_to_mfn(1023)
    assert guest.reservation.populate([2000, 1023, 2001]) == [guest.gfn_to_mfn(2000)]
    assert guest.gfn_to_mfn(1023) == mfn
    assert guest.reservation.populate([1020], order=3) == []


def test_nothing_is_populated_beyond_the_physmap(guest: Domain) -> None:
    end = guest.info.physmap_pages
    assert end == 1536 * MIB // FRAME
    for gfn, order in ((end, 0), (end - 1, 1), (2**64 - 1, 0), (2**64 - 256, 9)):
        assert guest.reservation.populate([gfn], order) == []
        assert guest.reservation.decrease([gfn], order) == 0


def test_larger_extents_are_a_privileged_domains(machine: Machine, guest: Domain) -> None:
    assert guest.reservation.populate([1 << 18], order=10) == []
    by_dom0 = Reservation(machine, 1, caller=0)
    assert by_dom0.populate([0], order=19) == []
    assert by_dom0.populate([0], order=64) == []
    assert by_dom0.populate([1 << 10], order=10) != []


def test_memory_of_a_node_and_below_an_address(machine: Machine, guest: Domain) -> None:
    (low,) = guest.reservation.populate([2048], address_bits=32)
    assert low < 1 << 20
    (normal,) = guest.reservation.populate([2049], node=0)
    assert normal >= 1 << 20  # what lies below 4 GiB is not given to who does not ask for it
    assert guest.reservation.populate([2050], node=0, exact_node=True)[0] < 1 << 20
    assert guest.reservation.populate([2051], node=7, exact_node=True) == []
    assert guest.reservation.populate([2051], node=1, address_bits=32, exact_node=True) == []
    assert guest.reservation.populate([2051], address_bits=12) in ([], [0])


def test_the_quota(machine: Machine, guest: Domain) -> None:
    by_dom0 = Reservation(machine, 1, caller=0)
    by_dom0.set_maximum(4 * MIB + FRAME)
    assert guest.reservation.maximum == guest.info.max_pages == 1025
    assert len(guest.reservation.populate([2000, 2001])) == 1
    by_dom0.set_maximum(1 * MIB)  # below what it has: nothing leaves
    assert guest.reservation.current == 1025
    assert guest.reservation.populate([2001]) == []
    assert guest.hypervisor.balloon(2000) <= 256
    assert error_of(by_dom0.set_maximum, 2 * GIB) == errno.EINVAL


def test_only_a_privileged_domain_names_another(machine: Machine) -> None:
    other = Reservation(machine, 0, caller=1)
    assert error_of(lambda: other.current) == errno.EPERM
    assert error_of(other.populate, [0]) == errno.EPERM
    assert error_of(other.decrease, [20]) == errno.EPERM
    assert error_of(other.set_maximum, MIB) == errno.EPERM
    assert error_of(Reservation(machine, 1).set_maximum, MIB) == errno.EPERM
    assert error_of(lambda: Reservation(machine, 5, caller=0).current) == errno.ESRCH
    assert Reservation(machine, DOMID_SELF, caller=1).current == 1024


def test_a_page_in_use_is_free_when_it_is_no_longer_used(machine: Machine, guest: Domain) -> None:
    dom0 = machine.domain(0).hypervisor
    pages = guest.hypervisor.allocate_pages(1)
    pages.view[:4] = b"data"
    gfn = lib.pv_domain_page_to_gfn(guest.hypervisor.cdata, pages.address)
    mapped = dom0.map_grants(1, guest.hypervisor.grant_pages(0, pages))
    free = machine.free_memory
    assert guest.reservation.decrease([gfn]) == 1
    assert machine.free_memory == free
    assert mapped.view[:4] == b"data"
    dom0.unmap_grants(mapped)
    assert machine.free_memory == free + FRAME


# ---- Pages without a gfn -----------------------------------------------------


def test_increased_pages_have_no_gfn_and_go_with_the_domain(machine: Machine) -> None:
    free = machine.free_memory
    domain = machine.create_domain(memory="1M", max_memory="16M")
    frames = domain.reservation.increase(3, order=9)
    assert len(frames) == 3
    assert all(frame % 512 == 0 and machine.has_frame(frame) for frame in frames)
    assert domain.reservation.current == 256 + 3 * 512
    assert domain.reservation.highest_gfn == 255
    named = {domain.gfn_to_mfn(gfn) for gfn in range(256)}
    assert not named.intersection(frame + i for frame in frames for i in range(512))
    assert len(domain.reservation.increase(10, order=9)) == 4  # it may have no more
    assert len(domain.reservation.increase(10, order=8)) == 1
    assert domain.reservation.increase(1) == []
    domain.destroy()
    assert machine.free_memory == free


def test_many_pages_without_a_gfn(machine: Machine) -> None:
    """More than what a step of a domain's end takes apart."""
    free = machine.free_memory
    domain = machine.create_domain(memory="1M", max_memory="128M")
    assert len(domain.reservation.increase(20_000)) == 20_000
    domain.destroy()
    assert machine.free_memory == free


# ---- Claims ------------------------------------------------------------------


@pytest.fixture
def by_dom0(machine: Machine) -> Reservation:
    return Reservation(machine, 1, caller=0)


def test_a_claim_keeps_memory_for_its_domain(
    machine: Machine, guest: Domain, by_dom0: Reservation
) -> None:
    other = machine.create_domain(memory="1M", max_memory="4G")
    everything = machine.free_memory // FRAME
    by_dom0.claim(1024 + 256 * 1024)
    assert guest.info.outstanding_pages == 256 * 1024
    assert machine.outstanding_claims == GIB
    assert machine.free_memory == everything * FRAME  # a claim takes nothing
    assert len(other.reservation.populate(range(1024, 1024 + everything))) == everything - 262144
    assert other.reservation.increase(1) == []
    assert other.hypervisor.balloon(1 << 20) == other.info.pages
    with pytest.raises(MachineError, match="creating a domain"):
        machine.create_domain(memory="64K")
    assert len(guest.reservation.populate(range(1024, 1024 + 512 * 512, 512), order=9)) == 512
    assert machine.outstanding_claims == machine.free_memory == 0


def test_a_claim_follows_the_pages_of_its_domain(
    machine: Machine, guest: Domain, by_dom0: Reservation
) -> None:
    by_dom0.claim(1034)
    assert guest.reservation.decrease([1023]) == 1
    assert guest.info.outstanding_pages == 11
    guest.reservation.increase(4)
    assert guest.info.outstanding_pages == 7
    guest.reservation.populate(range(2000, 2007))
    assert guest.info.outstanding_pages == machine.outstanding_claims == 0
    assert guest.reservation.decrease([2000]) == 1  # what is used up does not come back
    assert guest.info.outstanding_pages == 0


def test_what_is_no_claim(machine: Machine, guest: Domain, by_dom0: Reservation) -> None:
    for pages in (1, 1024, 1536 * 256 + 1):  # it has them, or may not have them
        assert error_of(by_dom0.claim, pages) == errno.EINVAL
    by_dom0.claim(2048)
    assert error_of(by_dom0.claim, 4096) == errno.EINVAL  # one at a time
    other = machine.create_domain(memory="1M", max_memory="4G")
    every = (machine.free_memory - machine.outstanding_claims) // FRAME
    for_other = Reservation(machine, other.domid, caller=0)
    assert error_of(for_other.claim, 256 + every + 1) == errno.ENOMEM
    for_other.claim(256 + every)
    by_dom0.claim(0)
    by_dom0.claim(0)
    assert machine.outstanding_claims == every * FRAME
    assert error_of(Reservation(machine, 1).claim, 2048) == errno.EPERM
    assert error_of(Reservation(machine, 9, caller=0).claim, 1) == errno.EINVAL
    assert error_of(Reservation(machine, 1, caller=9).claim, 1) == errno.ESRCH


def test_a_claim_ends_with_its_domain(machine: Machine) -> None:
    domain = machine.create_domain(memory="1M", max_memory="64M")
    Reservation(machine, domain.domid, caller=0).claim(1000)
    domain.destroy()
    assert machine.outstanding_claims == 0
    again = machine.create_domain(domid=domain.domid, memory="1M", max_memory="64M")
    assert again.info.outstanding_pages == 0


def test_available_memory(machine: Machine) -> None:
    assert machine.available_memory() == machine.free_memory
    node = machine.nodes[0]
    assert machine.available_memory(0) == machine.available_memory(0, max_width=32) == node.free
    assert machine.available_memory(0, min_width=33) == 0
    # 32 of 64 MiB have 26 bits, and no more.
    assert machine.available_memory(0, min_width=26, max_width=26) == 32 * MIB
    assert machine.available_memory(7) == machine.available_memory(max_width=11) == 0


# ---- By Xen's numbers --------------------------------------------------------


def memory_op(machine: Machine, caller: int, cmd: int, argument: bytes) -> int:
    return hypercall(machine, caller, MEMORY_OP, cmd, bytearray(argument))


def test_increase_by_number(machine: Machine, guest: Domain) -> None:
    frames = ffi.new("uint64_t[]", 100)
    address = address_of(frames)
    assert memory_op(machine, 1, 0, reservation(address, 100, 0)) == 100
    assert len(set(frames)) == 100
    assert all(machine.has_frame(mfn) for mfn in frames)
    assert memory_op(machine, 1, 0, reservation(0, 100, 0)) == 100  # told to nobody
    assert memory_op(machine, 1, 0, reservation(8, 100, 0)) == 0  # no memory of the caller's
    assert memory_op(machine, 1, 0, reservation(address, 1, 0, domid=0)) == 0


def test_a_call_that_was_preempted_goes_on(machine: Machine, guest: Domain) -> None:
    gfns = ffi.new("uint64_t[]", list(range(2000, 2100)))
    whole = reservation(address_of(gfns), 100, 0)
    assert memory_op(machine, 1, 6 | 90 << 6, whole) == 100
    assert error_of(guest.gfn_to_mfn, 2089) == errno.EFAULT
    assert gfns[90] == guest.gfn_to_mfn(2090)
    assert memory_op(machine, 1, 1 | 95 << 6, whole) == 95  # the lists' places have frames now
    assert memory_op(machine, 1, 6 | 100 << 6, whole) == 100
    for cmd in (2, 3, 4, 14, 24):
        assert memory_op(machine, 1, cmd | 1 << 6, whole) == -errno.EINVAL


def test_claims_by_number(machine: Machine, guest: Domain) -> None:
    def claim(caller: int, *of: int) -> int:
        return memory_op(machine, caller, 24, struct.pack("<QQIIH6x", *of))

    assert claim(0, 0, 2048, 0, 0, 1) == 0
    assert guest.info.outstanding_pages == 1024
    assert claim(0, 0, 0, 0, 0, 1) == 0
    for wrong in ((8, 2048, 0, 0, 1), (0, 2048, 1, 0, 1), (0, 2048, 0, 1, 1), (0, 9, 0, 0, 7)):
        assert claim(0, *wrong) == -errno.EINVAL
    assert claim(0, 0, 2048, 0, 0, DOMID_SELF) == -errno.EINVAL
    assert claim(1, 0, 2048, 0, 0, 1) == -errno.EPERM
    assert guest.info.outstanding_pages == 0


def test_no_page_is_shared(machine: Machine) -> None:
    assert memory_op(machine, 0, 18, b"") == memory_op(machine, 0, 19, b"") == 0


def test_availheap_by_number(machine: Machine) -> None:
    def available(low: int, high: int, node: int) -> int:
        argument = bytearray(struct.pack("<IIIIiI", 9, 0x15, low, high, node, 0) + bytes(112))
        assert hypercall(machine, 0, SYSCTL, argument) == 0
        return int(struct.unpack_from("<Q", argument, 24)[0])

    assert available(0, 0, -1) == machine.free_memory
    assert available(0, 32, -1) == machine.nodes[0].free
    assert available(0, 0, 1) == machine.nodes[1].free
    assert available(0, 0, 2) == available(0, 0, -2) == 0


def reservation(address: int, count: int, order: int, domid: int = DOMID_SELF) -> bytes:
    return struct.pack("<QQIIH6x", address, count, order, 0, domid)


def test_lists_longer_than_a_chunk(machine: Machine, guest: Domain) -> None:
    gfns = ffi.new("uint64_t[]", list(range(2000, 2200)))
    whole = reservation(address_of(gfns), 200, 0)
    assert memory_op(machine, 1, 6, whole) == 200
    assert list(gfns) == [guest.gfn_to_mfn(gfn) for gfn in range(2000, 2200)]
    for i in range(200):
        gfns[i] = 2000 + i if i != 150 else 3000
    assert memory_op(machine, 1, 1, whole) == 150
    assert guest.gfn_to_mfn(2150)
    assert error_of(guest.gfn_to_mfn, 2149) == errno.EFAULT


def test_facts_by_number(machine: Machine) -> None:
    myself = struct.pack("<H", DOMID_SELF)
    assert memory_op(machine, 1, 2, b"") == (6 * GIB) // FRAME - 1
    assert memory_op(machine, 1, 3, myself) == 1024
    assert memory_op(machine, 1, 4, myself) == 1536 * MIB // FRAME
    assert memory_op(machine, 1, 14, myself) == 1023
    assert memory_op(machine, 1, 3, struct.pack("<H", 0)) == -errno.EPERM


def test_what_lists_may_be_wrong_with(machine: Machine) -> None:
    assert memory_op(machine, 1, 6, reservation(8, 10, 0)) == 0  # no memory at this address
    assert memory_op(machine, 0, 6, reservation(8, 10, 0, domid=5)) == 0
    assert memory_op(machine, 1, 6, reservation(8, 1 << 63, 1 << 31)) == 0
    for cmd in (12, 20, 63):
        assert memory_op(machine, 1, cmd, reservation(8, 10, 0)) == -errno.ENOSYS


def test_max_mem_by_number(machine: Machine, guest: Domain) -> None:
    argument = bytearray(256)
    argument[:24] = struct.pack("<IIH6xQ", 11, 0x15, 1, 2048)
    assert hypercall(machine, 1, DOMCTL, argument) == -errno.EPERM
    assert hypercall(machine, 0, DOMCTL, argument) == 0
    assert guest.info.max_pages == 512


def test_ia64_pages(machine: Machine) -> None:
    domain = machine.create_domain(abi=Abi.IA64, memory="1M", max_memory="64M")
    (mfn,) = domain.reservation.populate([512], order=9)
    assert mfn % 2048 == 0
    assert domain.gfn_to_mfn(513) == mfn + 4
    assert domain.reservation.decrease([512], order=9) == 1
    assert domain.reservation.current == 64
