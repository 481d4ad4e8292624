"""What a toolstack's domctls do to a domain, from its creation to its end, as Xen has them."""

import errno
import struct
from collections.abc import Iterator
from uuid import UUID

import pytest

from pvdrivers._core import ffi, lib
from pvdrivers.ring.abi import Abi
from pvdrivers.sim import DomainState, Machine, MachineError, ShutdownReason
from tests.pvdrivers.sim.hypercalls.by_number import address_of, hypercall

MEMORY_OP, DOMCTL = 12, 36
VERSION = 0x15
CREATE, DESTROY, PAUSE, UNPAUSE, GETINFO, MAX_MEM = 1, 2, 3, 4, 5, 11
SETVCPUCONTEXT, GETVCPUCONTEXT, GETVCPUINFO, MAX_VCPUS, SETHANDLE = 12, 13, 14, 15, 17
RESUME, HVMCONTEXTS, SET_SIZE, GET_SIZE, SET_VIRQ_HANDLER = 27, (33, 34, 55), 35, 36, 66
DYING, SHUTDOWN, PAUSED = 1, 4, 8  # XEN_DOMINF_*
HANDLE = UUID("00112233-4455-6677-8899-aabbccddeeff")
ONLINE = 1 << 5  # VGCF_online, in the flags behind 512 bytes of FPU context


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine("16M", virtual_time=True, cpus=2, max_domains=8) as made:
        made.create_domain(memory="1M", privileged=True)
        yield made


def domctl(machine: Machine, cmd: int, domid: int, rest: bytes = b"") -> tuple[int, int, bytes]:
    """The result, and what domain 0 finds in its argument: the domid, and what is behind it."""
    argument = ffi.new("uint8_t[]", 144)
    header = struct.pack("<IIH6x", cmd, VERSION, domid)
    ffi.buffer(argument)[: len(header + rest)] = header + rest
    result = hypercall(machine, 0, DOMCTL, argument)
    whole = bytes(ffi.buffer(argument))
    return result, struct.unpack_from("<H", whole, 8)[0], whole[16:]


def creation(vcpus: int = 2, *, flags: int = 0, pool: int = 0, version: int = 1) -> bytes:
    numbers = struct.pack("<IIIIiiIII", flags, 0, vcpus, 1023, -1, -1, version, 0, pool)
    return struct.pack("<I", 0) + HANDLE.bytes + numbers + bytes(8)


def info(machine: Machine, domid: int) -> tuple[int, int, int, UUID]:
    """flags, pages, vcpus that are up, UUID."""
    result, found, rest = domctl(machine, GETINFO, domid)
    assert (result, found) == (0, domid)
    flags, pages = struct.unpack_from("<IQ", rest, 4)
    online, _, _ = struct.unpack_from("<III", rest, 64)
    return flags, pages, online, UUID(bytes=rest[76:92])


def populate(machine: Machine, domid: int, gfns: range) -> int:
    array = ffi.new("uint64_t[]", list(gfns))
    op = struct.pack("<QQIIH", address_of(array), len(array), 0, 0, domid)
    argument = ffi.new("uint8_t[]", op + bytes(8))
    return hypercall(machine, 0, MEMORY_OP, 6, argument)


def set_context(machine: Machine, domid: int, vcpu: int, flags: int) -> tuple[int, bytes]:
    size = lib.pv_vcpu_context_size(Abi.X86_64)
    content = bytearray((vcpu + i) % 251 for i in range(size))
    content[512:520] = struct.pack("<Q", flags)
    context = ffi.new("uint8_t[]", bytes(content))
    op = struct.pack("<I4xQ", vcpu, address_of(context))
    return domctl(machine, SETVCPUCONTEXT, domid, op)[0], bytes(content)


def get_context(machine: Machine, domid: int, vcpu: int) -> tuple[int, bytes]:
    context = ffi.new("uint8_t[]", lib.pv_vcpu_context_size(Abi.X86_64))
    op = struct.pack("<I4xQ", vcpu, address_of(context))
    return domctl(machine, GETVCPUCONTEXT, domid, op)[0], bytes(context)


