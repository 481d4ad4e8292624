"""Hypercalls by number: who may make them, with what, and what is not there."""

import errno
import struct
from collections.abc import Iterator

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import DomainState, Machine
from pvdrivers.sim.ia64.hypercalls import debug_flags, set_debug_flags
from tests.pvdrivers.sim.hypercalls.by_number import hypercall

XEN_VERSION, VCPU_OP, SCHED_OP, SYSCTL, DOMCTL = 17, 24, 29, 35, 36
VERSION = 0x15  # of the interfaces of sysctl and domctl
READCONSOLE, DEBUG_KEYS, DESTROY, PAUSE, GETDOMAININFO = 1, 7, 2, 3, 5


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine("16M") as made:
        made.create_domain(memory="1M", privileged=True)
        made.create_domain(memory="1M", abi=Abi.IA64)
        yield made


def toolstack(
    machine: Machine, caller: int, op: int, cmd: int, domid: int = 0, version: int = VERSION
) -> int:
    """A sysctl or domctl whose further arguments are zeros."""
    argument = ffi.new("uint8_t[]", 256)
    ffi.buffer(argument)[:10] = struct.pack("<IIH", cmd, version, domid)
    return hypercall(machine, caller, op, argument)


@pytest.mark.parametrize("op", [SYSCTL, DOMCTL])
def test_toolstacks_are_privileged(machine: Machine, op: int) -> None:
    for cmd in range(90):
        assert toolstack(machine, 1, op, cmd) == -errno.EPERM
    assert toolstack(machine, 5, op, 1) == -errno.ESRCH
    assert machine.domain(0).info.state is DomainState.RUNNING


@pytest.mark.parametrize("op", [SYSCTL, DOMCTL])
def test_another_interface_version(machine: Machine, op: int) -> None:
    for version in (0, VERSION - 1, VERSION + 1):
        assert toolstack(machine, 0, op, GETDOMAININFO, version=version) == -errno.EACCES


def test_what_the_machine_does_not_have(machine: Machine) -> None:
    for op in (SYSCTL, DOMCTL):
        for cmd in (0, 4000, 1 << 31):
            assert toolstack(machine, 0, op, cmd) == -errno.ENOSYS
    for op in (0, 14, 27, 34, 63, 64, 1 << 31):
        assert hypercall(machine, 0, op, 0, 0) == -errno.ENOSYS
    assert hypercall(machine, 0, XEN_VERSION, 11, 0) == -errno.ENOSYS


@pytest.mark.parametrize("address", [0, 8, 1 << 63, (1 << 64) - 1])
def test_an_argument_that_is_not_mapped(machine: Machine, address: int) -> None:
    assert hypercall(machine, 0, SYSCTL, address) == -errno.EFAULT
    assert hypercall(machine, 0, DOMCTL, address) == -errno.EFAULT
    assert hypercall(machine, 0, SCHED_OP, 4, address) == -errno.EFAULT
    assert hypercall(machine, 0, XEN_VERSION, 1, address) == -errno.EFAULT


def test_a_buffer_that_is_not_mapped(machine: Machine) -> None:
    before = machine.console
    for cmd, rest in (
        (READCONSOLE, struct.pack("<4xIQI", 0, 8, 100)),
        (6, struct.pack("<HxxIQI", 0, 10, 8, 0)),  # getdomaininfolist
        (DEBUG_KEYS, struct.pack("<QI", 8, 1)),
    ):
        argument = ffi.new("uint8_t[]", 136)
        ffi.buffer(argument)[: 8 + len(rest)] = struct.pack("<II", cmd, VERSION) + rest
        assert hypercall(machine, 0, SYSCTL, argument) == -errno.EFAULT
    assert machine.console == before


def test_a_domain_neither_pauses_nor_destroys_itself(machine: Machine) -> None:
    for cmd in (PAUSE, DESTROY):
        assert toolstack(machine, 0, DOMCTL, cmd, domid=0) == -errno.EINVAL
        assert toolstack(machine, 0, DOMCTL, cmd, domid=7) == -errno.ESRCH
    assert machine.domain(0).info.state is DomainState.RUNNING


def text(machine: Machine, caller: int, cmd: int) -> str:
    answer = ffi.new("char[]", 1025)
    assert hypercall(machine, caller, XEN_VERSION, cmd, answer) == 0
    return str(ffi.string(answer).decode())


def test_versions(machine: Machine) -> None:
    assert hypercall(machine, 1, XEN_VERSION, 0) == 4 << 16 | 17
    assert text(machine, 1, 1) == ".0-pvdrivers"
    assert text(machine, 1, 3) == "xen-3.0-x86_64 xen-3.0-x86_32p xen-3.0-ia64 "
    assert text(machine, 1, 4) == "unavailable"
    assert [hypercall(machine, domid, XEN_VERSION, 7) for domid in (0, 1)] == [4096, 16384]


def test_what_only_privileged_domains_may_know_of_the_version(machine: Machine) -> None:
    assert text(machine, 0, 9) == ""
    assert text(machine, 1, 9) == "<denied>"
    assert hypercall(machine, 0, XEN_VERSION, 10, 0) == -errno.ENODATA
    assert hypercall(machine, 1, XEN_VERSION, 10, 0) == -errno.EPERM


def test_guest_handle(machine: Machine) -> None:
    handle = ffi.new("uint8_t[]", 16)
    assert hypercall(machine, 1, XEN_VERSION, 8, handle) == 0
    assert bytes(handle) == machine.domain(1).uuid.bytes


