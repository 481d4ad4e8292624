"""A vcpu's context and its page of registers, as a toolstack and the guest have them."""

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.ring import Abi, layout
from pvdrivers.sim import Domain, Machine
from pvdrivers.sim.ia64.hypercalls import set_vcpu_context, vcpu_context
from tests.pvdrivers.sim.error_of import error_of
from tests.pvdrivers.sim.hypercalls.by_number import address_of, hypercall

MAPPED_REGS = int(lib.PV_IA64_MAPPED_REGS_GFN)
DOMCTL, VERSION, SET_CONTEXT, GET_CONTEXT = 36, 0x15, 12, 13
SIZE = 22208


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine("64M") as machine:
        machine.create_domain(memory="1M", privileged=True)
        yield machine


@pytest.fixture
def guest(machine: Machine) -> Domain:
    return machine.create_domain(abi=Abi.IA64, memory="8M", vcpus=40)


def page(domain: Domain, vcpu: int) -> Any:
    """The guest's own page of the vcpu's registers."""
    window = domain.hypervisor.map_foreign(domain.domid, [MAPPED_REGS + vcpu])
    return window, ffi.from_buffer("struct mapped_regs *", window.view[:4096])


def context(**regs: int) -> Any:
    made = ffi.new("struct vcpu_guest_context_ia64 *")
    for name, value in regs.items():
        setattr(made.regs, name, value)
    return made


def test_a_vcpu_begins_in_bank_1_without_translation(guest: Domain) -> None:
    for vcpu in (0, 39):
        window, regs = page(guest, vcpu)
        assert (regs.banknum, regs.metaphysical_mode, regs.vpsr) == (1, 1, 1 << 44)
        assert (regs.vcr.itv, regs.vcr.pta) == (1 << 16, 60), "no timer, the smallest table"
        mask = regs.interrupt_mask_addr - (0xF5 << 56)
        first = layout("shared_info", Abi.IA64).fields["vcpu_info"][0]
        size = layout("vcpu_info", Abi.IA64).size
        offset = layout("vcpu_info", Abi.IA64).fields["evtchn_upcall_mask"][0]
        assert mask == first + vcpu * size + offset
        del regs
        guest.hypervisor.unmap_foreign(guest.domid, window)


def test_what_was_set_is_read_again(guest: Domain) -> None:
    given = context(ip=0xA000000100000000, cfm=0x85, pr=3)
    given.regs.r[12] = 0x1234
    given.regs.tr.itrs[2].vadr = 0xA000 << 48
    given.event_callback_ip = 0xA000000100000420
    set_vcpu_context(guest, 39, given)
    found = vcpu_context(guest, 39)
    assert (found.regs.ip, found.regs.cfm, found.regs.pr) == (0xA000000100000000, 0x85, 3)
    assert (found.regs.r[12], found.regs.tr.itrs[2].vadr) == (0x1234, 0xA000 << 48)
    assert found.event_callback_ip == 0xA000000100000420
    assert found.privregs_pfn == MAPPED_REGS + 39
    assert found.regs.num_phys_stacked == 96


def test_the_page_has_the_registers_that_guest_and_xen_share(guest: Domain) -> None:
    """Region registers that are given, and with extra registers cr.iva, go into the page; what the
    guest changes there is what a toolstack reads."""
    given = context()
    given.regs.rr[5], given.regs.cr.iva = 0x139, 0xA000000100008000
    set_vcpu_context(guest, 3, given)
    window, regs = page(guest, 3)
    assert (regs.rrs[5], regs.rrs[6], regs.vcr.iva) == (0x139, 0, 0)
    given.flags = lib.VGCF_EXTRA_REGS
    set_vcpu_context(guest, 3, given)
    assert regs.vcr.iva == 0xA000000100008000
    regs.vcr.ifa, regs.rrs[6] = 0x6000, 0x239
    found = vcpu_context(guest, 3)
    assert (found.regs.cr.ifa, found.regs.rr[6], found.regs.rr[5]) == (0x6000, 0x239, 0x139)
    del regs
    guest.hypervisor.unmap_foreign(guest.domid, window)


def test_an_online_context_brings_its_vcpu_up(machine: Machine) -> None:
    guest = machine.create_domain(abi=Abi.IA64, memory="8M", vcpus=6, online_vcpus=1)
    assert not guest.vcpu(5).is_up
    assert error_of(vcpu_context, guest, 5) == errno.ENODATA
    given = context()
    set_vcpu_context(guest, 5, given)
    assert not guest.vcpu(5).is_up
    given.flags = lib.VGCF_online_ia64
    set_vcpu_context(guest, 5, given)
    assert guest.vcpu(5).is_up


def stacked(slots: int, start: int = 0x6000) -> Any:
    """So many words between bspstore and bsp."""
    given = context()
    given.regs.ar.bspstore, given.regs.ar.bsp = start, start + 8 * slots
    return given


def test_stacked_registers_must_fit(guest: Domain) -> None:
    set_vcpu_context(guest, 1, stacked(2047))
    assert error_of(set_vcpu_context, guest, 1, stacked(2112)) == errno.EINVAL
    assert error_of(set_vcpu_context, guest, 1, stacked(-1)) == errno.EINVAL
    assert error_of(set_vcpu_context, guest, 1, context(num_phys_stacked=32)) == errno.EINVAL
    set_vcpu_context(guest, 1, context(num_phys_stacked=96))


def test_a_processors_registers_are_of_a_vcpu_that_has_a_page(machine: Machine) -> None:
    many = machine.create_domain(abi=Abi.IA64, memory="8M", vcpus=80)
    set_vcpu_context(many, 63, context())
    assert error_of(set_vcpu_context, many, 64, context()) == errno.EINVAL
    assert error_of(set_vcpu_context, many, 80, context()) == errno.ENOENT
    assert error_of(set_vcpu_context, machine.domain(0), 0, context()) == errno.EINVAL


def domctl(machine: Machine, caller: int, cmd: int, domid: int, vcpu: int, buffer: Any) -> int:
    op = ffi.new("uint64_t[]", 32)
    op[0], op[1] = cmd | VERSION << 32, domid
    op[2], op[3] = vcpu, address_of(buffer)
    return hypercall(machine, caller, DOMCTL, op)


def test_a_toolstack_does_it_by_domctl(machine: Machine, guest: Domain) -> None:
    given, found = context(ip=0x1000), ffi.new("struct vcpu_guest_context_ia64 *")
    assert domctl(machine, 0, SET_CONTEXT, guest.domid, 7, given) == 0
    assert domctl(machine, 0, GET_CONTEXT, guest.domid, 7, found) == 0
    assert (found.regs.ip, found.privregs_pfn) == (0x1000, MAPPED_REGS + 7)
    assert domctl(machine, 0, SET_CONTEXT, guest.domid, 7, stacked(4000)) == -errno.EINVAL
    assert domctl(machine, guest.domid, SET_CONTEXT, guest.domid, 7, given) == -errno.EPERM
    assert domctl(machine, 0, GET_CONTEXT, guest.domid, 40, found) == -errno.EINVAL
    assert ffi.sizeof(found[0]) == SIZE