def test_a_domain_is_built_runs_and_goes(machine: Machine) -> None:
    free = machine.free_memory
    result, domid, _ = domctl(machine, CREATE, 0, creation())
    assert (result, domid) == (0, 1)
    assert info(machine, domid) == (PAUSED, 0, 0, HANDLE)
    assert populate(machine, domid, range(4)) == 0  # it may have none yet
    assert domctl(machine, MAX_VCPUS, domid, struct.pack("<I", 2))[0] == 0
    assert domctl(machine, MAX_MEM, domid, struct.pack("<Q", 64))[0] == 0
    assert populate(machine, domid, range(100, 120)) == 16
    assert machine.domain(domid).gfn_to_mfn(115)
    with pytest.raises(MachineError):
        machine.domain(domid).gfn_to_mfn(116)

    assert get_context(machine, domid, 0)[0] == -errno.ENODATA
    result, context = set_context(machine, domid, 0, ONLINE)
    assert result == 0
    assert get_context(machine, domid, 0) == (0, context)
    assert set_context(machine, domid, 1, 0)[0] == 0
    assert info(machine, domid)[1:3] == (16, 1)

    vcpus = [(domid, 0), (domid, 1)]
    for each in vcpus:
        machine.scheduler.demand(*each, 1_000_000)
    machine.scheduler.run(machine.now + 10_000_000)
    assert [machine.scheduler.run_state(*each).running for each in vcpus] == [0, 0]
    assert domctl(machine, UNPAUSE, domid)[0] == 0
    machine.scheduler.run(machine.now + 10_000_000)
    assert [machine.scheduler.run_state(*each).running for each in vcpus] == [1_000_000, 0]

    assert domctl(machine, DESTROY, domid)[0] == 0
    assert machine.free_memory == free
    assert domctl(machine, PAUSE, domid)[0] == -errno.ESRCH


def test_domids_of_new_domains(machine: Machine) -> None:
    assert domctl(machine, CREATE, 5, creation())[:2] == (0, 5)
    assert domctl(machine, CREATE, 5, creation())[0] == -errno.EEXIST
    assert domctl(machine, CREATE, 8, creation())[0] == -errno.EINVAL
    assert domctl(machine, CREATE, 0x7FF4, creation())[:2] == (0, 1)
    assert [domctl(machine, CREATE, 0, creation())[1] for _ in range(5)] == [2, 3, 4, 6, 7]
    assert domctl(machine, CREATE, 0, creation())[0] == -errno.ENOMEM


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (creation(0), errno.EINVAL),
        (creation(129), errno.EINVAL),
        (creation(flags=1), errno.EINVAL),  # HVM
        (creation(flags=1 << 20), errno.EINVAL),
        (creation(version=0), errno.EINVAL),
        (creation(version=3), errno.EINVAL),
        (creation(pool=9), errno.ESRCH),
    ],
)
def test_what_cannot_be_created(machine: Machine, config: bytes, error: int) -> None:
    assert domctl(machine, CREATE, 0, config)[0] == -error
    with pytest.raises(MachineError):
        machine.domain(1)


def test_the_number_of_vcpus_stays(machine: Machine) -> None:
    _, domid, _ = domctl(machine, CREATE, 0, creation(3))
    for number in (0, 2, 4):
        assert domctl(machine, MAX_VCPUS, domid, struct.pack("<I", number))[0] == -errno.EINVAL
    assert domctl(machine, MAX_VCPUS, 7, struct.pack("<I", 3))[0] == -errno.ESRCH


def test_pauses_are_counted(machine: Machine) -> None:
    machine.create_domain(memory="1M")
    assert domctl(machine, UNPAUSE, 1)[0] == -errno.EINVAL
    assert domctl(machine, PAUSE, 1)[0] == 0
    assert domctl(machine, PAUSE, 1)[0] == 0
    assert domctl(machine, UNPAUSE, 1)[0] == 0
    assert machine.domain(1).info.state is DomainState.PAUSED
    for _ in range(254):
        assert domctl(machine, PAUSE, 1)[0] == 0
    assert domctl(machine, PAUSE, 1)[0] == -errno.EOVERFLOW