def test_features(machine: Machine) -> None:
    def features(caller: int, index: int) -> tuple[int, int]:
        argument = ffi.new("uint32_t[]", [index, 0])
        result = hypercall(machine, caller, XEN_VERSION, 6, argument)
        return result, argument[1]

    assert features(0, 0) == (0, 1 << 2 | 1 << 11)
    assert features(1, 0) == (0, 1 << 2)
    assert features(0, 1) == (-errno.EINVAL, 0)


def test_vcpu_op_is_about_the_callers_own_vcpus(machine: Machine) -> None:
    info = ffi.new("struct vcpu_register_vcpu_info *", {"mfn": 20, "offset": 64})
    register = lib.VCPUOP_register_vcpu_info
    assert hypercall(machine, 1, VCPU_OP, register, 1, info) == -errno.ENOENT
    assert hypercall(machine, 1, VCPU_OP, register, 0, 0) == -errno.EFAULT
    assert hypercall(machine, 1, VCPU_OP, register, 0, info) == 0
    assert hypercall(machine, 1, VCPU_OP, register, 0, info) == -errno.EINVAL
    assert hypercall(machine, 1, VCPU_OP, 99, 0, info) == -errno.ENOSYS


def test_a_domid_that_does_not_fit_names_no_domain() -> None:
    with Machine("16M", virtual_time=True, cpus=2) as machine:
        for _ in range(2):
            machine.create_domain(memory="1M", privileged=True)
        machine.scheduler.pool(0).remove_cpu(1)
        machine.scheduler.create_pool(pool=1).add_cpu(1)
        argument = ffi.new("uint8_t[]", 136)
        for domid, result in ((0x10001, -errno.ESRCH), (1, 0)):
            # cpupool_op, MOVEDOMAIN to pool 1
            words = struct.pack("<IIIIII", 18, VERSION, 6, 1, 0, domid)
            ffi.buffer(argument)[: len(words)] = words
            assert hypercall(machine, 0, SYSCTL, argument) == result
            assert machine.scheduler.pool_of(1).pool == (0 if result else 1)


# ---- What only ia64 domains have -----------------------------------------------------------------

DOM0VP, FAST_EOI, DEBUG_OP = 48, 49, 50
IOREMAP, PHYSTOMACH, EXPOSE_P2M = 0, 1, 7
SET_FLAGS, GET_FLAGS = 1, 2


@pytest.fixture
def itanium() -> Iterator[Machine]:
    """Domain 0 is privileged, 1 is not, 2 is an x86 domain."""
    with Machine("64M") as made:
        made.create_domain(memory="1M", abi=Abi.IA64, privileged=True)
        made.create_domain(memory="1M", abi=Abi.IA64)
        made.create_domain(memory="1M", privileged=True)
        yield made


def test_ia64_domains_work_on_their_physmap_by_number(itanium: Machine) -> None:
    guest = itanium.domain(1)
    assert hypercall(itanium, 1, DOM0VP, PHYSTOMACH, 17) == guest.gfn_to_mfn(17) >> 2
    assert hypercall(itanium, 1, DOM0VP, EXPOSE_P2M, 0, 1 << 20, 32 << 20, 2048) == 0
    assert guest.gfn_to_mfn(1 << 20)
    assert hypercall(itanium, 1, DOM0VP, 2, 17) == -errno.ENOSYS


@pytest.mark.parametrize("op", [DOM0VP, DEBUG_OP])
def test_who_has_no_such_hypercall(itanium: Machine, op: int) -> None:
    assert hypercall(itanium, 2, op, 1, 0) == -errno.ENOSYS
    assert hypercall(itanium, 7, op, 1, 0) == -errno.ESRCH
    assert hypercall(itanium, 0, FAST_EOI, 1) == -errno.ENOSYS, "there are no such interrupts"


def test_an_unprivileged_domain_is_refused(itanium: Machine) -> None:
    assert hypercall(itanium, 1, DOM0VP, IOREMAP, 1 << 40, 4096) == -errno.EPERM
    assert hypercall(itanium, 1, DEBUG_OP, SET_FLAGS, 1, 1 << 63 | 20 << 14) == -errno.EPERM


def test_debug_flags_are_kept_with_their_domain(itanium: Machine) -> None:
    dom0 = itanium.domain(0)
    set_debug_flags(dom0, 1, 0x8041)
    assert (debug_flags(dom0, 1), debug_flags(dom0, 0)) == (0x8041, 0)
    buffer = 1 << 63 | 20 << 14
    assert hypercall(itanium, 0, DEBUG_OP, GET_FLAGS, 77, buffer) == -errno.ESRCH
    assert hypercall(itanium, 0, DEBUG_OP, 3, 1, buffer) == -errno.ENOSYS
    assert hypercall(itanium, 0, DEBUG_OP, GET_FLAGS, 1, 1 << 63 | 1 << 45) == -errno.EFAULT
    itanium.domain(1).destroy()
    itanium.create_domain(domid=1, memory="1M", abi=Abi.IA64)
    assert debug_flags(dom0, 1) == 0


def test_several_calls_as_one(machine: Machine) -> None:
    multicall = 13
    entries = ffi.new("uint64_t[]", 24)
    entries[0], entries[8], entries[16] = XEN_VERSION, 63, multicall
    assert hypercall(machine, 1, multicall, entries, 2) == 0
    assert (entries[1], entries[9]) == (4 << 16 | 17, (1 << 64) - errno.ENOSYS)
    entries[1] = 0
    assert hypercall(machine, 1, multicall, entries, 3) == -errno.EINVAL
    assert entries[1] == 4 << 16 | 17
    assert hypercall(machine, 1, multicall, 8, 1) == -errno.EFAULT
    assert hypercall(machine, 1, multicall, 8, 0) == 0