def test_resumedomain(machine: Machine) -> None:
    guest = machine.create_domain(memory="1M")
    guest.shutdown(ShutdownReason.SUSPEND)
    guest.pause()
    assert info(machine, 1)[0] == PAUSED | SHUTDOWN | ShutdownReason.SUSPEND << 16
    assert domctl(machine, RESUME, 1)[0] == 0
    assert info(machine, 1)[0] == PAUSED
    assert domctl(machine, RESUME, 0)[0] == -errno.EINVAL  # its own
    assert domctl(machine, RESUME, 7)[0] == -errno.ESRCH


def test_setdomainhandle(machine: Machine) -> None:
    guest = machine.create_domain(memory="1M")
    assert domctl(machine, SETHANDLE, 1, HANDLE.bytes)[0] == 0
    assert guest.uuid == HANDLE == info(machine, 1)[3]
    assert domctl(machine, SETHANDLE, 7, HANDLE.bytes)[0] == -errno.ESRCH


def test_address_size(machine: Machine) -> None:
    def size(domid: int) -> int:
        result, _, rest = domctl(machine, GET_SIZE, domid)
        assert result == 0
        return int(struct.unpack_from("<I", rest)[0])

    def set_size(domid: int, bits: int) -> int:
        return domctl(machine, SET_SIZE, domid, struct.pack("<I", bits))[0]

    _, domid, _ = domctl(machine, CREATE, 0, creation(40))
    assert (size(0), size(domid)) == (64, 64)
    assert [set_size(domid, bits) for bits in (64, 16)] == [0, -errno.EINVAL]
    assert set_size(domid, 32) == 0
    assert (size(domid), machine.domain(domid).info.abi) == (32, Abi.X86_32)
    assert set_size(domid, 64) == -errno.EINVAL
    assert set_size(0, 32) == -errno.EACCES  # it has memory
    assert set_size(7, 32) == -errno.ESRCH
    assert domctl(machine, MAX_MEM, domid, struct.pack("<Q", 64))[0] == 0
    assert populate(machine, domid, range(16)) == 16
    assert machine.open_hypervisor(domid).abi is Abi.X86_32


def test_contexts_are_of_vcpus_that_there_are(machine: Machine) -> None:
    machine.create_domain(memory="1M")
    assert set_context(machine, 1, 1, 0)[0] == get_context(machine, 1, 1)[0] == -errno.EINVAL
    assert set_context(machine, 7, 0, 0)[0] == get_context(machine, 7, 0)[0] == -errno.ESRCH
    op = struct.pack("<I4xQ", 0, 8)
    for cmd in (SETVCPUCONTEXT, GETVCPUCONTEXT):
        assert domctl(machine, cmd, 1, op)[0] == -errno.EFAULT


def test_contexts_of_hvm_domains(machine: Machine) -> None:
    for cmd in HVMCONTEXTS:
        assert domctl(machine, cmd, 0)[0] == -errno.EINVAL
        assert domctl(machine, cmd, 7)[0] == -errno.ESRCH


def test_set_virq_handler(machine: Machine) -> None:
    guest = machine.create_domain(memory="1M")
    channels = guest.hypervisor.open_event_channels()
    dom_exc = struct.pack("<I", lib.VIRQ_DOM_EXC)
    assert domctl(machine, SET_VIRQ_HANDLER, 1, dom_exc)[0] == 0
    channels.bind_virq(lib.VIRQ_DOM_EXC)
    assert domctl(machine, SET_VIRQ_HANDLER, 1, struct.pack("<I", 24))[0] == -errno.EINVAL
    assert domctl(machine, SET_VIRQ_HANDLER, 1, struct.pack("<I", 0))[0] == -errno.EINVAL  # a timer
    assert domctl(machine, SET_VIRQ_HANDLER, 7, dom_exc)[0] == -errno.ESRCH
